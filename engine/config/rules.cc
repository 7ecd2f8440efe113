#include "engine/config/rules.h"

#include <charconv>

#include "wire/text.h"

namespace pfsync::engine {
namespace {

using Action = SyncRule::Action;

/// All of the text as a number from `low` to `high`.
std::optional<unsigned> number_in(std::string_view text, unsigned low, unsigned high) {
  unsigned value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end || value < low || value > high) return std::nullopt;
  return value;
}

Action read_action(ConfigSection& rule) {
  const auto word = rule.text("action");
  if (!word) rule.fail("action", "is missing: give \"skip\" (never announced), \"delay\" (once age_s old) or \"sync\"");
  if (*word == "skip") return Action::skip;
  if (*word == "delay") return Action::delay;
  if (*word == "sync") return Action::sync;
  rule.fail("action", "\"" + *word + "\" is unknown: give \"skip\", \"delay\" or \"sync\"");
}

std::optional<std::uint8_t> read_proto(ConfigSection& rule) {
  if (!rule.is_text("proto")) {
    const auto number = rule.number("proto", 0, 255);
    return number ? std::optional{static_cast<std::uint8_t>(*number)} : std::nullopt;
  }
  const std::string word = rule.text("proto").value_or("");
  const auto proto = wire::find_protocol(word);
  if (!proto)
    rule.fail("proto", "\"" + word + "\" is no protocol that this knows by name: give \"tcp\", \"udp\", \"icmp\", " +
                           "\"ipv6-icmp\", \"sctp\", or its number");
  return proto;
}

/// 443, or "8000-8999".
std::optional<std::pair<std::uint16_t, std::uint16_t>> read_port(ConfigSection& rule) {
  const auto pair = [](auto low, auto high) {
    return std::pair{static_cast<std::uint16_t>(low), static_cast<std::uint16_t>(high)};
  };
  if (!rule.is_text("port")) {
    const auto one = rule.number("port", 1, 65535);
    return one ? std::optional{pair(*one, *one)} : std::nullopt;
  }
  const std::string text = rule.text("port").value_or("");
  const std::size_t dash = text.find('-');
  const auto low = number_in(text.substr(0, dash), 1, 65535);
  const auto high = dash == std::string::npos ? low : number_in(text.substr(dash + 1), 1, 65535);
  if (!low || !high || *high < *low)
    rule.fail("port", "\"" + text + "\" is no port: give one as 443, or a range as \"8000-8999\", within 1 to 65535");
  return pair(*low, *high);
}

std::optional<wire::Direction> read_direction(ConfigSection& rule) {
  const auto word = rule.text("direction");
  if (!word) return std::nullopt;
  if (*word == "in") return wire::Direction::in;
  if (*word != "out")
    rule.fail("direction", "\"" + *word + "\" is unknown: give \"in\" or \"out\", as pf sees the connection");
  return wire::Direction::out;
}

wire::InterfaceName read_interface(ConfigSection& rule) {
  const std::string name = rule.text("interface").value_or("");
  if (rule.has("interface") && (name.empty() || name.size() > 15 || name.find('\0') != std::string::npos))
    rule.fail("interface", "\"" + name + "\" is not an interface's name: give 1 to 15 characters");
  return wire::InterfaceName{name};
}

SyncRule read_rule(ConfigSection& section) {
  SyncRule rule{.action = read_action(section),
                .proto = read_proto(section),
                .port = read_port(section),
                .direction = read_direction(section),
                .interface = read_interface(section)};
  if (rule.port && rule.proto && !has_ports(*rule.proto))
    section.fail("port", "is not what this proto has: only TCP, UDP and SCTP have ports; remove one of the two");
  if (rule.action == Action::delay) {
    section.number_into(rule.age_s, "age_s", 1, SyncRule::age_max_s);
    if (rule.age_s == 0) section.fail("age_s", "is missing: give the age in seconds at which the state is announced");
  } else if (section.has("age_s")) {
    section.fail("age_s", "is for action = \"delay\": remove it, or give that action");
  }
  section.finish();
  return rule;
}

}  // namespace

std::vector<SyncRule> read_sync_rules(ConfigSection& sync) {
  std::vector<SyncRule> rules;
  for (ConfigSection& section : sync.sections("rule")) {
    if (rules.size() == sync_rules_max)
      section.fail("", "is one too many: there are " + std::to_string(sync_rules_max) + " at most; remove it");
    rules.push_back(read_rule(section));
  }
  return rules;
}

}  // namespace pfsync::engine
