#pragma once

#include <span>

#include "engine/session/interface_map.h"
#include "engine/session/outbox.h"
#include "engine/session/said_left.h"
#include "engine/session/two_families.h"
#include "statetable/table.h"

namespace pfsync::engine {

/// The writers' own view, of the thread that writes; interfaces have the names of the peer that is written to.
class TableSource final : public StateSource {
 public:
  TableSource(std::span<const statetable::ShardWriter> writers, std::size_t first_shard, std::size_t slots_per_shard,
              const TdbTable& tdbs, InterfaceTranslator& interfaces, statetable::Seconds now_s) noexcept
      : writers_{writers},
        first_shard_{first_shard},
        slots_per_shard_{slots_per_shard},
        tdbs_{&tdbs},
        interfaces_{&interfaces},
        now_s_{now_s} {}
  [[nodiscard]] wire::State full_state(statetable::Slot slot) const noexcept override {
    wire::State state = writer_of(slot).state(slot, now_s_);
    state.expire_s = said_left_s(state.expire_s);
    if (!interfaces_->is_idle()) [[unlikely]]
      interfaces_->to_theirs(state);
    return state;
  }
  [[nodiscard]] wire::Update update(statetable::Slot slot) const noexcept override {
    const statetable::HotEntry& entry = writer_of(slot).entry(slot);
    return {
        {entry.id, entry.creatorid}, statetable::peer_of(entry.src), statetable::peer_of(entry.dst), entry.timeout()};
  }
  void prefetch(statetable::Slot slot) const noexcept override { writer_of(slot).prefetch(slot); }
  [[nodiscard]] bool has_two_families(statetable::Slot slot) const noexcept override {
    return engine::has_two_families(writer_of(slot), slot);
  }
  [[nodiscard]] wire::Tdb tdb(TdbTable::Place place) const noexcept override { return tdbs_->at(place); }

 private:
  [[nodiscard]] const statetable::ShardWriter& writer_of(statetable::Slot slot) const noexcept {
    return writers_[slot / slots_per_shard_ - first_shard_];
  }
  std::span<const statetable::ShardWriter> writers_;
  std::size_t first_shard_;
  std::size_t slots_per_shard_;
  const TdbTable* tdbs_;
  InterfaceTranslator* interfaces_;
  statetable::Seconds now_s_;
};

}  // namespace pfsync::engine
