#include "engine/ctl/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "engine/ctl/text.h"

namespace pfsync::engine::ctl {
namespace {

constexpr std::chrono::milliseconds look_every{50};
constexpr int looks_max = 600;           ///< 30 s: more than the longest order takes
constexpr int pairing_looks_max = 2600;  ///< a little more than the window

std::string revision_text(const Json& revision) {
  if (revision.is_null()) return "none";
  return fmt::format("generation {}, epoch {}, of node {} ({}), {}", plain(revision.at("generation")),
                     plain(revision.at("epoch")), plain(revision.at("origin")).substr(0, 8),
                     plain(revision.at("source")), time_text(revision.at("time")));
}

std::string firewall_text(const Json& compat) {
  std::string text = fmt::format("firewalls: at {}, {} calls, {} refused\n", plain(compat.at("listen")),
                                 plain(compat.at("calls")), plain(compat.at("refused")));
  if (const Json& last = compat.at("last"); !last.is_null())
    text += fmt::format("    last: {} from {}, {}\n", plain(last.at("method")), plain(last.at("address")),
                        time_text(last.at("time")));
  std::string names;
  for (const Json& name : compat.at("received_but_not_applied")) names += (names.empty() ? "" : ", ") + plain(name);
  if (!names.empty()) text += "    received but not applied: " + names + "\n";
  return text;
}

std::variant<Json, Unreached> look(Client& client) {
  std::this_thread::sleep_for(look_every);
  return client.ask({{"command", "show"}, {"what", "config_sync"}});
}

Json failed(const std::string& sentence) { return {{"ok", false}, {"sentence", sentence}}; }

}  // namespace

std::string config_sync_text(const Json& status, bool all) {
  std::string text = fmt::format("role {}, node {}, cluster {}\n", plain(status.at("role")),
                                 plain(status.at("node")).substr(0, 8), plain(status.at("cluster")));
  for (const Json& alarm : status.at("alarms")) text += "ALARM: " + plain(alarm) + "\n";
  if (!plain(status.at("listen")).empty()) text += "listens at " + plain(status.at("listen")) + "\n";
  if (!plain(status.at("peer")).empty())
    text += fmt::format(
        "peer {}{}\n", plain(status.at("peer")),
        plain(status.at("peer_node")).empty() ? "" : ", node " + plain(status.at("peer_node")).substr(0, 8));
  text += "trust: " + plain(status.at("trust")) + "\n";
  text += "in force: " + revision_text(status.at("in_force")) + "\n";
  if (status.at("rolled_back_from_file").get<bool>())
    text += "    instead of the file's shared part, which comes into force once it is changed\n";
  if (!status.at("in_sync").is_null()) {
    text += status.at("in_sync").get<bool>() ? "in sync" : "OUT OF SYNC";
    text += fmt::format(", last push {}\n", time_text(status.at("last_push").at("time")));
  }
  if (!plain(status.at("error")).empty()) text += "    " + plain(status.at("error")) + "\n";
  if (status.at("staged").get<bool>()) text += "a configuration is staged\n";
  if (status.at("unconfirmed").get<bool>()) text += "a configuration waits to be confirmed\n";
  if (const auto compat = status.find("compat"); compat != status.end()) text += firewall_text(*compat);
  std::string kept;
  const Json& history = status.at("history");
  for (const Json& former : history) {
    const auto is_same = [&](const Json& other) { return other.at("generation") == former.at("generation"); };
    kept += (kept.empty() ? "" : ", ") + plain(former.at("generation"));
    if (std::count_if(history.begin(), history.end(), is_same) > 1) kept += " of epoch " + plain(former.at("epoch"));
  }
  if (!kept.empty()) text += "kept generations: " + kept + "\n";
  if (!all) return text;
  for (const auto& [name, digest] : status.at("sections").items())
    text += fmt::format("section {} {}\n", name, plain(digest).substr(0, 16));
  for (const Json& line : status.at("log"))
    text += fmt::format("{} {}{}\n", time_text(line.at("time")), line.at("warning").get<bool>() ? "WARNING " : "",
                        plain(line.at("sentence")));
  return text;
}

std::variant<Json, Unreached> await_order(Client& client, const Json& request) {
  auto answer = client.ask(request);
  if (std::holds_alternative<Unreached>(answer)) return answer;
  const Json taken = std::get<Json>(answer);
  if (taken.at("ok") == false) return failed(plain(taken.at("error")));
  const std::string number = taken.at("order").dump();
  for (int looks = 0; looks < looks_max; ++looks) {
    auto status = look(client);
    if (std::holds_alternative<Unreached>(status)) return status;
    const Json& orders = std::get<Json>(status).at("orders");
    if (const auto result = orders.find(number); result != orders.end()) return *result;
  }
  return failed("the order is not carried out yet: pfsyncctl config status tells how it goes");
}

std::variant<Json, Unreached> pair_nodes(Client& client, std::string (*ask)(const std::string& text)) {
  auto begun = await_order(client, {{"command", "config"}, {"do", "pair"}});
  if (std::holds_alternative<Unreached>(begun) || std::get<Json>(begun).at("ok") == false) return begun;
  for (int looks = 0; looks < pairing_looks_max; ++looks) {
    auto status = look(client);
    if (std::holds_alternative<Unreached>(status)) return status;
    const Json pairing = std::get<Json>(status).at("pairing");
    const std::string state = plain(pairing.at("state")), code = plain(pairing.at("code"));
    if (state == "open") continue;
    if (state != "shown") return failed("not paired: " + plain(pairing.at("why")));
    const std::string typed = ask("This console shows " + code + ".\nDoes the other console show the same? [y/N] ");
    if (typed == "y" || typed == "yes")
      return await_order(client, {{"command", "config"}, {"do", "pair"}, {"confirm", code}});
    return await_order(client, {{"command", "config"}, {"do", "pair"}, {"abort", true}});
  }
  return failed("not paired: the other node was not there in time");
}

}  // namespace pfsync::engine::ctl
