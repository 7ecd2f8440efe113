#include "engine/ctl/completion.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

#include "wire/text.h"

namespace pfsync::engine::ctl {
namespace {

constexpr std::array<std::string_view, 9> filter_terms{"host",  "net", "port",    "src", "dst",
                                                       "proto", "on",  "creator", "id"};

/// Of the command or of one that it is below: options may stand anywhere.
const CLI::Option* option_named(const CLI::App* app, const std::string& word) {
  for (; app != nullptr; app = app->get_parent())
    if (const CLI::Option* option = app->get_option_no_throw(word)) return option;
  return nullptr;
}

bool takes_value(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

bool is_file(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  return type == "PATH" || type == "FILE";
}

const CLI::App* command_named(const CLI::App& app, const std::string& word) {
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    if (command->get_name() == word) return command;
  return nullptr;
}

/// What may stand behind `before` in a filter: a term, or what begins that one's value. Values that the daemon alone
/// knows (interfaces, ids) are not asked for: a key stroke does not wait for it.
std::vector<std::string> filter_words_behind(const std::string& before) {
  if (before == "src" || before == "dst") return {"host", "net", "port"};
  if (before == "proto") {
    std::vector<std::string> named;
    for (unsigned proto = 0; proto < 256; ++proto) {
      std::string word = wire::protocol_text(static_cast<std::uint8_t>(proto));
      if (word.find_first_not_of("0123456789") != std::string::npos) named.push_back(std::move(word));
    }
    return named;
  }
  if (std::find(filter_terms.begin(), filter_terms.end(), before) != filter_terms.end()) return {};
  return {filter_terms.begin(), filter_terms.end()};
}

void add_options(const CLI::App& app, std::vector<std::string>& words) {
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) words.push_back("--" + name);
    for (const std::string& name : option->get_snames()) words.push_back("-" + name);
  }
}

}  // namespace

Completion complete(const CLI::App& app, const std::vector<std::string>& words) {
  const CLI::App* command = &app;
  const CLI::Option* open = nullptr;  // whose value comes next
  const std::string at_cursor = words.empty() ? "" : words.back();
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    if (open != nullptr) {
      open = nullptr;
    } else if (words[i].starts_with("-")) {
      const CLI::Option* option = option_named(command, words[i].substr(0, words[i].find('=')));
      const bool has_value = words[i].find('=') != std::string::npos;
      if (option != nullptr && takes_value(*option) && !has_value) open = option;
    } else if (const CLI::App* next = command_named(*command, words[i])) {
      command = next;
    }
  }
  Completion found;
  if (open != nullptr) {
    found.files = is_file(*open);
    return found;
  }
  if (at_cursor.starts_with("-")) {
    for (const CLI::App* each = command; each != nullptr; each = each->get_parent()) add_options(*each, found.words);
  } else {
    for (const CLI::App* next : command->get_subcommands([](const CLI::App*) { return true; }))
      found.words.push_back(next->get_name());
    for (const CLI::Option* option : command->get_options()) {
      if (!option->get_positional()) continue;
      if (option->get_name(true) == "FILTER") {
        const auto terms = filter_words_behind(words.size() > 1 ? words[words.size() - 2] : "");
        found.words.insert(found.words.end(), terms.begin(), terms.end());
      }
      found.files = found.files || is_file(*option);
    }
  }
  std::erase_if(found.words, [&](const std::string& word) { return !word.starts_with(at_cursor); });
  std::sort(found.words.begin(), found.words.end());
  found.words.erase(std::unique(found.words.begin(), found.words.end()), found.words.end());
  return found;
}

}  // namespace pfsync::engine::ctl
