#include "engine/ctl/states.h"

#include <fmt/format.h>

#include <iostream>

#include "engine/ctl/text.h"

namespace pfsync::engine::ctl {
namespace {

void print(const Json& page, const StatesOptions& options, bool& first) {
  for (const Json& state : page.at("states")) {
    if (options.json) {
      std::cout << (first ? "\n" : ",\n") << state.dump(-1, ' ', true, Json::error_handler_t::replace);
    } else {
      const std::string text = terminal_safe(state.at("text").get_ref<const std::string&>());
      options.verbose ? std::cout << text : std::cout << first_line(text) << "\n";
    }
    first = false;
  }
}

}  // namespace

std::variant<std::monostate, Unreached, std::string> show_states(Client& client, const StatesOptions& options) {
  // The daemon's control thread works some milliseconds on a page of either kind; it has more to do than this.
  Json request{{"command", "show"},
               {"what", "states"},
               {"filter", options.filter},
               {"only_text", !options.json},
               {"limit", options.json ? 250 : 1000}};
  bool first = true, begun = false;
  do {
    const auto answer = client.ask(request);
    if (const auto* why = std::get_if<Unreached>(&answer)) return *why;
    const Json& page = std::get<Json>(answer);
    if (page["ok"] == false) return page["error"].get<std::string>();
    if (options.json && !begun) std::cout << "{\"ok\":true,\"states\":[";
    begun = true;
    print(page, options, first);
    request["cursor"] = page.at("cursor");
  } while (!request["cursor"].is_null() && std::cout);
  if (options.json) std::cout << "\n]}\n";
  return std::monostate{};
}

std::variant<Json, Unreached> kill_states(Client& client, const std::string& filter) {
  Json request{{"command", "kill"}, {"filter", filter}};
  std::uint64_t states = 0;
  do {
    const auto answer = client.ask(request);
    if (const auto* why = std::get_if<Unreached>(&answer)) return *why;
    const Json& page = std::get<Json>(answer);
    if (page["ok"] == false) return page;
    states += page.at("states").get<std::uint64_t>();
    request["cursor"] = page.at("cursor");
  } while (!request["cursor"].is_null());
  return Json{{"ok", true},
              {"sentence", fmt::format("{} {} killed", states, states == 1 ? "state" : "states")},
              {"states", states}};
}

std::string creators_text(const Json& answer) {
  if (answer.at("counted_s").is_null()) return "the states are being counted: ask again\n";
  std::string text = fmt::format("{:<10} {:>12}\n", "creator id", "states");
  for (const Json& row : answer.at("creators"))
    text += fmt::format("{:<10} {:>12}{}\n", row.at("creatorid").get<std::string>(),
                        row.at("states").get<std::uint64_t>(), row.at("own").get<bool>() ? "  this node" : "");
  if (const auto others = answer.at("other_states").get<std::uint64_t>(); others > 0)
    text += fmt::format("{:<10} {:>12}\n", "others", others);
  return text;
}

std::string filter_text(const std::vector<std::string>& words, const std::vector<std::string>& of_k) {
  std::string text;
  const auto add = [&text](std::string_view word) { (text.empty() ? text : text.append(" ")).append(word); };
  for (std::size_t i = 0; i < of_k.size(); ++i) {
    if (i == 0) add(of_k[0] == "id" ? "id" : "src");
    if (i == 0 && of_k[0] == "id") continue;
    if (i > 0 && of_k[0] != "id") add("dst");
    add(of_k[i]);
  }
  for (const std::string& word : words) add(word);
  return text;
}

}  // namespace pfsync::engine::ctl
