#include "engine/config_sync/store.h"

#include <algorithm>
#include <system_error>
#include <utility>

namespace pfsync::engine::config_sync {
namespace {

constexpr const char* in_force = "config";
constexpr const char* staged_name = "config.new";
constexpr const char* pending_name = "pending";
constexpr const char* identity_name = "identity";
/// Was in force before the pending commit. Every word in that file ends with its line, so that none that was cut is
/// taken for another.
constexpr const char* nothing = "nothing\n";

std::string name_of(std::uint64_t epoch, std::uint64_t generation) {
  return "config." + std::to_string(epoch) + "." + std::to_string(generation);
}
std::string name_of(const Stored& stored) { return name_of(stored.revision.epoch, stored.revision.generation); }

/// Only as name_of() writes it: a file of another spelling would be found by this, and by its number not again.
std::optional<Store::Former> parse_name(std::string_view name) {
  constexpr std::string_view head = "config.";
  if (!name.starts_with(head)) return std::nullopt;
  const std::string_view numbers = name.substr(head.size());
  const std::size_t dot = numbers.find('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const auto epoch = parse_number(numbers.substr(0, dot)), generation = parse_number(numbers.substr(dot + 1));
  if (!epoch || !generation || name_of(*epoch, *generation) != name) return std::nullopt;
  return Store::Former{*epoch, *generation};
}

/// What a step on the disk says when it fails.
template <class F>
std::string sentence_of(F&& steps) {
  try {
    steps();
    return "";
  } catch (const std::system_error& error) {
    return std::string{"the store of configurations cannot be written ("} + error.what() +
           "): give control.state_dir a folder on a disk with room that pfsyncd may write to";
  }
}

}  // namespace

std::vector<std::string> Store::load() {
  std::vector<std::string> told;
  const std::string why = sentence_of([&] {
    if (files_.read(staged_name)) files_.remove(staged_name);
    if (files_.read(pending_name)) {
      restore();
      told.emplace_back("a configuration that was not confirmed before the last end is rolled back");
    }
    find_current(told);
  });
  if (!why.empty()) told.push_back(why);
  return told;
}

void Store::find_current(std::vector<std::string>& told) {
  const auto text = files_.read(in_force);
  current_ = text ? parse_stored(*text) : std::nullopt;
  if (!text || current_) return;
  for (const Former& each : former()) {
    const auto older = files_.read(name_of(each.epoch, each.generation));
    if (!older) continue;
    current_ = parse_stored(*older);
    if (!current_) continue;
    told.push_back("the stored configuration is damaged: generation " + std::to_string(each.generation) +
                   " is in force");
    // Or the next commit would keep the damaged one, as the one to go back to.
    files_.write(staged_name, *older);
    files_.rename(staged_name, in_force);
    files_.sync_directory();
    return;
  }
  told.emplace_back("the stored configuration is damaged, and there is no former one: the file's is in force");
}

std::string Store::stage(const Stored& next) {
  return sentence_of([&] {
    files_.write(staged_name, text_of(next));
    staged_ = next;
  });
}

std::string Store::unstage() {
  staged_.reset();
  return sentence_of([&] { files_.remove(staged_name); });
}

std::string Store::commit() {
  if (!staged_) return "nothing is staged";
  return sentence_of([&] {
    if (current_) files_.link(in_force, name_of(*current_));
    files_.write(pending_name, current_ ? name_of(*current_) + "\n" : nothing);
    files_.sync_directory();
    files_.rename(staged_name, in_force);
    files_.sync_directory();
    pending_ = true;
    current_ = std::exchange(staged_, std::nullopt);
  });
}

std::string Store::confirm() {
  if (!pending_) return "";
  return sentence_of([&] {
    files_.remove(pending_name);
    files_.sync_directory();
    pending_ = false;
    prune();
  });
}

/// Each step may be the last of this process: done again from the start, all of them give the same.
void Store::restore() {
  std::string former = files_.read(pending_name).value_or("");
  // A word that was cut by the process's end was never followed by the rename: what is in force is the former one.
  if (former == nothing) {
    files_.remove(in_force);
  } else if (former.ends_with('\n')) {
    former.pop_back();
    if (const auto text = parse_name(former) ? files_.read(former) : std::nullopt) {
      files_.write(staged_name, *text);
      files_.rename(staged_name, in_force);
    }
  }
  files_.sync_directory();
  files_.remove(pending_name);
  files_.sync_directory();
}

std::string Store::roll_back() {
  std::vector<std::string> told;
  std::string why = sentence_of([&] {
    restore();
    pending_ = false;
    find_current(told);
  });
  for (const std::string& sentence : told) why += (why.empty() ? "" : "; ") + sentence;
  return why;
}

std::vector<Store::Former> Store::former() {
  std::vector<Former> all;
  for (const std::string& name : files_.list())
    if (const auto parsed = parse_name(name)) all.push_back(*parsed);
  std::sort(all.begin(), all.end(), [](const Former& one, const Former& other) {
    return one.epoch != other.epoch ? one.epoch > other.epoch : one.generation > other.generation;
  });
  return all;
}

void Store::prune() {
  const auto all = former();
  for (std::size_t i = kept; i < all.size(); ++i) files_.remove(name_of(all[i].epoch, all[i].generation));
}

std::optional<Stored> Store::generation(std::uint64_t generation, std::optional<std::uint64_t> epoch) {
  const auto is_meant = [&](std::uint64_t its_epoch, std::uint64_t its_generation) {
    return its_generation == generation && its_epoch == epoch.value_or(its_epoch);
  };
  if (current_ && is_meant(current_->revision.epoch, current_->revision.generation)) return current_;
  std::optional<Stored> found;
  const std::string why = sentence_of([&] {
    for (const Former& each : former()) {
      if (!is_meant(each.epoch, each.generation)) continue;
      if (const auto text = files_.read(name_of(each.epoch, generation))) found = parse_stored(*text);
      return;
    }
  });
  return found;
}

std::optional<Identity> Store::identity() {
  std::optional<Identity> found;
  const std::string why = sentence_of([&] {
    if (const auto text = files_.read(identity_name)) found = parse_identity(*text);
  });
  return found;
}

std::string Store::write(const Identity& identity) {
  return sentence_of([&] {
    const std::string fresh = std::string{identity_name} + ".new";
    files_.write(fresh, text_of(identity));
    files_.rename(fresh, identity_name);
    files_.sync_directory();
  });
}

}  // namespace pfsync::engine::config_sync
