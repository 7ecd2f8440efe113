#include "engine/ctl/completion.h"

#include <algorithm>
#include <array>
#include <string_view>

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
      if (option->get_name(true) == "FILTER")
        found.words.insert(found.words.end(), filter_terms.begin(), filter_terms.end());
      found.files = found.files || is_file(*option);
    }
  }
  std::erase_if(found.words, [&](const std::string& word) { return !word.starts_with(at_cursor); });
  std::sort(found.words.begin(), found.words.end());
  found.words.erase(std::unique(found.words.begin(), found.words.end()), found.words.end());
  return found;
}

}  // namespace pfsync::engine::ctl
