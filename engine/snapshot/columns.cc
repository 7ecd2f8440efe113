#include "engine/snapshot/columns.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <type_traits>
#include <utility>

namespace pfsync::engine::snapshot {
namespace {

using wire::Key;
using wire::Peer;
using wire::Scrub;
using wire::State;

static_assert(std::endian::native == std::endian::little, "columns hold numbers as this machine does");
static_assert(std::is_standard_layout_v<KeptState> && offsetof(KeptState, state) == 0);

/// Where a field lies in a KeptState, and its bytes.
struct Column {
  std::size_t offset;
  std::size_t width;
};

template <std::size_t... sizes>
constexpr auto joined(const std::array<Column, sizes>&... parts) {
  std::array<Column, (sizes + ...)> all{};
  auto at = all.begin();
  ((at = std::copy(parts.begin(), parts.end(), at)), ...);
  return all;
}
/// The first four bytes are all of an IPv4 address.
constexpr std::array<Column, 2> address_columns(std::size_t at) { return {{{at, 4}, {at + 4, 12}}}; }
constexpr std::array<Column, 2> pair_columns(std::size_t at, std::size_t width) {
  return {{{at, width}, {at + width, width}}};
}
constexpr auto key_columns(std::size_t at) {
  return joined(address_columns(at + offsetof(Key, addr)),
                address_columns(at + offsetof(Key, addr) + sizeof(wire::Address)),
                pair_columns(at + offsetof(Key, port), 2));
}
constexpr auto peer_columns(std::size_t at) {
  const std::size_t scrub = at + offsetof(Peer, scrub);
  return std::to_array<Column>({{scrub + offsetof(Scrub, pfss_ts_mod), 4},
                                {scrub + offsetof(Scrub, pfss_flags), 2},
                                {scrub + offsetof(Scrub, pfss_ttl), 1},
                                {scrub + offsetof(Scrub, scrub_flag), 1},
                                {at + offsetof(Peer, seqlo), 4},
                                {at + offsetof(Peer, seqhi), 4},
                                {at + offsetof(Peer, seqdiff), 4},
                                {at + offsetof(Peer, max_win), 2},
                                {at + offsetof(Peer, mss), 2},
                                {at + offsetof(Peer, state), 1},
                                {at + offsetof(Peer, wscale), 1}});
}

/// Their order is the format's: another one, or another field, makes another version.
constexpr auto columns = joined(
    std::to_array<Column>({{offsetof(State, id) + offsetof(wire::StateId, id), 8},
                           {offsetof(State, id) + offsetof(wire::StateId, creatorid), 4},
                           {offsetof(State, ifname), sizeof(wire::InterfaceName)}}),
    key_columns(offsetof(State, key)), key_columns(offsetof(State, key) + sizeof(Key)),
    peer_columns(offsetof(State, src)), peer_columns(offsetof(State, dst)), address_columns(offsetof(State, rt_addr)),
    std::to_array<Column>({{offsetof(State, rule), 4},
                           {offsetof(State, anchor), 4},
                           {offsetof(State, nat_rule), 4},
                           {offsetof(State, creation_s), 4},
                           {offsetof(State, expire_s), 4}}),
    pair_columns(offsetof(State, packets), 8), pair_columns(offsetof(State, bytes), 8),
    std::to_array<Column>({{offsetof(State, af), 1},
                           {offsetof(State, proto), 1},
                           {offsetof(State, direction), 1},
                           {offsetof(State, log), 1},
                           {offsetof(State, state_flags), 2},
                           {offsetof(State, timeout), 1},
                           {offsetof(State, sync_flags), 1},
                           {offsetof(State, rt), 1},
                           {offsetof(State, min_ttl), 1},
                           {offsetof(State, set_tos), 1}}),
    pair_columns(offsetof(State, set_prio), 1), std::to_array<Column>({{offsetof(State, max_mss), 2}}),
    pair_columns(offsetof(State, rtableid), 4),
    std::to_array<Column>({{offsetof(State, rt_ifname), sizeof(wire::InterfaceName)},
                           {offsetof(State, qid), 2},
                           {offsetof(State, pqid), 2},
                           {offsetof(State, dnpipe), 2},
                           {offsetof(State, dnrpipe), 2},
                           {offsetof(State, stack_af), 1},
                           {offsetof(State, stack_proto), 1},
                           {offsetof(State, rt_af), 1}}),
    pair_columns(offsetof(State, rdomain), 2),
    std::to_array<Column>({{offsetof(State, orig_ifname), sizeof(wire::InterfaceName)},
                           {offsetof(State, tag), sizeof(wire::TagName)},
                           {offsetof(KeptState, is_said_here), 1}}));

static_assert(columns.size() == 76, "version 1 has these");

/// A bit for each column that is there, from the lowest of the first byte on.
constexpr std::size_t present_bytes = (columns.size() + 7) / 8;
constexpr std::size_t state_bytes = [] {
  std::size_t sum = 0;
  for (const Column& column : columns) sum += column.width;
  return sum;
}();
constexpr KeptState usual{};

[[nodiscard]] const std::uint8_t* bytes_of(const KeptState& state) noexcept {
  return reinterpret_cast<const std::uint8_t*>(&state);
}
[[nodiscard]] std::uint8_t* bytes_of(KeptState& state) noexcept { return reinterpret_cast<std::uint8_t*>(&state); }

/// Numbers lie in planes, all lowest bytes first: what is small or alike is long runs of one byte then.
template <class Number>
bool write_numbers(std::span<const KeptState> states, std::size_t offset, std::vector<std::uint8_t>& out) {
  std::array<Number, block_states_max> numbers;
  Number common{};
  std::memcpy(&common, bytes_of(usual) + offset, sizeof common);
  Number differs{};
  for (std::size_t i = 0; i < states.size(); ++i) {
    std::memcpy(&numbers[i], bytes_of(states[i]) + offset, sizeof(Number));
    differs = static_cast<Number>(differs | (numbers[i] ^ common));
  }
  if (differs == 0) return false;
  const std::size_t at = out.size();
  out.resize(at + states.size() * sizeof(Number));
  std::uint8_t* to = out.data() + at;
  for (std::size_t plane = 0; plane < sizeof(Number); ++plane, to += states.size())
    for (std::size_t i = 0; i < states.size(); ++i) to[i] = static_cast<std::uint8_t>(numbers[i] >> (8 * plane));
  return true;
}

template <class Number>
void read_numbers(const std::uint8_t* from, std::span<KeptState> states, std::size_t offset) {
  std::array<Number, block_states_max> numbers{};
  for (std::size_t plane = 0; plane < sizeof(Number); ++plane, from += states.size())
    for (std::size_t i = 0; i < states.size(); ++i)
      numbers[i] = static_cast<Number>(numbers[i] | static_cast<Number>(Number{from[i]} << (8 * plane)));
  for (std::size_t i = 0; i < states.size(); ++i)
    std::memcpy(bytes_of(states[i]) + offset, &numbers[i], sizeof(Number));
}

/// Names and the long ends of addresses lie one after the other.
bool write_texts(std::span<const KeptState> states, const Column& column, std::vector<std::uint8_t>& out) {
  const std::uint8_t* const common = bytes_of(usual) + column.offset;
  if (std::all_of(states.begin(), states.end(), [&](const KeptState& state) {
        return std::memcmp(bytes_of(state) + column.offset, common, column.width) == 0;
      }))
    return false;
  const std::size_t at = out.size();
  out.resize(at + states.size() * column.width);
  std::uint8_t* to = out.data() + at;
  for (const KeptState& state : states) {
    std::memcpy(to, bytes_of(state) + column.offset, column.width);
    to += column.width;
  }
  return true;
}

bool write_column(std::span<const KeptState> states, const Column& column, std::vector<std::uint8_t>& out) {
  switch (column.width) {
    case 1: return write_numbers<std::uint8_t>(states, column.offset, out);
    case 2: return write_numbers<std::uint16_t>(states, column.offset, out);
    case 4: return write_numbers<std::uint32_t>(states, column.offset, out);
    case 8: return write_numbers<std::uint64_t>(states, column.offset, out);
    default: return write_texts(states, column, out);
  }
}

void read_column(const std::uint8_t* from, std::span<KeptState> states, const Column& column) {
  switch (column.width) {
    case 1: return read_numbers<std::uint8_t>(from, states, column.offset);
    case 2: return read_numbers<std::uint16_t>(from, states, column.offset);
    case 4: return read_numbers<std::uint32_t>(from, states, column.offset);
    case 8: return read_numbers<std::uint64_t>(from, states, column.offset);
    default:
      for (KeptState& state : states) {
        std::memcpy(bytes_of(state) + column.offset, from, column.width);
        from += column.width;
      }
  }
}

/// Both directions alike: a key is stored as what it differs in from the one on the wire.
void exchange_stack_key(State& state) noexcept {
  const auto* wire = reinterpret_cast<const std::uint8_t*>(&state.key[wire::wire_side]);
  auto* stack = reinterpret_cast<std::uint8_t*>(&state.key[wire::stack_side]);
  static_assert(sizeof(Key) == 36 && std::has_unique_object_representations_v<Key>);
  for (std::size_t i = 0; i < sizeof(Key); ++i) stack[i] = static_cast<std::uint8_t>(stack[i] ^ wire[i]);
}

void shorten(wire::Address& address, wire::Family family) noexcept {
  if (family == wire::Family::inet) std::fill(address.bytes.begin() + 4, address.bytes.end(), std::uint8_t{0});
}

[[nodiscard]] bool is_known(wire::Family family) noexcept {
  return family == wire::Family::none || family == wire::Family::inet || family == wire::Family::inet6;
}

/// In the form that the readers of packets give.
void make_usual(State& state) noexcept {
  using wire::Family;
  // A family that nobody knows spoils the state, as it does in a packet.
  if (!is_known(state.af) || !is_known(state.stack_af) || !is_known(state.rt_af)) state.af = Family::none;
  if (!is_known(state.stack_af) || state.stack_af == state.af) state.stack_af = Family::none;
  if (!is_known(state.rt_af) || state.rt_af == state.af) state.rt_af = Family::none;
  if (state.stack_proto == state.usual_stack_proto()) state.stack_proto = 0;
  for (wire::Address& address : state.key[wire::wire_side].addr) shorten(address, state.af);
  for (wire::Address& address : state.key[wire::stack_side].addr) shorten(address, state.stack_family());
  shorten(state.rt_addr, state.rt_family());
  const auto end = [](auto& name) {
    name.chars.back() = '\0';
    name = std::remove_reference_t<decltype(name)>{name.view()};
  };
  end(state.ifname);
  end(state.rt_ifname);
  end(state.orig_ifname);
  end(state.tag);
  if (state.orig_ifname == state.ifname) state.orig_ifname = {};
}

}  // namespace

std::size_t columns_bytes_max(std::size_t states) noexcept { return present_bytes + states * state_bytes; }

void write_columns(std::span<KeptState> states, std::vector<std::uint8_t>& out) {
  // Kernels number their states one after the other.
  std::uint64_t before = 0;
  for (KeptState& kept : states) {
    kept.state.id.id -= std::exchange(before, kept.state.id.id);
    exchange_stack_key(kept.state);
  }
  const std::size_t present_at = out.size();
  out.resize(present_at + present_bytes);
  for (std::size_t i = 0; i < columns.size(); ++i)
    if (write_column(states, columns[i], out))
      out[present_at + i / 8] = static_cast<std::uint8_t>(out[present_at + i / 8] | 1u << i % 8);
}

std::optional<std::string> read_columns(std::span<const std::uint8_t> bytes, std::span<KeptState> states) {
  if (states.size() > block_states_max) return "it holds more states than a block may";
  if (bytes.size() < present_bytes) return "it ends before its columns";
  const auto present = bytes.first(present_bytes);
  bytes = bytes.subspan(present_bytes);
  std::fill(states.begin(), states.end(), usual);
  for (std::size_t i = 0; i < 8 * present_bytes; ++i) {
    if ((present[i / 8] >> i % 8 & 1) == 0) continue;
    if (i >= columns.size()) return "it has a column that this version does not know";
    const std::size_t size = states.size() * columns[i].width;
    if (bytes.size() < size) return "it ends within a column";
    // The only field that not every byte is a value of.
    if (columns[i].offset == offsetof(KeptState, is_said_here) &&
        std::any_of(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size),
                    [](auto byte) { return byte > 1; }))
      return "a flag of it is neither 0 nor 1";
    read_column(bytes.data(), states, columns[i]);
    bytes = bytes.subspan(size);
  }
  if (!bytes.empty()) return "it has bytes behind its columns";
  std::uint64_t before = 0;
  for (KeptState& kept : states) {
    before = kept.state.id.id += before;
    exchange_stack_key(kept.state);
    make_usual(kept.state);
  }
  return std::nullopt;
}

}  // namespace pfsync::engine::snapshot
