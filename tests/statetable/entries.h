#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "statetable/table.h"

namespace pfsync::statetable {

/// SplitMix64: spreads small numbers over all bits. Source: S. Vigna, prng.di.unimi.it/splitmix64.c.
[[nodiscard]] constexpr std::uint64_t mixed(std::uint64_t value) noexcept {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

/// Entries certify themselves: every field follows from the id and a number, which is legible in one
/// field of each part. The hot part changes its version; birth is fixed from insert to erase.
[[nodiscard]] inline HotState hot_of(wire::StateId id, std::uint32_t birth, std::uint32_t version) {
  const std::uint64_t m = mixed(id.id ^ mixed(id.creatorid) ^ mixed(std::uint64_t{birth} << 32 | version));
  HotState hot;
  hot.id = id;
  hot.src = {.scrub = {static_cast<std::uint32_t>(m), 1, 64, 1},
             .seqlo = version,
             .seqhi = static_cast<std::uint32_t>(m >> 3),
             .seqdiff = static_cast<std::uint32_t>(m >> 7),
             .max_win = static_cast<std::uint16_t>(m >> 11),
             .mss = static_cast<std::uint16_t>(m >> 13),
             .state = 4,
             .wscale = static_cast<std::uint8_t>(m >> 17)};
  hot.dst = hot.src;
  hot.dst.seqlo = ~version;
  hot.dst.seqhi = static_cast<std::uint32_t>(m >> 19);
  hot.created_s = static_cast<Seconds>(birth);
  hot.expire_at_s = static_cast<Seconds>(m >> 24 & 0xfff);
  hot.heard_s = static_cast<Seconds>(m >> 36 & 0xfff);
  hot.state_flags = static_cast<std::uint16_t>(m >> 23);
  hot.timeout = static_cast<std::uint8_t>(m >> 29);
  hot.proto = wire::ipproto::tcp;
  hot.af = wire::Family::inet;
  hot.direction = wire::Direction::out;
  hot.log = static_cast<std::uint8_t>(m >> 31);
  hot.sync_flags = static_cast<std::uint8_t>(m >> 37);
  hot.from = static_cast<std::uint8_t>((m >> 41) % 255);
  return hot;
}

[[nodiscard]] inline ColdState cold_of(wire::StateId id, std::uint32_t birth) {
  const std::uint64_t m = mixed(mixed(id.id) + id.creatorid + birth);
  ColdState cold;
  cold.ifname = wire::InterfaceName{"em" + std::to_string(m % 10'000'000)};
  for (std::size_t k = 0; k < 2; ++k)
    for (std::size_t side = 0; side < 2; ++side) {
      for (auto& byte : cold.key[k].addr[side].bytes) byte = static_cast<std::uint8_t>(m >> (8 * k + side));
      cold.key[k].port[side] = static_cast<std::uint16_t>(m >> (5 * k + 3 * side));
    }
  cold.rt_addr = cold.key[1].addr[1];
  cold.rule = birth;
  cold.anchor = static_cast<std::uint32_t>(m >> 9);
  cold.nat_rule = static_cast<std::uint32_t>(m >> 21);
  cold.packets = {m, ~m};
  cold.bytes = {m * 3, m * 5};
  cold.rtableid = {static_cast<std::int32_t>(m >> 2), static_cast<std::int32_t>(m >> 4)};
  cold.dnpipe = static_cast<std::uint16_t>(m >> 6);
  cold.max_mss = static_cast<std::uint16_t>(m >> 8);
  cold.rt_af = m % 2 == 0 ? wire::Family::inet : wire::Family::inet6;
  return cold;
}

[[nodiscard]] inline bool same(const HotState& a, const HotState& b) {
  return a.id == b.id && a.src == b.src && a.dst == b.dst && a.created_s == b.created_s &&
         a.expire_at_s == b.expire_at_s && a.heard_s == b.heard_s && a.state_flags == b.state_flags &&
         a.timeout == b.timeout && a.proto == b.proto && a.af == b.af && a.direction == b.direction && a.log == b.log &&
         a.sync_flags == b.sync_flags && a.from == b.from;
}

[[nodiscard]] inline bool same(const ColdState& a, const ColdState& b) { return a == b; }

/// Whether both parts are what their id, birth and version say: one version, no mixture.
[[nodiscard]] inline bool certified(const Snapshot& entry) {
  const auto birth = static_cast<std::uint32_t>(entry.hot.created_s);
  return same(entry.hot, hot_of(entry.hot.id, birth, entry.hot.src.seqlo)) &&
         same(entry.cold, cold_of(entry.hot.id, birth));
}

/// A table with every shard claimed.
class OwnedTable {
 public:
  explicit OwnedTable(const TableConfig& config) {
    auto made = Table::create(config);
    if (auto* refusal = std::get_if<std::string>(&made)) throw std::runtime_error{*refusal};
    table_ = std::move(std::get<std::unique_ptr<Table>>(made));
    for (std::size_t i = 0; i < table_->shard_count(); ++i) writers_.push_back(table_->claim(i).value());
  }
  Table& operator*() noexcept { return *table_; }
  Table* operator->() noexcept { return table_.get(); }
  [[nodiscard]] ShardWriter& writer(std::size_t shard) { return writers_[shard]; }
  [[nodiscard]] ShardWriter& writer_of(wire::StateId id) { return writers_[table_->shard_of(table_->hash(id))]; }

  [[nodiscard]] Slot find(wire::StateId id) { return writer_of(id).find(id, table_->hash(id)); }
  ShardWriter::InsertResult insert(const HotState& hot, const ColdState& cold) {
    return writer_of(hot.id).insert(hot, cold, table_->hash(hot.id));
  }
  ShardWriter::InsertResult insert(wire::StateId id, std::uint32_t birth = 1) {
    return insert(hot_of(id, birth, 0), cold_of(id, birth));
  }

 private:
  std::unique_ptr<Table> table_;
  std::vector<ShardWriter> writers_;
};

}  // namespace pfsync::statetable
