#include "engine/ctl/text.h"

#include <fmt/format.h>
#include <ctime>

#include <algorithm>

namespace pfsync::engine::ctl {
namespace {

constexpr std::size_t bar_width = 40;

double share(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

// Widths as in sbin/pfctl/pfctl_parser.c, print_status().
std::string row(std::string_view name, std::uint64_t value) { return fmt::format("  {:<25} {:>14}\n", name, value); }
std::string row(std::string_view name, std::uint64_t value, double per_s) {
  return fmt::format("  {:<25} {:>14} {:>14.1f}/s\n", name, value, per_s);
}

/// Also in what a daemon says that knows no verdict.
std::string health_word(const Json& status) {
  if (const auto verdict = status.find("verdict"); verdict != status.end()) return plain(*verdict);
  return status.at("healthy").get<bool>() ? "healthy" : "UNHEALTHY";
}

/// What else is wrong, a line each.
std::string further_reasons(const Json& status) {
  const auto reasons = status.find("reasons");
  std::string text;
  if (reasons == status.end()) return text;
  for (std::size_t i = 1; i < reasons->size(); ++i)
    text += fmt::format("  {}: {}\n", plain(reasons->at(i).at("level")), plain(reasons->at(i).at("sentence")));
  return text;
}

std::string link_text(const Json& link) {
  const char* kind = link.contains("peer") ? "peer" : "multicast";
  std::string text =
      fmt::format("{} {}, {} to {} {}, mtu {}", plain(link.at("device")), link.at("up").get<bool>() ? "up" : "DOWN",
                  plain(link.at("address")), kind, plain(link.at(kind)), number(link, "mtu"));
  if (!link.at("vlan").is_null()) text += ", vlan " + plain(link.at("vlan"));
  return text;
}

/// The bulk update that this node asked for. Its size is not known: pfsync does not announce it.
std::string asked_text(const Json& bulk) {
  const std::string phase = plain(bulk.at("phase"));
  if (phase == "none") return "not asked for";
  std::string text = fmt::format("{} (request {} of {})", phase, number(bulk, "tries"), number(bulk, "tries_max"));
  if (phase == "receiving" || phase == "done")
    text += fmt::format(", {} states received", number(bulk, "states_received"));
  return text;
}

std::string serving_text(const Json& serving) {
  if (!serving.at("running").get<bool>()) return fmt::format("{} served", number(serving, "bulks_served"));
  return fmt::format("sending {} of {} states", number(serving, "states_sent"), number(serving, "states_total"));
}

struct Total {
  const char* key;
  const char* words;
};
constexpr Total state_totals[] = {
    {"inserts", "inserts"}, {"updates", "updates"}, {"removals", "removals"}, {"expired", "expired"}};
constexpr Total traffic_totals[] = {{"ipackets", "packets received"},
                                    {"opackets", "packets sent"},
                                    {"messages_in", "messages received"},
                                    {"messages_out", "messages sent"},
                                    {"refused", "refused"}};

/// A line for each peer whose map of interfaces has no row for a name that was met.
std::string unmapped_text(const Json& peers) {
  std::string text;
  for (const Json& peer : peers) {
    std::string names;
    for (const Json& one : peer.at("interfaces_unmapped"))
      names += fmt::format("{}{} ({} in, {} out)", names.empty() ? "" : ", ", plain(one.at("name")), number(one, "in"),
                           number(one, "out"));
    if (!names.empty()) text += fmt::format("  not in the interface_map of {}: {}\n", plain(peer.at("address")), names);
  }
  return text;
}

std::string snapshot_text(const Json& snapshot) {
  std::string text = "Snapshot\n";
  const auto line = [&text](std::string_view name, const std::string& words) {
    text += fmt::format("  {:<25} {}\n", name, words);
  };
  line("file", fmt::format("{}, every {} s{}", plain(snapshot.at("path")), number(snapshot, "interval_s"),
                           snapshot.at("writing").get<bool>() ? "; one is being written" : ""));
  if (const Json& last = snapshot.at("last"); last.is_object())
    line("last", fmt::format("{} ago: {} states, {} bytes, in {:.2f} s", uptime_text(last.at("age_s").get<double>()),
                             number(last, "states"), number(last, "bytes"), last.at("seconds").get<double>()));
  else
    line("last", "none since the start");
  if (snapshot.at("error").is_string()) line("error", plain(snapshot.at("error")));
  if (const Json& restored = snapshot.at("restored"); restored.is_object())
    line("at the start", plain(restored.at("sentence")));
  else if (snapshot.at("not_restored").is_string())
    line("at the start", "empty: " + plain(snapshot.at("not_restored")));
  return text;
}

template <std::size_t N>
std::string averages(const Json& status, const Total (&totals)[N]) {
  const double uptime_s = status.at("uptime_s").get<double>();
  std::string text;
  for (const Total& total : totals) {
    const std::uint64_t value = number(status.at("totals"), total.key);
    text += row(total.words, value, uptime_s > 0 ? static_cast<double>(value) / uptime_s : 0);
  }
  return text;
}

template <std::size_t N>
std::string momentary(const Rates& rates, const Json& status, const Total (&totals)[N]) {
  std::string text;
  for (const Total& total : totals) text += row(total.words, number(status.at("totals"), total.key), rates(total.key));
  return text;
}

/// The lines of an object of counters: number, sentence, word.
std::string counted(const Json& counters, const Json* sentences, bool all, std::string_view indent) {
  std::string text;
  for (const auto& [word, value] : counters.items()) {
    const auto count = value.get<std::uint64_t>();
    if (count == 0 && !all) continue;
    if (sentences != nullptr)
      text += fmt::format("{}{} {} ({})\n", indent, count, plain(sentences->at(word)), word);
    else
      text += fmt::format("{}{} {}\n", indent, count, word);
  }
  return text;
}

}  // namespace

std::string terminal_safe(std::string_view utf8) {
  std::string safe;
  safe.reserve(utf8.size());
  for (std::size_t i = 0; i < utf8.size(); ++i) {
    const auto byte = static_cast<unsigned char>(utf8[i]);
    const auto next = i + 1 < utf8.size() ? static_cast<unsigned char>(utf8[i + 1]) : 0;
    if (byte == 0xc2 && next >= 0x80 && next <= 0x9f) {  // C1: on some terminals the same as ESC and a letter
      safe += fmt::format("\\x{:02x}", next);
      ++i;
    } else if ((byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f) {
      safe += fmt::format("\\x{:02x}", byte);
    } else {
      safe += utf8[i];
    }
  }
  return safe;
}

std::string time_text(const Json& seconds) {
  const auto time = static_cast<std::time_t>(seconds.get<std::int64_t>());
  std::tm parts{};
  char text[32];
  if (time == 0 || gmtime_r(&time, &parts) == nullptr) return "never";
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts);
  return text;
}

std::string uptime_text(double seconds) {
  const auto s = static_cast<std::uint64_t>(std::clamp(seconds, 0.0, 1e15));
  const std::uint64_t days = s / 86400;
  std::string clock = fmt::format("{:02}:{:02}:{:02}", s / 3600 % 24, s / 60 % 60, s % 60);
  if (days == 0) return clock;
  return fmt::format("{} day{} {}", days, days == 1 ? "" : "s", clock);
}

std::string status_text(const Json& status) {
  std::string text = fmt::format("Status: {:<35} Host id: {}\n  {}\n",
                                 health_word(status) + ", up " + uptime_text(status.at("uptime_s").get<double>()),
                                 plain(status.at("creatorid")), plain(status.at("reason")));
  text += further_reasons(status);
  const std::string from =
      status.at("dialect_from") == "fixed" ? "" : fmt::format(" ({})", plain(status.at("dialect_from")));
  text += fmt::format("\nLink\n  {}, dialect {}{}\n", link_text(status.at("link")), plain(status.at("dialect")), from);
  if (const Json& peers = status.at("peers"); peers.size() > 1)
    for (const Json& peer : peers)
      text += fmt::format("  peer {}, dialect {} ({}), {}\n", plain(peer.at("address")), plain(peer.at("dialect")),
                          plain(peer.at("dialect_from")),
                          peer.at("active").get<bool>() ? "bulk update " + asked_text(peer.at("bulk"))
                                                        : "spoken with by the master of " + plain(peer.at("source")));
  text += unmapped_text(status.at("peers"));
  text += fmt::format("\n{:<27} {:>14} {:>16}\n", "State Table", "Total", "Rate");
  text += row("current entries", number(status, "states"));
  text += row("limit", number(status, "states_max"));
  text += row("changes to announce", number(status, "queued"));
  if (const Json& rules = status.at("sync_rules"); !rules.is_null()) {
    text += row("too young to announce", number(rules, "delayed"));
    text += row("ended too young", number(rules, "short"));
    text += row("never announced", number(rules, "skipped"));
  }
  text += averages(status, state_totals);
  text += "Traffic\n" + averages(status, traffic_totals);
  text += fmt::format("Bulk Update\n  {:<25} {}\n  {:<25} {}\n", "own", asked_text(status.at("bulk")), "for peers",
                      serving_text(status.at("serving")));
  if (const Json& lag = status.at("insert_ack"); !lag.is_null())
    text += fmt::format("  {:<25} half within {} us, 99 % within {} us, of {}\n", "insert to insert ack",
                        number(lag, "p50_us"), number(lag, "p99_us"), number(lag, "count"));
  if (const auto snapshot = status.find("snapshot"); snapshot != status.end() && snapshot->is_object())
    text += snapshot_text(*snapshot);
  if (const Json& synthetic = status.at("synthetic"); !synthetic.is_null()) {
    text += fmt::format("Synthetic Load{}\n", synthetic.at("running").get<bool>() ? "" : " (stopped)");
    for (const char* word : {"opened", "updated", "closed", "waited"}) text += row(word, number(synthetic, word));
  }
  if (status.contains("digest"))
    text += fmt::format("Digest\n  {} over {} states\n", plain(status.at("digest")), number(status, "digest_states"));
  return text;
}

std::string counters_text(const Json& counters, bool all) {
  const Json& sentences = counters.at("sentences");
  std::string text = counted(counters.at("counters"), &sentences, all, "\t");
  if (const auto lines = counted(counters.at("received"), nullptr, all, "\t\t"); !lines.empty())
    text += "\tmessages received\n" + lines;
  if (const auto lines = counted(counters.at("sent"), nullptr, all, "\t\t"); !lines.empty())
    text += "\tmessages sent\n" + lines;
  if (const auto lines = counted(counters.at("outside"), &sentences, all, "\t\t"); !lines.empty())
    text += "\tlink and control\n" + lines;
  return fmt::format("pfsync:\n{}", text.empty() ? "\tall counters are 0 (-v shows them)\n" : text);
}

std::string tdbs_text(const Json& answer) {
  const Json& tdbs = answer.at("tdbs");
  if (tdbs.empty()) return "no IPsec counters have been heard of\n";
  std::string text =
      fmt::format("{:<8}  {:<39}  {:<6} {:>12} {:>16}  {}\n", "spi", "dst", "proto", "rpl", "cur_bytes", "heard");
  for (const Json& tdb : tdbs) {
    const std::string domain = number(tdb, "rdomain") == 0 ? "" : fmt::format(" rdomain {}", number(tdb, "rdomain"));
    text += fmt::format("{:<8}  {:<39}  {:<6} {:>12} {:>16}  {} ago\n", plain(tdb.at("spi")),
                        plain(tdb.at("dst")) + domain, plain(tdb.at("protocol")), number(tdb, "rpl"),
                        number(tdb, "cur_bytes"), uptime_text(tdb.at("heard_s").get<double>()));
  }
  return text;
}

std::string_view first_line(std::string_view state_text) { return state_text.substr(0, state_text.find('\n')); }

std::string bar_text(double fraction, std::size_t width) {
  const auto filled = static_cast<std::size_t>(std::clamp(fraction, 0.0, 1.0) * static_cast<double>(width));
  return fmt::format("[{:#<{}}{:.<{}}]", "", filled, "", width - filled);
}

Rates::Rates(const std::optional<Json>& before, const Json& status) : now_{&status} {
  if (!before) return;
  before_ = &*before;
  seconds_ = status.at("uptime_s").get<double>() - before->at("uptime_s").get<double>();
}

double Rates::operator()(std::string_view total) const {
  if (seconds_ <= 0) return 0;
  const std::string key{total};
  const auto was = before_->at("totals").at(key).get<std::uint64_t>();
  const auto is = now_->at("totals").at(key).get<std::uint64_t>();
  return is < was ? 0 : static_cast<double>(is - was) / seconds_;
}

std::string watch_text(const std::optional<Json>& before, const Json& status) {
  const Rates rates{before, status};
  const std::uint64_t states = number(status, "states"), states_max = number(status, "states_max");
  std::string text = fmt::format("pfsyncd {}   host id {}   up {}\n{}: {}\n{}\n\n", plain(status.at("version")),
                                 plain(status.at("creatorid")), uptime_text(status.at("uptime_s").get<double>()),
                                 health_word(status), plain(status.at("reason")), link_text(status.at("link")));
  text += fmt::format("States       {} {} of {}\n", bar_text(share(states, states_max), bar_width), states, states_max);
  const Json& serving = status.at("serving");
  text += "Bulk, peers  ";
  if (serving.at("running").get<bool>())
    text += bar_text(share(number(serving, "states_sent"), number(serving, "states_total")), bar_width) + " ";
  text += serving_text(serving) + "\n";
  text += fmt::format("Bulk, own    {}\n", asked_text(status.at("bulk")));
  text += fmt::format("\n{:<27} {:>14} {:>16}\n", "", "Total", "Now");
  text += row("changes to announce", number(status, "queued"));
  text += momentary(rates, status, state_totals) + momentary(rates, status, traffic_totals);
  return text;
}

std::string watch_line(const std::optional<Json>& before, const Json& status) {
  const Rates rates{before, status};
  return fmt::format("{} states {} in {:.0f}/s out {:.0f}/s refused {} bulk {}\n", health_word(status),
                     number(status, "states"), rates("messages_in"), rates("messages_out"),
                     number(status.at("totals"), "refused"), plain(status.at("bulk").at("phase")));
}

}  // namespace pfsync::engine::ctl
