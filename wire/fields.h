#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "wire/describes_each.h"
#include "wire/dialect.h"
#include "wire/state.h"

/// Which field of a State each dialect carries, and what a State loses when it is said in one.
namespace pfsync::wire {

enum class Field : std::uint8_t {
  id,
  ifname,
  key,
  src,
  dst,
  rt_addr,
  rule,
  anchor,
  nat_rule,
  creation,
  expire,
  packets,
  bytes,
  af,
  proto,
  direction,
  log,
  timeout,
  state_flags,
  sync_flags,
  rt,
  min_ttl,
  set_tos,
  set_prio,
  max_mss,
  rtableid,
  rt_ifname,
  qid,
  pqid,
  dnpipe,
  dnrpipe,
  stack_af,
  stack_proto,
  rt_af,
  rdomain,
  orig_ifname,
  tag,
  tdb_rpl,
  tdb_rdomain,
};
inline constexpr std::size_t field_count = 39;

/// What becomes of a field in a dialect.
enum class Carriage : std::uint8_t {
  carried,    ///< every value passes
  partly,     ///< values that the dialect has no word for are lost: see FieldInfo::limit
  defaulted,  ///< not in the message: any value but the default is lost, a reader gets the default
};

struct FieldInfo {
  Field field;
  std::string_view word;                   ///< in counters ("lost_" + word), metrics and the table of wire/PFSYNC.md
  std::string_view otherwise;              ///< the default: what a reader gets of a dialect that lacks the field
  std::array<Carriage, dialect_count> in;  ///< by Dialect
  std::string_view limit;                  ///< which values `partly` loses
};

namespace detail {
inline constexpr Carriage yes = Carriage::carried, part = Carriage::partly, no = Carriage::defaulted;
inline constexpr std::array everywhere{yes, yes, yes, yes};
inline constexpr std::array not_1301{no, yes, yes, yes};
inline constexpr std::array freebsd_14_on{no, yes, yes, no};
}  // namespace detail

inline constexpr std::array field_table{
    FieldInfo{Field::id, "id", "", detail::everywhere, ""},
    FieldInfo{Field::ifname, "ifname", "", detail::everywhere, ""},
    FieldInfo{Field::key, "key", "", detail::everywhere, ""},
    FieldInfo{Field::src, "src", "", detail::everywhere, ""},
    FieldInfo{Field::dst, "dst", "", detail::everywhere, ""},
    FieldInfo{Field::rt_addr,
              "rt_addr",
              "",
              {detail::part, detail::part, detail::yes, detail::part},
              "next hop of another family than the state"},
    FieldInfo{Field::rule, "rule", "", detail::everywhere, ""},
    FieldInfo{Field::anchor, "anchor", "", detail::everywhere, ""},
    FieldInfo{Field::nat_rule, "nat_rule", "", detail::everywhere, ""},
    FieldInfo{Field::creation, "creation", "", detail::everywhere, ""},
    FieldInfo{Field::expire, "expire", "", detail::everywhere, ""},
    FieldInfo{Field::packets, "packets", "", detail::everywhere, ""},
    FieldInfo{Field::bytes, "bytes", "", detail::everywhere, ""},
    FieldInfo{Field::af, "af", "", detail::everywhere, ""},
    FieldInfo{Field::proto, "proto", "", detail::everywhere, ""},
    FieldInfo{Field::direction, "direction", "", detail::everywhere, ""},
    FieldInfo{Field::log, "log", "", detail::everywhere, ""},
    FieldInfo{Field::timeout,
              "timeout",
              "",
              {detail::yes, detail::yes, detail::yes, detail::part},
              "SCTP timeouts: OTHER_* instead"},
    FieldInfo{Field::state_flags,
              "state_flags",
              "0",
              {detail::part, detail::part, detail::part, detail::part},
              "1301: SETTOS and the upper 8 bits; FreeBSD: INP_UNLINKED; OpenBSD: DN_IS_PIPE, DN_IS_QUEUE"},
    FieldInfo{
        Field::sync_flags, "sync_flags", "0", {detail::yes, detail::yes, detail::no, detail::part}, "NAT source node"},
    FieldInfo{Field::rt,
              "rt",
              "none",
              {detail::no, detail::part, detail::part, detail::part},
              "FreeBSD: a route without rt_ifname; OpenBSD: FASTROUTE; 1400, OpenBSD: next hop of another family"},
    FieldInfo{Field::min_ttl, "min_ttl", "0", detail::not_1301, ""},
    FieldInfo{Field::set_tos, "set_tos", "0", detail::not_1301, ""},
    FieldInfo{Field::set_prio, "set_prio", "0 0", detail::not_1301, ""},
    FieldInfo{Field::max_mss, "max_mss", "0", detail::not_1301, ""},
    FieldInfo{Field::rtableid,
              "rtableid",
              "-1 -1",
              {detail::no, detail::part, detail::part, detail::yes},
              "FreeBSD: a table for one side only, or two tables"},
    FieldInfo{Field::rt_ifname, "rt_ifname", "empty", detail::freebsd_14_on, ""},
    FieldInfo{Field::qid, "qid", "0", detail::freebsd_14_on, ""},
    FieldInfo{Field::pqid, "pqid", "0", detail::freebsd_14_on, ""},
    FieldInfo{Field::dnpipe, "dnpipe", "0", detail::freebsd_14_on, ""},
    FieldInfo{Field::dnrpipe, "dnrpipe", "0", detail::freebsd_14_on, ""},
    FieldInfo{Field::stack_af, "stack_af", "as af", {detail::no, detail::no, detail::yes, detail::yes}, ""},
    FieldInfo{Field::stack_proto, "stack_proto", "as proto", {detail::no, detail::no, detail::yes, detail::no}, ""},
    FieldInfo{Field::rt_af, "rt_af", "as af", {detail::no, detail::no, detail::yes, detail::no}, ""},
    FieldInfo{Field::rdomain, "rdomain", "0 0", {detail::no, detail::no, detail::no, detail::yes}, ""},
    FieldInfo{Field::orig_ifname, "orig_ifname", "as ifname", {detail::no, detail::no, detail::yes, detail::no}, ""},
    FieldInfo{Field::tag, "tag", "empty", {detail::no, detail::no, detail::yes, detail::no}, ""},
    FieldInfo{Field::tdb_rpl,
              "tdb_rpl",
              "",
              {detail::part, detail::part, detail::part, detail::yes},
              "above 32 bits: best left unsaid"},
    FieldInfo{Field::tdb_rdomain, "tdb_rdomain", "0", {detail::no, detail::no, detail::no, detail::yes}, ""},
};
static_assert(describes_each(field_table, &FieldInfo::field, static_cast<Field>(field_count - 1)),
              "field_table[i] must describe Field(i), and every Field");

[[nodiscard]] constexpr std::string_view word(Field field) noexcept {
  return field_table[static_cast<std::size_t>(field)].word;
}

/// Whether some dialect does not carry every value.
[[nodiscard]] constexpr bool can_be_lost(const FieldInfo& row) noexcept {
  for (const Carriage carriage : row.in)
    if (carriage != Carriage::carried) return true;
  return false;
}

/// A set of fields.
class Fields {
 public:
  constexpr Fields() noexcept = default;
  constexpr void add(Field field, bool wanted = true) noexcept {
    bits_ |= std::uint64_t{wanted} << static_cast<unsigned>(field);
  }
  [[nodiscard]] constexpr bool has(Field field) const noexcept {
    return (bits_ >> static_cast<unsigned>(field) & 1u) != 0;
  }
  [[nodiscard]] constexpr bool empty() const noexcept { return bits_ == 0; }
  /// Calls f(Field) for each, in the order of the enumeration.
  template <class F>
  constexpr void for_each(F&& f) const {
    for (std::uint64_t left = bits_; left != 0; left &= left - 1) f(static_cast<Field>(std::countr_zero(left)));
  }
  friend constexpr bool operator==(const Fields&, const Fields&) noexcept = default;

 private:
  std::uint64_t bits_ = 0;
};

/// The fields that differ between two states.
[[nodiscard]] Fields differences(const State& a, const State& b) noexcept;

/// What a receiver of this dialect does not learn of the state: exactly the fields that differ between it
/// and what its message reads as. Contract: is_expressible(state, dialect).
[[nodiscard]] Fields lost(const State& state, Dialect dialect) noexcept;
[[nodiscard]] Fields lost(const Tdb& tdb, Dialect dialect) noexcept;
[[nodiscard]] Fields lost(const Update& update, Dialect dialect) noexcept;

/// False for a state whose keys have different families (af-to), in 1301 and 1400: cut to one family it
/// would be another connection, so it must not be sent at all.
[[nodiscard]] constexpr bool is_expressible(const State& state, Dialect dialect) noexcept {
  return state.stack_family() == state.af || (dialect != Dialect::freebsd_1301 && dialect != Dialect::freebsd_1400);
}

}  // namespace pfsync::wire
