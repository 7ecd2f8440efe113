#include "engine/session/tdb_table.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace pfsync::engine {

using statetable::Seconds;

namespace {

bool is_same_sa(const wire::Tdb& a, const wire::Tdb& b) noexcept {
  return a.spi == b.spi && a.sproto == b.sproto && a.rdomain == b.rdomain && a.af == b.af && a.dst == b.dst;
}

bool is_free(const TdbTable::Entry& entry) noexcept { return entry.tdb.af == wire::Family::none; }

}  // namespace

TdbTable::TdbTable(std::size_t tdbs_max)
    : places_{(std::clamp<std::size_t>(tdbs_max, 1, tdbs_most) + ways - 1) / ways * ways},
      entries_{new Published<Entry>[places_]} {}

TdbTable::Result TdbTable::hear(const wire::Tdb& tdb, statetable::Hash hash, Seconds now_s) noexcept {
  const std::size_t first = hash.value() % (places_ / ways) * ways;
  std::size_t place = first;
  Entry found = entries_[first].read();
  for (std::size_t i = first + 1; i < first + ways && !is_same_sa(found.tdb, tdb); ++i) {
    const Entry entry = entries_[i].read();
    // The SA itself, else a free place, else the one unheard longest.
    if (!is_same_sa(entry.tdb, tdb) && (is_free(found) || (!is_free(entry) && entry.heard_s >= found.heard_s)))
      continue;
    place = i;
    found = entry;
  }
  const auto result = [&](Heard heard, bool displaced = false) {
    return Result{heard, static_cast<Place>(place), displaced};
  };
  const bool known = is_same_sa(found.tdb, tdb);
  if (known && (tdb.rpl < found.tdb.rpl || tdb.cur_bytes < found.tdb.cur_bytes) &&
      std::int64_t{now_s} - found.heard_s <= anew_after_s)
    return result(Heard::older);
  entries_[place].publish({tdb, now_s});
  if (known)
    return result(tdb.rpl != found.tdb.rpl || tdb.cur_bytes != found.tdb.cur_bytes ? Heard::news : Heard::nothing_new);
  return result(Heard::news, !is_free(found) && std::int64_t{now_s} - found.heard_s <= forgotten_after_s);
}

std::optional<TdbTable::Entry> TdbTable::read(std::size_t place, Seconds now_s) const noexcept {
  const Entry entry = entries_[place].read();
  if (is_free(entry) || std::int64_t{now_s} - entry.heard_s > forgotten_after_s) return std::nullopt;
  return entry;
}

std::size_t TdbTable::size(Seconds now_s) const noexcept {
  std::size_t count = 0;
  for (std::size_t place = 0; place < places_; ++place) count += read(place, now_s).has_value() ? 1 : 0;
  return count;
}

wire::StateId hashed_id(const wire::Tdb& tdb) noexcept {
  std::array<std::uint32_t, 4> words{};
  static_assert(sizeof(words) == sizeof(tdb.dst));
  std::memcpy(words.data(), &tdb.dst, sizeof(words));
  // Addresses of one host differ in few bits, and those anywhere: no two words may cancel out.
  const std::uint64_t high = (std::uint64_t{words[0]} << 32 | words[1]) * 0x9e3779b97f4a7c15u,
                      low = std::uint64_t{words[2]} << 32 | words[3];
  const std::uint64_t id = std::uint64_t{tdb.spi} << 32 | std::uint64_t{tdb.rdomain} << 16 |
                           std::uint64_t{tdb.sproto} << 8 | static_cast<std::uint8_t>(tdb.af);
  return {id ^ high, static_cast<std::uint32_t>(low ^ low >> 32)};
}

}  // namespace pfsync::engine
