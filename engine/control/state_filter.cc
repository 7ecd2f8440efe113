#include "engine/control/state_filter.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "engine/control/state_id.h"
#include "engine/session/sync_rules.h"
#include "statetable/names.h"
#include "wire/address.h"
#include "wire/text.h"

namespace pfsync::engine {
namespace {

using End = StateFilter::End;
using Which = StateFilter::Which;

constexpr std::size_t text_max = 400;

unsigned bits_of(wire::Family family) { return family == wire::Family::inet ? 32 : 128; }

// --- matching ------------------------------------------------------------------------------------------

bool is_in(const wire::Address& address, const wire::Address& network, unsigned bits) noexcept {
  const std::size_t whole = bits / 8;
  if (!std::equal(address.bytes.begin(), address.bytes.begin() + static_cast<std::ptrdiff_t>(whole),
                  network.bytes.begin()))
    return false;
  const unsigned rest = bits % 8;
  return rest == 0 || ((address.bytes[whole] ^ network.bytes[whole]) >> (8 - rest)) == 0;
}

/// One side of a state: a key, its family, and which of its two ends opened the connection.
struct Side {
  const wire::Key& key;
  wire::Family family;
  std::size_t opener;
};

bool fits(const End& end, const Side& side, std::size_t which, bool ports) noexcept {
  if (end.family != wire::Family::none &&
      (end.family != side.family || !is_in(side.key.addr[which], end.address, end.bits)))
    return false;
  return !end.has_ports || (ports && side.key.port[which] >= end.port_low && side.key.port[which] <= end.port_high);
}

bool fits(const End& end, const Side& side, bool ports) noexcept {
  return (end.which != Which::dst && fits(end, side, side.opener, ports)) ||
         (end.which != Which::src && fits(end, side, 1 - side.opener, ports));
}

// --- reading -------------------------------------------------------------------------------------------

/// What is wrong with a filter, on its way out.
struct Wrong {
  std::string sentence;
};

std::string quoted(std::string_view word) {
  constexpr std::size_t shown = 40;
  return fmt::format("\"{}{}\"", wire::printable(word.substr(0, shown)), word.size() > shown ? "…" : "");
}

template <class T>
bool number_into(std::string_view text, T& value, int base = 10) {
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return !text.empty() && error == std::errc{} && stop == text.data() + text.size();
}

/// False when it is no address, or its prefix is none.
bool network_into(std::string_view text, End& end) {
  const std::size_t slash = text.find('/');
  const auto address = wire::parse_address(text.substr(0, slash));
  if (!address) return false;
  end.family = address->first;
  end.address = address->second;
  end.bits = bits_of(end.family);
  return slash == std::string_view::npos ||
         (number_into(text.substr(slash + 1), end.bits) && end.bits <= bits_of(end.family));
}

bool ports_into(std::string_view text, End& end) {
  const std::size_t between = text.find_first_of(":-");
  if (!number_into(text.substr(0, between), end.port_low)) return false;
  end.port_high = end.port_low;
  end.has_ports = true;
  return between == std::string_view::npos ||
         (number_into(text.substr(between + 1), end.port_high) && end.port_low <= end.port_high);
}

/// "10.0.0.1:443", "fd01::2[443]", "[fd01::2]:443", or either without its port.
bool host_into(std::string_view text, End& end) {
  if (network_into(text, end)) return true;
  std::string_view host, port;
  if (text.starts_with('[')) {
    const std::size_t close = text.find("]:");
    if (close == std::string_view::npos) return false;
    host = text.substr(1, close - 1);
    port = text.substr(close + 2);
  } else if (text.ends_with(']')) {
    const std::size_t open = text.find('[');
    if (open == std::string_view::npos) return false;
    host = text.substr(0, open);
    port = text.substr(open + 1, text.size() - open - 2);
  } else {
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) return false;
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
  }
  return host.find('/') == std::string_view::npos && network_into(host, end) && ports_into(port, end);
}

/// The number of a protocol that is given by name; nullopt when there is none of that name.
std::optional<std::uint8_t> protocol_of(std::string_view word) {
  std::string lower{word};
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  if (lower == "icmp6" || lower == "icmpv6") return wire::ipproto::icmpv6;
  if (lower.empty() || (lower[0] >= '0' && lower[0] <= '9')) return std::nullopt;
  for (unsigned proto = 0; proto < 256; ++proto)
    if (wire::protocol_text(static_cast<std::uint8_t>(proto)) == lower) return static_cast<std::uint8_t>(proto);
  return std::nullopt;
}

class Reader {
 public:
  explicit Reader(std::string_view text) : rest_{text} {}

  StateFilter filter() {
    for (std::string_view word = next(); !word.empty(); word = next()) term(word);
    return filter_;
  }

 private:
  /// The next word; empty at the end.
  std::string_view next() {
    constexpr std::string_view blanks = " \t\r\n";
    rest_.remove_prefix(std::min(rest_.find_first_not_of(blanks), rest_.size()));
    const std::string_view word = rest_.substr(0, rest_.find_first_of(blanks));
    rest_.remove_prefix(word.size());
    return word;
  }

  std::string_view value_of(std::string_view term, const char* what) {
    const std::string_view value = next();
    if (value.empty()) throw Wrong{fmt::format("behind {} stands {}", quoted(term), what)};
    return value;
  }

  void add(const End& end) {
    if (filter_.ends_count == StateFilter::ends_max)
      throw Wrong{fmt::format("a filter has at most {} hosts, networks and ports", StateFilter::ends_max)};
    filter_.ends[filter_.ends_count++] = end;
  }

  template <class T>
  void once(std::string_view term, std::optional<T>& place, T value) {
    if (place) throw Wrong{quoted(term) + " is given twice"};
    place = value;
  }

  void term(std::string_view word) {
    if (word == "and") return;
    // As pfctl -ss -vv prints them: "id: … creatorid: …".
    const std::string_view name = word.ends_with(':') ? word.substr(0, word.size() - 1) : word;
    if (name == "src" || name == "dst") return directed(name);
    if (name == "host" || name == "net" || name == "port") return end(name, Which::any);
    if (name == "proto") return protocol(name, value_of(name, "a protocol's name or number"));
    if (name == "on" || name == "interface") return interface(name, value_of(name, "an interface's name"));
    if (name == "creator" || name == "creatorid") {
      const std::string_view value = value_of(name, "a creator id in hex digits");
      std::uint32_t creatorid = 0;
      if (value.size() > 8 || !number_into(value, creatorid, 16))
        throw Wrong{quoted(value) + " is no creator id: it has 1 to 8 hex digits"};
      return once(name, filter_.creatorid, creatorid);
    }
    if (name == "id") return identity(name, value_of(name, "a state's id in hex digits"));
    bare(word);
  }

  void directed(std::string_view name) {
    const Which which = name == "src" ? Which::src : Which::dst;
    const std::string_view value = value_of(name, "an address, a network, or \"port\" and its number");
    if (value == "host" || value == "net" || value == "port") return end(value, which);
    host(value, which);
  }

  void end(std::string_view name, Which which) {
    if (name != "port") return host(value_of(name, "an address or a network"), which);
    const std::string_view value = value_of(name, "a number from 0 to 65535, or two with : between");
    End made{.which = which};
    if (!ports_into(value, made))
      throw Wrong{quoted(value) + " is no port: it is a number from 0 to 65535, or two with : between"};
    add(made);
  }

  void host(std::string_view value, Which which) {
    End made{.which = which};
    if (!host_into(value, made)) throw Wrong{quoted(value) + " is no address and no network: names are not looked up"};
    add(made);
  }

  void protocol(std::string_view name, std::string_view value) {
    std::uint8_t number = 0;
    if (number_into(value, number)) return once(name, filter_.proto, number);
    const auto known = protocol_of(value);
    if (!known) throw Wrong{quoted(value) + " is no protocol: give tcp, udp, icmp or another's name, or its number"};
    once(name, filter_.proto, *known);
  }

  void interface(std::string_view name, std::string_view value) {
    const wire::InterfaceName given{value};
    if (given.view() != value) throw Wrong{quoted(value) + " is no interface: a name has at most 15 characters"};
    if (!filter_.interface.empty()) throw Wrong{quoted(name) + " is given twice"};
    filter_.interface = given;
  }

  void identity(std::string_view name, std::string_view value) {
    if (const auto whole = parse_state_id(value)) {
      once("creator", filter_.creatorid, whole->creatorid);
      return once(name, filter_.id, whole->id);
    }
    std::uint64_t id = 0;
    if (value.size() > 16 || !number_into(value, id, 16))
      throw Wrong{quoted(value) +
                  " is no state's id: it has 1 to 16 hex digits, and may have / and its creator behind it"};
    once(name, filter_.id, id);
  }

  void bare(std::string_view word) {
    if (End made; host_into(word, made)) return add(made);
    if (const auto known = protocol_of(word)) return once("proto", filter_.proto, *known);
    if (parse_state_id(word)) return identity("id", word);
    throw Wrong{
        quoted(word) +
        " is no term of a filter: give host, net, port, src, dst, proto, on, creator or id, each with its value"};
  }

  std::string_view rest_;
  StateFilter filter_;
};

}  // namespace

bool StateFilter::matches(const statetable::Snapshot& state) const noexcept {
  const statetable::HotState& hot = state.hot;
  const statetable::ColdState& cold = state.cold;
  if ((proto && *proto != hot.proto) || (creatorid && *creatorid != hot.id.creatorid) || (id && *id != hot.id.id))
    return false;
  if (!interface.empty() && interface != cold.ifname && interface != statetable::interface_of(cold.orig_ifname))
    return false;
  if (ends_count == 0) return true;
  // Where af-to makes the families differ, the ends of the stack's key have changed places.
  const std::size_t opener = hot.direction == wire::Direction::out ? 1 : 0;
  const bool af_to = cold.stack_af != wire::Family::none && cold.stack_af != hot.af;
  const Side on_wire{cold.key[wire::wire_side], hot.af, opener};
  const Side on_stack{cold.key[wire::stack_side], af_to ? cold.stack_af : hot.af, af_to ? 1 - opener : opener};
  const bool ports = engine::has_ports(hot.proto);
  return std::all_of(ends.begin(), ends.begin() + static_cast<std::ptrdiff_t>(ends_count),
                     [&](const End& end) { return fits(end, on_wire, ports) || fits(end, on_stack, ports); });
}

std::variant<StateFilter, std::string> parse_state_filter(std::string_view text) {
  if (text.size() > text_max) return fmt::format("a filter has at most {} characters", text_max);
  try {
    return Reader{text}.filter();
  } catch (const Wrong& wrong) {
    return wrong.sentence;
  }
}

}  // namespace pfsync::engine
