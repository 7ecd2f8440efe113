#include "engine/ctl/peers.h"

#include <fmt/format.h>

#include <algorithm>

namespace pfsync::engine::ctl {
namespace {

constexpr std::size_t bulk_bar_width = 30;

double real(const Json& object, const char* key) { return object.at(key).get<double>(); }

std::string seconds_text(double seconds) {
  return seconds < 100 ? fmt::format("{:.1f} s", seconds) : uptime_text(seconds);
}

std::string rate_text(const Json& bulk) { return fmt::format("{:.0f}/s", real(bulk, "rate_per_s")); }

/// The bulk update that was asked of a peer.
std::string own_text(const Json& bulk) {
  const std::string phase = plain(bulk.at("phase"));
  if (phase == "none") return "not asked for";
  std::string text =
      fmt::format("{}, request {} of {}, {} states in {}, {}", phase, number(bulk, "tries"), number(bulk, "tries_max"),
                  number(bulk, "states_received"), seconds_text(real(bulk, "taking_s")), rate_text(bulk));
  if (const Json& next = bulk.at("next_try_s"); !next.is_null())
    text += fmt::format(", next {} in {}", number(bulk, "tries") == number(bulk, "tries_max") ? "and last look" : "try",
                        seconds_text(next.get<double>()));
  return text;
}

/// The one that a peer is given.
std::string given_text(const Json& serving) {
  const std::uint64_t sent = number(serving, "states_sent"), total = number(serving, "states_total");
  const std::uint64_t served = number(serving, "bulks_served"), merged = number(serving, "requests_merged");
  std::string text;
  if (serving.at("running").get<bool>()) {
    const double share = total == 0 ? 0 : static_cast<double>(sent) / static_cast<double>(total);
    text = fmt::format("{} {:.0f} %, {} of {} states, {}", bar_text(share, bulk_bar_width), 100 * std::min(share, 1.0),
                       sent, total, rate_text(serving));
    if (const Json& eta = serving.at("eta_s"); !eta.is_null())
      text += fmt::format(", {} left", seconds_text(eta.get<double>()));
    text += "; ";
  } else if (served > 0) {
    text = fmt::format("the last one {} states in {}, {}; ", sent, seconds_text(real(serving, "taking_s")),
                       rate_text(serving));
  }
  text += fmt::format("{} served", served);
  if (merged > 0) text += fmt::format(", {} requests joined one under way", merged);
  const std::uint64_t limit = number(serving, "limit_per_s");
  return text + (limit == 0 ? ", no limit" : fmt::format(", at most {}/s", limit));
}

std::string line(const char* name, const std::string& text) { return fmt::format("  {:<18} {}\n", name, text); }

std::string interfaces_text(const Json& peer) {
  std::string text;
  for (const auto& [ours, theirs] : peer.at("interface_map").items())
    text += fmt::format("{}{} = {}", text.empty() ? "" : ", ", ours, plain(theirs));
  std::string unmapped;
  for (const Json& one : peer.at("interfaces_unmapped"))
    unmapped += fmt::format("{}{} ({} in, {} out)", unmapped.empty() ? "" : ", ", plain(one.at("name")),
                            number(one, "in"), number(one, "out"));
  if (!unmapped.empty()) text += (text.empty() ? "without a row: " : "; without a row: ") + unmapped;
  return text;
}

/// No exponent, as {:.2g} has of 100.
std::string two_digits(double percent) {
  return percent < 10 ? fmt::format("{:.2g}", percent) : fmt::format("{:.0f}", percent);
}

/// Loss with its bounds, where there was enough to tell.
std::string loss_text(const Json& peer) {
  std::string text;
  for (const auto& [key, from] : {std::pair{"loss_in", "of its packets"}, std::pair{"loss_out", "of ours"}}) {
    const Json& loss = peer.at(key);
    if (number(loss, "told") + number(loss, "missed") == 0) continue;
    text += fmt::format("{}{} % {} ({} to {}, {} of {} new states missed)", text.empty() ? "" : ", ",
                        two_digits(real(loss, "percent")), from, two_digits(real(loss, "low")),
                        two_digits(real(loss, "high")), number(loss, "missed"),
                        number(loss, "told") + number(loss, "missed"));
  }
  return text;
}

/// How long it takes to answer.
std::string lag_text(const Json& peer) {
  std::string text;
  if (const Json& trip = peer.at("round_trip"); !trip.is_null())
    text = fmt::format("half within {} us, 99 % within {} us, of {}", number(trip, "p50_us"), number(trip, "p99_us"),
                       number(trip, "count"));
  if (const Json& bulk = peer.at("bulk_round_trip_s"); !bulk.is_null())
    text += fmt::format("{}bulk request to START {:.1f} ms", text.empty() ? "" : "; ", 1000 * bulk.get<double>());
  return text;
}

std::string peer_text(const Json& peer) {
  const Json& heard = peer.at("heard_s");
  std::string text = plain(peer.at("address")) + "\n";
  text +=
      line("spoken with", peer.at("active").get<bool>() ? "from " + plain(peer.at("source"))
                                                        : "by another node, the master of " + plain(peer.at("source")));
  text += line("dialect", fmt::format("{} ({})", plain(peer.at("dialect")), plain(peer.at("dialect_from"))) +
                              (number(peer, "not_understood_by") == 0
                                   ? ""
                                   : fmt::format(", not taken by {} of the nodes", number(peer, "not_understood_by"))));
  if (const auto sampling = peer.find("sampling"); sampling != peer.end() && !sampling->is_null())
    text += line("samples", sampling_text(*sampling));
  text += line("heard", heard.is_null() ? "never" : seconds_text(heard.get<double>()) + " ago");
  for (const Json& node : peer.at("nodes"))
    text += line(
        "", fmt::format("{}, {} ago, {}", plain(node.at("address")), seconds_text(real(node, "heard_s")),
                        node.at("dialect").is_null() ? fmt::format("header version {}", number(node, "header_version"))
                                                     : "dialect " + plain(node.at("dialect"))));
  const Json& sent = peer.at("sent_s");
  text += line("sent", sent.is_null() ? "nothing" : seconds_text(sent.get<double>()) + " ago");
  for (const Json& node : peer.at("answers"))
    text += line("answers",
                 fmt::format("{}: {}", plain(node.at("address")),
                             number(node, "unanswered") > 0
                                 ? fmt::format("{} questions in a row unanswered", number(node, "unanswered"))
                             : node.at("answered_s").is_null() ? "not asked yet"
                                                               : seconds_text(real(node, "answered_s")) + " ago"));
  if (const std::string lag = lag_text(peer); !lag.empty()) text += line("round trip", lag);
  if (const std::string loss = loss_text(peer); !loss.empty()) text += line("lost", loss);
  text += line("queued", fmt::format("{} changes", number(peer, "queued")));
  text += line("bulk update, own", own_text(peer.at("bulk")));
  text += line("bulk update, its", given_text(peer.at("serving")));
  if (const std::string interfaces = interfaces_text(peer); !interfaces.empty()) text += line("interfaces", interfaces);
  return text;
}

// --- TOML ----------------------------------------------------------------------------------------------

std::string key_text(const std::string& key) {
  const bool is_bare = !key.empty() && std::ranges::all_of(key, [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
  return is_bare ? key : Json(key).dump();
}

/// A value on one line. JSON writes strings, numbers and booleans as TOML does.
std::string value_text(const Json& value) {
  std::string text;
  if (value.is_object()) {
    for (const auto& [key, member] : value.items())
      text += fmt::format("{}{} = {}", text.empty() ? "" : ", ", key_text(key), value_text(member));
    return "{ " + text + " }";
  }
  if (!value.is_array()) return value.dump();
  for (const Json& element : value) text += (text.empty() ? "" : ", ") + value_text(element);
  return "[" + text + "]";
}

bool is_list_of_sections(const std::string& key, const Json& value) {
  return key != "sources" && value.is_array() && !value.empty() && value.front().is_object();
}

/// A section's own keys, then the sections in it.
std::string section_text(const std::string& path, const Json& section) {
  std::string text, sections;
  for (const auto& [key, value] : section.items()) {
    const std::string name = path.empty() ? key_text(key) : path + "." + key_text(key);
    if (is_list_of_sections(key, value))
      for (const Json& element : value) sections += fmt::format("\n[[{}]]\n", name) + section_text(name, element);
    else if (value.is_object())
      sections += fmt::format("\n[{}]\n", name) + section_text(name, value);
    else
      text += fmt::format("{} = {}\n", key_text(key), value_text(value));
  }
  return text + sections;
}

}  // namespace

std::string sampling_text(const Json& sampling) {
  const std::uint64_t rate = number(sampling, "per_s"), asked = number(sampling, "asked");
  if (rate == 0 && asked == 0) return "none are taken: sync.sample_per_s is 0";
  if (!sampling.at("answering").get<bool>()) return fmt::format("it answers none of {} requests", asked);
  if (sampling.at("share").is_null()) return fmt::format("{} states asked for, none judged yet", asked);
  return fmt::format("{:.2f} % of the states differ ({:.2f} to {:.2f} % with 95 % confidence), by {} of {} asked for",
                     100 * real(sampling, "share"), 100 * real(sampling, "low"), 100 * real(sampling, "high"),
                     number(sampling, "judged"), asked);
}

std::string peers_text(const Json& answer) {
  std::string text;
  for (const Json& peer : answer.at("peers")) text += peer_text(peer);
  return text;
}

std::string bulk_text(const Json& answer) {
  std::string text;
  for (const Json& peer : answer.at("bulk"))
    text += plain(peer.at("address")) + "\n" + line("own", own_text(peer.at("bulk"))) +
            line("its", given_text(peer.at("serving")));
  return text;
}

std::string config_text(const Json& answer) {
  const std::string text = section_text("", answer.at("config"));
  return text.starts_with('\n') ? text.substr(1) : text;
}

}  // namespace pfsync::engine::ctl
