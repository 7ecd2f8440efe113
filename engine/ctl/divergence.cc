#include "engine/ctl/divergence.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>

#include "engine/ctl/peers.h"
#include "engine/ctl/text.h"

namespace pfsync::engine::ctl {
namespace {

constexpr std::chrono::milliseconds comparison_look_every{100};
constexpr int comparison_looks_max = 6500;  ///< a little more than the longest comparison takes

/// A state on one line: of the first two of pfctl -ss -vv what a difference may lie in.
std::string side_text(const char* side, const Json& state) {
  if (state.is_null()) return fmt::format("    {:<5} -\n", side);
  const std::string text = plain(state.at("text"));
  std::string line;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::size_t first = text.find_first_not_of(' ', begin);
    if (first < end) line += (line.empty() ? "" : "  ") + text.substr(first, end - first);
    begin = end + 1;
  }
  return fmt::format("    {:<5} {}\n", side, line);
}

std::string kind_text(const std::string& kind) {
  if (kind == "only_here") return "only here";
  if (kind == "only_there") return "only there";
  if (kind == "newer_here") return "newer here";
  if (kind == "newer_there") return "newer there";
  if (kind == "newer_on_both") return "newer on each side in one direction";
  return "neither is the newer";
}

Json refusal(const std::string& why) { return {{"ok", false}, {"error", why}}; }

}  // namespace

std::string divergence_text(const Json& answer) {
  std::string text;
  const Json& comparison = answer.at("comparison");
  if (comparison.is_null()) {
    text = plain(answer.at("why_not")) + "\n";
  } else {
    const auto every = comparison.at("every_s").get<std::int64_t>();
    text = every == 0 ? "compares when ordered\n" : fmt::format("compares every {} s\n", every);
    if (const Json& running = comparison.at("running"); !running.is_null())
      text += "a comparison is under way: " + plain(running) + "\n";
    if (const Json& last = comparison.at("last"); last.is_null()) {
      text += "none has been made yet\n";
    } else {
      text += fmt::format("last {}: {}\n", time_text(last.at("time")), plain(last.at("sentence")));
      text += fmt::format("    {} suspects, {} settled, {} in flux; {} bytes in {} requests, {:.1f} s\n",
                          plain(last.at("suspects")), plain(last.at("settled")), plain(last.at("in_flux")),
                          last.at("bytes_sent").get<std::uint64_t>() + last.at("bytes_received").get<std::uint64_t>(),
                          plain(last.at("requests")), last.at("seconds").get<double>());
    }
    text += fmt::format("{} comparisons, {} failed; {} states found different, {} mended\n",
                        plain(comparison.at("comparisons")), plain(comparison.at("failures")),
                        plain(comparison.at("different_total")), plain(comparison.at("mended_total")));
  }
  return text;
}

std::string diff_text(const Json& answer) {
  const Json& last = answer.at("comparison").at("last");
  std::string text;
  for (const Json& difference : last.at("differences"))
    text += fmt::format("{}: {}\n", plain(difference.at("id")), kind_text(plain(difference.at("kind")))) +
            side_text("here", difference.at("here")) + side_text("there", difference.at("there"));
  const std::uint64_t shown = last.at("differences").size(), all = last.at("different").get<std::uint64_t>();
  if (all > shown) text += fmt::format("and {} more\n", all - shown);
  return text + plain(last.at("sentence")) + ".\n";
}

bool are_alike(const Json& answer) {
  constexpr double share_alarming = 0.01;
  if (const auto sampling = answer.find("sampling"); sampling != answer.end())
    return sampling->at("low").is_number() && sampling->at("low").get<double>() <= share_alarming;
  const Json& last = answer.at("comparison").at("last");
  if (!last.at("error").is_null()) return false;
  if (last.at("different") == 0) return true;
  return last.at("repair") == true && last.at("refused") == 0 && last.at("not_judged") == 0;
}

std::variant<Json, Unreached> compare_tables(Client& client, bool repair) {
  auto begun = client.ask({{"command", "compare"}, {"repair", repair}});
  if (std::holds_alternative<Unreached>(begun) || std::get<Json>(begun).at("ok") == false) return begun;
  const auto number = std::get<Json>(begun).at("order").get<std::uint64_t>();
  for (int looks = 0; looks < comparison_looks_max; ++looks) {
    std::this_thread::sleep_for(comparison_look_every);
    auto status = client.ask({{"command", "show"}, {"what", "divergence"}});
    if (std::holds_alternative<Unreached>(status)) return status;
    const Json comparison = std::get<Json>(status).at("comparison");
    if (comparison.is_null()) return refusal("this node compares its table no more");
    const Json& last = comparison.at("last");
    if (last.is_null() || last.at("order").get<std::uint64_t>() < number) continue;
    return client.ask({{"command", "show"}, {"what", "divergence"}, {"differences", true}});
  }
  return refusal("the comparison has come to no end yet: pfsyncctl show divergence tells how it goes");
}

namespace {

/// A comparison, if that peer is the paired engine; nothing, if it is another.
std::optional<std::variant<Json, Unreached>> compare_if_paired(Client& client, const std::string& address,
                                                               bool repair) {
  auto status = client.ask({{"command", "show"}, {"what", "divergence"}});
  if (std::holds_alternative<Unreached>(status)) return status;
  const Json known = std::get<Json>(status);
  if (!known.value("can_ask", false)) return std::nullopt;
  // Which of the peers is the paired engine, that engine says itself.
  const auto is_another = [&](const Json& last) { return last.at("peer").is_string() && last.at("peer") != address; };
  if (const Json& last = known.at("comparison").at("last"); !last.is_null() && is_another(last)) return std::nullopt;
  auto compared = compare_tables(client, false);
  if (std::holds_alternative<Unreached>(compared)) return compared;
  const Json& answer = std::get<Json>(compared);
  if (answer.at("ok") == true && is_another(answer.at("comparison").at("last"))) return std::nullopt;
  if (!repair || answer.at("ok") == false) return compared;
  return compare_tables(client, true);
}

}  // namespace

std::variant<Json, Unreached> compare_with(Client& client, const std::string& address, bool repair) {
  auto shown = client.ask({{"command", "show"}, {"what", "peers"}});
  if (std::holds_alternative<Unreached>(shown) || std::get<Json>(shown).at("ok") == false) return shown;
  const Json peers = std::get<Json>(shown).at("peers");
  const auto peer =
      std::find_if(peers.begin(), peers.end(), [&](const Json& each) { return each.at("address") == address; });
  if (peer == peers.end()) return refusal(address + " is no peer of this node: pfsyncctl show peers lists them");
  if (auto compared = compare_if_paired(client, address, repair)) return std::move(*compared);
  if (repair)
    return refusal(address + " is not the paired engine: of a peer that knows no digest only samples can be had, and " +
                   "pfsyncctl resync --peer " + address + " asks it for all its states");
  if (peer->at("sampling").is_null()) return refusal("this node takes no samples of its peers' states");
  return Json{{"ok", true}, {"peer", address}, {"sampling", peer->at("sampling")}};
}

std::string samples_text(const Json& answer) {
  return plain(answer.at("peer")) + ", samples: " + sampling_text(answer.at("sampling")) + ".\n";
}

namespace {

/// A comparison that was to mend: nothing, if there was none since the paired engine is another.
std::optional<std::variant<Json, Unreached>> mend(Client& client, const std::string& address) {
  if (!address.empty()) return compare_if_paired(client, address, true);
  auto status = client.ask({{"command", "show"}, {"what", "divergence"}});
  if (std::holds_alternative<Unreached>(status)) return status;
  if (!std::get<Json>(status).value("can_ask", false)) return std::nullopt;
  return compare_tables(client, true);
}

}  // namespace

std::variant<Json, Unreached> resync(Client& client, const std::string& address, bool full) {
  Json whole{{"command", "resync"}};
  if (!address.empty()) whole["peer"] = address;
  if (full) return client.ask(whole);
  const auto compared = mend(client, address);
  if (!compared) return client.ask(whole);
  if (std::holds_alternative<Unreached>(*compared)) return *compared;
  const Json& answer = std::get<Json>(*compared);
  std::string why;
  if (answer.at("ok") == false) {
    why = plain(answer.at("error"));
  } else {
    const Json& last = answer.at("comparison").at("last");
    if (last.at("error").is_null()) return Json{{"ok", true}, {"sentence", last.at("sentence")}};
    why = plain(last.at("error"));
  }
  auto asked = client.ask(whole);
  if (auto* done = std::get_if<Json>(&asked); done != nullptr && done->at("ok") == true)
    (*done)["sentence"] = "the tables were not compared (" + why + "): " + plain(done->at("sentence"));
  return asked;
}

}  // namespace pfsync::engine::ctl
