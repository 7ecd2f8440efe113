#include "engine/config_sync/effective.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "engine/config_sync/faults.h"
#include "engine/config_sync/files.h"
#include "engine/config_sync/store.h"
#include "wire/text.h"

namespace pfsync::engine::config_sync {
namespace {

bool has_peers(const Sections& sections) {
  const auto found = sections.find("peer");
  return found != sections.end() && found->second != "[]";
}

/// Whether with these sections the link would go on by unicast instead of multicast, or the other way round.
bool changes_peers(std::string_view toml, const std::string& file, const Sections& theirs) {
  const auto own = extract(toml, file);
  return std::holds_alternative<Sections>(own) && has_peers(std::get<Sections>(own)) != has_peers(theirs);
}

/// What the file says and what is in force says otherwise, by name.
std::vector<std::string> without_say(std::string_view toml, const std::string& file, const Config& own,
                                     const Config& made) {
  std::vector<std::string> names;
  for (const carp::Settings& settings : own.carp) {
    const auto is_same = [&](carp::Settings other) {
      other.host.advskew = settings.host.advskew;  // each node's own
      return other == settings;
    };
    if (std::ranges::none_of(made.carp, is_same))
      names.push_back("[[carp]] vhid " + std::to_string(settings.host.vhid) +
                      (settings.port == 0 ? "" : "@" + settings.interface));
  }
  for (const Config::Peer& peer : own.peers)
    if (std::ranges::find(made.peers, peer.address, &Config::Peer::address) == made.peers.end())
      names.push_back("[[peer]] " + wire::to_string(peer.address, own.link.family));
  const auto extracted = extract(toml, file);
  const auto* written = std::get_if<Sections>(&extracted);
  if (written == nullptr) return names;
  const auto says = [written](const char* section, std::string_view key) {
    return nlohmann::json::parse(written->at(section)).contains(key);
  };
  for (const TimeoutName& name : timeout_names)
    if (own.table.timeouts.value[name.index] != made.table.timeouts.value[name.index] && says("timeouts", name.name))
      names.push_back("table.timeouts." + std::string{name.name});
  const Config::Sync &ours = own.sync, &theirs = made.sync;
  for (const auto& [key, differs] : {std::pair{"maxupd", ours.maxupd != theirs.maxupd},
                                     {"delay_ms", ours.delay_ms != theirs.delay_ms},
                                     {"bulk_states_per_s", ours.bulk_states_per_s != theirs.bulk_states_per_s},
                                     {"request_bulk", ours.request_bulk != theirs.request_bulk}})
    if (differs && says("sync", key)) names.push_back(std::string{"sync."} + key);
  return names;
}

/// A sentence about a combined text without the place in it, which nobody can look at.
std::string without_place(const std::string& sentence, const std::string& name) {
  if (!sentence.starts_with(name + ":")) return sentence;
  std::size_t at = name.size() + 1;
  while (at < sentence.size() && (sentence[at] >= '0' && sentence[at] <= '9')) ++at;
  return sentence.substr(0, at).ends_with(':') || at >= sentence.size()
             ? sentence
             : sentence.substr(std::min(at + 2, sentence.size()));
}

}  // namespace

bool is_rolled_back(const Stored& stored, std::string_view toml, const std::string& file) {
  if (stored.file_digest.empty()) return false;
  const auto own = extract(toml, file);
  return std::holds_alternative<Sections>(own) && file_digest_of(std::get<Sections>(own)) == stored.file_digest;
}

bool is_promoted(const Stored& stored, const Identity& identity, std::string_view toml, const std::string& file) {
  if (stored.revision.origin == identity.node_id || identity.file_digest.empty()) return false;
  const auto own = extract(toml, file);
  return std::holds_alternative<Sections>(own) && file_digest_of(std::get<Sections>(own)) == identity.file_digest;
}

std::variant<Promoted, Problem> promote(std::string_view toml, const std::string& file, const Sections& theirs) {
  auto merged = merge({.toml = toml, .shared = &theirs, .keep_skew = true}, file);
  if (auto* problem = std::get_if<Problem>(&merged)) return std::move(*problem);
  const std::string& made = std::get<Merged>(merged).toml;
  auto sections = extract(made, file);
  if (auto* why = std::get_if<std::string>(&sections)) return Problem{fault::validation_failed, std::move(*why)};
  return Promoted{std::move(std::get<Sections>(sections)), shared_text(made)};
}

std::filesystem::path store_folder(const Config& config) {
  return std::filesystem::path{config.control.state_dir} / "config-sync";
}
std::filesystem::path compat_folder(const Config& config) { return store_folder(config) / "compat"; }

std::optional<Problem> check_peers(std::string_view toml, const std::string& file, const Sections& theirs) {
  if (!changes_peers(toml, file, theirs)) return std::nullopt;
  const std::string what =
      has_peers(theirs)
          ? "peer: the primary speaks to peers, and this node's file has no [[peer]]: write one there, the primary's"
            " link.address, and restart this node: between multicast and unicast nothing changes while it runs"
          : "peer: the primary has no [[peer]] and speaks to a group, and this node's file has one: take it out there,"
            " and restart this node: between unicast and multicast nothing changes while it runs";
  return Problem{fault::validation_failed, what};
}

std::variant<Effective, Problem> combine(std::string_view toml, const std::string& file, const Sections* shared,
                                         bool transform, const std::string* compat) {
  std::optional<Sections> fewer;
  if (shared != nullptr && transform && changes_peers(toml, file, *shared)) {
    fewer = *shared;
    fewer->erase("peer");
  }
  auto merged =
      merge({.toml = toml, .shared = fewer ? &*fewer : shared, .transform = transform, .compat = compat}, file);
  if (auto* problem = std::get_if<Problem>(&merged)) return std::move(*problem);
  auto& made = std::get<Merged>(merged);
  ConfigResult parsed = parse_config(made.toml, file);
  if (const auto* why = std::get_if<std::string>(&parsed))
    return Problem{fault::validation_failed, without_place(*why, file)};
  return Effective{std::move(std::get<Config>(parsed)), std::move(made.notes)};
}

std::variant<Config, std::string> in_force(std::string_view toml, const std::string& file, const Kept& kept,
                                           std::optional<Role> running) {
  ConfigResult own = parse_config(toml, file);
  auto* config = std::get_if<Config>(&own);
  if (config == nullptr || !config->config_sync) return own;
  const Role role = config->config_sync->role;
  const bool goes_on = running && *running != role;
  const bool is_secondary = (goes_on ? *running : role) == Role::secondary;
  const Sections* shared = nullptr;
  std::variant<Promoted, Problem> promoted;
  if (kept.shared && (goes_on || is_secondary || (role == Role::primary && is_rolled_back(*kept.shared, toml, file)))) {
    shared = &kept.shared->revision.sections;
  } else if (kept.shared && kept.identity && role == Role::primary &&
             is_promoted(*kept.shared, *kept.identity, toml, file)) {
    promoted = promote(toml, file, kept.shared->revision.sections);
    if (const auto* made = std::get_if<Promoted>(&promoted)) shared = &made->sections;
  }
  const std::string* compat = nullptr;
  if (kept.compat && config->config_sync->compat)
    if (const auto found = kept.compat->revision.sections.find("carp"); found != kept.compat->revision.sections.end())
      compat = &found->second;
  if (shared == nullptr && compat == nullptr) return own;
  const bool transform = is_secondary;
  auto both = combine(toml, file, shared, transform, compat);
  if (auto* made = std::get_if<Effective>(&both)) {
    if (is_secondary && shared != nullptr)
      for (const std::string& name : without_say(toml, file, *config, made->config))
        made->config.warnings.push_back(name + " has no say here: it comes from the primary, in whose file it belongs");
    return std::move(made->config);
  }
  if (running) return file + ": what was synchronized does not fit it: " + std::get<Problem>(both).sentence;
  config->warnings.push_back("what was synchronized does no longer fit this file, which is in force alone: " +
                             std::get<Problem>(both).sentence);
  return own;
}

ConfigResult load_effective(const std::filesystem::path& file) {
  ConfigResult own = load_config(file);
  auto* config = std::get_if<Config>(&own);
  if (config == nullptr || !config->config_sync) return own;
  std::ifstream in{file, std::ios::binary};
  const std::string text{std::istreambuf_iterator<char>{in}, {}};
  DiskFiles shared_files{store_folder(*config)}, compat_files{compat_folder(*config)};
  Store shared{shared_files}, compat{compat_files};
  std::vector<std::string> told = shared.load();
  for (std::string& more : compat.load()) told.push_back(std::move(more));
  auto result = in_force(text, file.string(), {shared.identity(), shared.current(), compat.current()});
  if (auto* why = std::get_if<std::string>(&result)) return std::move(*why);
  auto& combined = std::get<Config>(result);
  combined.warnings.insert(combined.warnings.end(), told.begin(), told.end());
  return std::move(combined);
}

}  // namespace pfsync::engine::config_sync
