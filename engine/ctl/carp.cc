#include "engine/ctl/carp.h"

#include <fmt/format.h>

#include "engine/ctl/text.h"

namespace pfsync::engine::ctl {
namespace {

std::string host_text(const Json& host, bool all) {
  std::string text = fmt::format("{}@{}: {} for {}\n", plain(host.at("vhid")), plain(host.at("interface")),
                                 plain(host.at("state")), uptime_text(host.at("seconds").get<double>()));
  text += fmt::format("    carp: {} vhid {} advbase {} advskew {}", plain(host.at("state")), plain(host.at("vhid")),
                      plain(host.at("advbase")), plain(host.at("advskew")));
  if (host.at("skew_now") != host.at("advskew")) text += fmt::format(" (now {})", plain(host.at("skew_now")));
  text += fmt::format(", {}\n", plain(host.at("mac")));
  for (const Json& address : host.at("addresses")) text += "    " + plain(address) + "\n";
  if (const Json& heard = host.at("heard"); heard.is_null())
    text += "    no other node was heard\n";
  else
    text += fmt::format("    last heard {} {:.1f} s ago: advbase {} advskew {}\n", plain(heard.at("source")),
                        heard.at("seconds_ago").get<double>(), plain(heard.at("advbase")), plain(heard.at("advskew")));
  for (const Json& mistake : host.at("mistakes"))
    if (all || mistake.at("now").get<bool>())
      text +=
          fmt::format("    {} ({} times, {:.1f} s ago): {}\n", plain(mistake.at("mistake")), plain(mistake.at("count")),
                      mistake.at("seconds_ago").get<double>(), plain(mistake.at("sentence")));
  if (!all) return text;
  for (const Json& move : host.at("moves"))
    text += fmt::format("    {} ago: {} -> {} ({})\n", uptime_text(move.at("seconds_ago").get<double>()),
                        plain(move.at("from")), plain(move.at("to")), plain(move.at("reason")));
  for (const Json& reign : host.at("masters"))
    text += fmt::format("    {} ago: {} became master\n", uptime_text(reign.at("seconds_ago").get<double>()),
                        plain(reign.at("master")));
  return text;
}

}  // namespace

std::string carp_text(const Json& carp, bool all) {
  std::string text = carp.at("enabled").get<bool>() ? "CARP is enabled" : "CARP is disabled";
  text += carp.at("maintenance").get<bool>() ? ", in maintenance mode" : "";
  text += fmt::format(", demotion {}", plain(carp.at("demotion")));
  std::string parts;
  for (const auto& [cause, value] : carp.at("demotion_parts").items())
    parts += fmt::format("{}{} {}", parts.empty() ? "" : ", ", cause, plain(value));
  text += parts.empty() ? "\n" : " (" + parts + ")\n";
  if (!carp.at("in_sync").get<bool>())
    text += "not in sync: this node takes over from no slower master until a bulk update has come to its end\n";
  if (!carp.at("healthy").get<bool>()) text += "UNHEALTHY: " + plain(carp.at("reason")) + "\n";
  for (const Json& host : carp.at("hosts")) text += host_text(host, all);
  if (!all) return text;
  text += "carp:\n";
  for (const auto& [word, value] : carp.at("counters").items())
    if (value != 0) text += fmt::format("    {} {}\n", plain(value), plain(carp.at("sentences").at(word)));
  return text;
}

}  // namespace pfsync::engine::ctl
