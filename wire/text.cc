#include "wire/text.h"

#include <array>
#include <cstdio>
#include <iterator>
#include <utility>

#include "wire/address.h"

namespace pfsync::wire {
namespace {

// Source: FreeBSD sys/netinet/tcp_fsm.h, tcpstates[].
constexpr std::array<std::string_view, 11> tcp_levels{"CLOSED",      "LISTEN",     "SYN_SENT",   "SYN_RCVD",
                                                      "ESTABLISHED", "CLOSE_WAIT", "FIN_WAIT_1", "CLOSING",
                                                      "LAST_ACK",    "FIN_WAIT_2", "TIME_WAIT"};
// UDP and all other protocols but ICMP. Source: FreeBSD sys/netpfil/pf/pf.h, PFUDPS_NAMES, PFOTHERS_NAMES.
constexpr std::array<std::string_view, 3> other_levels{"NO_TRAFFIC", "SINGLE", "MULTIPLE"};

// Words of /etc/protocols, by IANA number.
constexpr std::array<std::pair<std::uint8_t, std::string_view>, 16> protocols{{
    {1, "icmp"},
    {2, "igmp"},
    {4, "ipencap"},
    {6, "tcp"},
    {8, "egp"},
    {17, "udp"},
    {41, "ipv6"},
    {47, "gre"},
    {50, "esp"},
    {51, "ah"},
    {58, "ipv6-icmp"},
    {89, "ospf"},
    {103, "pim"},
    {112, "carp"},
    {132, "sctp"},
    {240, "pfsync"},
}};

// Source: pf.conf(5), OPTIONS, set timeout; order of sys/netpfil/pf/pf.h. SCTP since FreeBSD 14.
constexpr std::array<std::string_view, 25> timeouts{
    "tcp.first",  "tcp.opening",    "tcp.established",  "tcp.closing",    "tcp.finwait",
    "tcp.closed", "udp.first",      "udp.single",       "udp.multiple",   "icmp.first",
    "icmp.error", "other.first",    "other.single",     "other.multiple", "frag",
    "interval",   "adaptive.start", "adaptive.end",     "src.track",      "tsdiff",
    "sctp.first", "sctp.opening",   "sctp.established", "sctp.closing",   "sctp.closed"};

constexpr std::uint8_t wscale_mask = 0x0f;
constexpr std::uint8_t log_all = 0x02;

/// snprintf into a string; for numbers only, whose longest text fits.
template <class... A>
std::string formatted(const char* format, A... values) {
  std::array<char, 128> room{};
  const int n = std::snprintf(room.data(), room.size(), format, values...);
  return {room.data(), n > 0 ? static_cast<std::size_t>(n) : 0};
}

/// The two sides in the order that pfctl prints them, near side first.
struct Sides {
  const Peer& left;
  const Peer& right;
};

Sides sides(const State& state) {
  if (state.direction == Direction::out) return {state.src, state.dst};
  return {state.dst, state.src};
}

/// One key and the family of its addresses.
struct Side {
  const Key& key;
  Family family;
};

/// "10.2.0.254:64898 (10.1.0.100:47572)": one end, behind it in parentheses what translation made it from.
/// Where the families differ (af-to) the ends of the inner key have changed places.
std::string end_text(const Side& outer, const Side& inner, std::size_t end) {
  std::string text = host_text(outer.key.addr[end], outer.family, outer.key.port[end]);
  const bool af_to = outer.family != inner.family;
  const std::size_t inner_end = af_to ? 1 - end : end;
  if (af_to || outer.key.addr[end] != inner.key.addr[end] || outer.key.port[end] != inner.key.port[end])
    text.append(" (").append(host_text(inner.key.addr[inner_end], inner.family, inner.key.port[inner_end])).append(")");
  return text;
}

/// "all tcp 10.2.0.100:8000 <- 10.1.0.100:47572".
std::string flow_text(const State& state) {
  const bool out = state.direction == Direction::out;
  // The key that is printed is the one of the far end of the translation: WIRE for out, STACK for in.
  const std::array families{state.af, state.stack_family()};
  const Side outer{state.key[out ? wire_side : stack_side], families[out ? wire_side : stack_side]};
  Key inner = state.key[out ? stack_side : wire_side];
  // ICMP has one id for both ends; its translation shows on the near side (out) or the far one (in) only.
  if (state.proto == ipproto::icmp || state.proto == ipproto::icmpv6)
    inner.port[out ? 0 : 1] = outer.key.port[out ? 0 : 1];
  const Side inner_side{inner, families[out ? stack_side : wire_side]};
  return printable(state.ifname.view()) + " " + protocol_text(state.proto) + " " + end_text(outer, inner_side, 1) +
         (out ? " -> " : " <- ") + end_text(outer, inner_side, 0);
}

/// ", allow-opts, set-tos 0x10": what the ruleset says of the state's packets, in pfctl's order; what pfctl
/// has no words for follows.
std::string options_text(const State& state) {
  using namespace state_flag;
  std::string text;
  const auto flag = [&](std::uint16_t bit, const char* word) {
    if ((state.state_flags & bit) != 0) text += word;
  };
  flag(allowopts, ", allow-opts");
  flag(sloppy, ", sloppy");
  flag(nosync, ", no-sync");
  flag(pflow, ", pflow");
  flag(ack, ", psync-ack");
  flag(nodf, ", no-df");
  if ((state.state_flags & settos) != 0) text += formatted(", set-tos 0x%02x", static_cast<unsigned>(state.set_tos));
  flag(randomid, ", random-id");
  flag(scrub_tcp, ", reassemble-tcp");
  if ((state.state_flags & setprio) != 0)
    text += formatted(", set-prio (0x%02x 0x%02x)", static_cast<unsigned>(state.set_prio[0]),
                      static_cast<unsigned>(state.set_prio[1]));
  if (state.dnpipe != 0 || state.dnrpipe != 0)
    text += formatted((state.state_flags & dn_is_queue) != 0 ? ", dummynet queue (%u %u)" : ", dummynet pipe (%u %u)",
                      static_cast<unsigned>(state.dnpipe), static_cast<unsigned>(state.dnrpipe));
  if ((state.sync_flags & sync_flag::source_node) != 0) text += ", source-track";
  if ((state.sync_flags & sync_flag::nat_source_node) != 0) text += ", sticky-address";
  if (state.log != 0) text += (state.log & log_all) != 0 ? ", log (all)" : ", log";
  if (state.min_ttl != 0) text += formatted(", min-ttl %u", static_cast<unsigned>(state.min_ttl));
  if (state.max_mss != 0) text += formatted(", max-mss %u", static_cast<unsigned>(state.max_mss));
  if (state.qid != 0 || state.pqid != 0)
    text += formatted(", queue (%u %u)", static_cast<unsigned>(state.qid), static_cast<unsigned>(state.pqid));
  if (state.rtableid[wire_side] == state.rtableid[stack_side]) {
    if (state.rtableid[wire_side] != -1) text += formatted(", rtable %d", state.rtableid[wire_side]);
  } else {
    text += formatted(", rtable (%d %d)", state.rtableid[wire_side], state.rtableid[stack_side]);
  }
  if (state.rdomain[wire_side] != 0 || state.rdomain[stack_side] != 0)
    text += formatted(", rdomain (%u %u)", static_cast<unsigned>(state.rdomain[wire_side]),
                      static_cast<unsigned>(state.rdomain[stack_side]));
  if (!state.tag.empty()) text.append(", tag ").append(printable(state.tag.view()));
  return text;
}

/// " route-to: 203.0.113.1@em0  origif: em1": behind the id, as pfctl has it.
std::string route_text(const State& state) {
  // Source: FreeBSD sbin/pfctl/pf_print_state.c; "gateway" stands for the kinds without a word.
  constexpr std::array<std::string_view, 5> kinds{"", "gateway", "route-to", "dup-to", "reply-to"};
  std::string text;
  if (state.rt != route::none) {
    text.append(" ").append(state.rt < kinds.size() ? kinds[state.rt] : kinds[route::fastroute]).append(": ");
    text += to_string(state.rt_addr, state.rt_family());
    if (!state.rt_ifname.empty()) text.append("@").append(printable(state.rt_ifname.view()));
  }
  if (!state.orig_ifname.empty()) text.append(" origif: ").append(printable(state.orig_ifname.view()));
  return text;
}

/// "age 00:00:04, expires in 24:00:00, 43:33 pkts, 22252:21732 bytes, rule 3".
std::string age_text(const State& state) {
  std::string text = "age " + duration_text(state.creation_s) + ", expires in " + duration_text(state.expire_s);
  text += formatted(", %llu:%llu pkts, %llu:%llu bytes", static_cast<unsigned long long>(state.packets[0]),
                    static_cast<unsigned long long>(state.packets[1]), static_cast<unsigned long long>(state.bytes[0]),
                    static_cast<unsigned long long>(state.bytes[1]));
  if (state.anchor != no_rule) text += formatted(", anchor %u", state.anchor);
  if (state.rule != no_rule) text += formatted(", rule %u", state.rule);
  return text + options_text(state);
}

/// UPD_C names no protocol, but its timeout index belongs to one.
std::uint8_t protocol_of_timeout(std::uint8_t timeout) {
  if (timeout <= 5) return ipproto::tcp;
  if (timeout <= 8) return ipproto::udp;
  if (timeout <= 10) return ipproto::icmp;
  return timeout >= 20 ? ipproto::sctp : ipproto::gre;  // any of the others: they share their words
}

std::string seq_text(const Peer& peer, bool scaled) {
  std::string text = formatted("[%u + %u]", peer.seqlo, peer.seqhi - peer.seqlo);
  if (peer.seqdiff != 0) text += formatted("(+%u)", peer.seqdiff);
  if (scaled) text += formatted(" wscale %u", static_cast<unsigned>(peer.wscale & wscale_mask));
  return text;
}

}  // namespace

std::string printable(std::string_view name) {
  std::string text{name};
  for (char& c : text)
    if (c < ' ' || c > '~') c = '?';
  return text;
}

std::string host_text(const Address& address, Family family, std::uint16_t port) {
  std::string text = to_string(address, family);
  if (port == 0) return text;
  return text + formatted(family == Family::inet6 ? "[%u]" : ":%u", static_cast<unsigned>(port));
}

std::string protocol_text(std::uint8_t proto) {
  for (const auto& [number, word] : protocols)
    if (number == proto) return std::string{word};
  return formatted("%u", static_cast<unsigned>(proto));
}

std::optional<std::uint8_t> find_protocol(std::string_view word) {
  for (const auto& [number, name] : protocols)
    if (name == word) return number;
  return std::nullopt;
}

std::string levels_text(std::uint8_t proto, std::uint8_t left, std::uint8_t right) {
  const auto words = [&](const auto& table) { return std::string{table[left]} + ":" + std::string{table[right]}; };
  if (proto == ipproto::tcp) {
    if (left < tcp_levels.size() && right < tcp_levels.size()) return words(tcp_levels);
    if (left == tcps::proxy_src || right == tcps::proxy_src) return "PROXY:SRC";
    if (left == tcps::proxy_dst || right == tcps::proxy_dst) return "PROXY:DST";
    return formatted("<BAD STATE LEVELS %u:%u>", static_cast<unsigned>(left), static_cast<unsigned>(right));
  }
  if (proto != ipproto::icmp && left < other_levels.size() && right < other_levels.size()) return words(other_levels);
  return formatted("%u:%u", static_cast<unsigned>(left), static_cast<unsigned>(right));
}

std::string timeout_text(std::uint8_t timeout) {
  if (timeout < timeouts.size()) return std::string{timeouts[timeout]};
  return formatted("%u", static_cast<unsigned>(timeout));
}

std::string duration_text(std::uint32_t seconds) {
  return formatted("%02u:%02u:%02u", seconds / 3600, seconds / 60 % 60, seconds % 60);
}

std::string id_text(StateId id) {
  return formatted("id: %016llx creatorid: %08x", static_cast<unsigned long long>(id.id), id.creatorid);
}

std::string window_text(const Peer& left, const Peer& right) {
  const bool scaled = left.wscale != 0 && right.wscale != 0;
  return seq_text(left, scaled) + "  " + seq_text(right, scaled);
}

std::string state_text(const State& state) {
  const auto [left, right] = sides(state);
  std::string text = flow_text(state) + "       " + levels_text(state.proto, left.state, right.state) + "\n";
  if (state.proto == ipproto::tcp) text += "   " + window_text(left, right) + "\n";
  return text + "   " + age_text(state) + "\n   " + id_text(state.id) + route_text(state) + "\n";
}

std::string state_line(const State& state) {
  const auto [left, right] = sides(state);
  std::string text = flow_text(state) + "   " + levels_text(state.proto, left.state, right.state) + "  ";
  if (state.proto == ipproto::tcp) text += window_text(left, right) + "  ";
  return text + age_text(state) + "  " + id_text(state.id) + route_text(state);
}

std::string update_line(const Update& update) {
  const std::uint8_t proto = protocol_of_timeout(update.timeout);
  std::string text = id_text(update.id) + "  " + levels_text(proto, update.src.state, update.dst.state) + "  ";
  if (proto == ipproto::tcp) text += window_text(update.src, update.dst) + "  ";
  return text + "timeout " + timeout_text(update.timeout);
}

std::string clear_line(const Clear& clear) {
  std::string text = formatted("creatorid: %08x", clear.creatorid);
  if (!clear.ifname.view().empty()) text += " interface: " + printable(clear.ifname.view());
  return text;
}

std::string bulk_status_line(const BulkStatus& status) {
  std::string text =
      formatted("creatorid: %08x age: ", status.creatorid) + duration_text(status.endtime_s) + " status: ";
  if (status.status == BulkStatus::start) return text + "start";
  if (status.status == BulkStatus::end) return text + "end";
  return text + formatted("UNKNOWN %u", static_cast<unsigned>(status.status));
}

std::string tdb_line(const Tdb& tdb) {
  std::string text = formatted("spi: 0x%08x dst: ", tdb.spi) + to_string(tdb.dst, tdb.af) +
                     " proto: " + protocol_text(tdb.sproto) +
                     formatted(" rpl: %llu cur_bytes: %llu", static_cast<unsigned long long>(tdb.rpl),
                               static_cast<unsigned long long>(tdb.cur_bytes));
  if (tdb.rdomain != 0) text += formatted(" rdomain: %u", static_cast<unsigned>(tdb.rdomain));
  return text;
}

}  // namespace pfsync::wire
