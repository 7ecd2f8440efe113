#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "engine/link/arrival.h"
#include "engine/session/command_slot.h"

namespace pfsync::engine {

/// Packets, and commands between them, that one thread gives to several others: each of these takes all of them, in one
/// order and at its own pace. A packet is copied once, however many take it. Bounded: there is room for another when
/// the slowest has taken enough. Nobody waits; memory is fixed at construction.
class PacketBroadcast {
 public:
  struct Item {
    Arrival arrival{};  ///< of a packet; good until it is taken
    Command command{};
    bool is_command = false;
  };

  /// `items`: a power of 2. `packet_bytes`: the longest packet.
  PacketBroadcast(unsigned takers, std::size_t items, std::size_t packet_bytes)
      : takers_(takers),
        stride_{(packet_bytes + 63) / 64 * 64},
        items_(takers == 0 ? 0 : items),
        bytes_(items_.size() * stride_) {}

  // Giver.
  /// How many items there is room for; at least `wanted`, or as many as there are.
  [[nodiscard]] std::size_t room(std::size_t wanted) noexcept {
    if (items_.size() - (given_ - taken_by_all_) < wanted) taken_by_all_ = slowest();
    return items_.size() - (given_ - taken_by_all_);
  }
  /// Contract: there is room. False when the packet is longer than any may be.
  [[nodiscard]] bool give(const Arrival& arrival) noexcept {
    if (arrival.packet.size() > stride_) return false;
    std::uint8_t* const at = bytes_.data() + given_ % items_.size() * stride_;
    std::memcpy(at, arrival.packet.data(), arrival.packet.size());
    Item& item = items_[given_++ % items_.size()];
    item.arrival = {{at, arrival.packet.size()}, arrival.source, arrival.peer};
    item.is_command = false;
    return true;
  }
  /// Contract: there is room.
  void give(const Command& command) noexcept {
    Item& item = items_[given_++ % items_.size()];
    item.command = command;
    item.is_command = true;
  }
  /// What was given is there for the takers.
  void publish() noexcept { published_.store(given_, std::memory_order_release); }
  /// All that was given so far, by number.
  [[nodiscard]] std::uint64_t given() const noexcept { return given_; }
  [[nodiscard]] bool have_all_taken(std::uint64_t number) const noexcept { return slowest() >= number; }

  // Takers.
  /// How many items wait for one.
  [[nodiscard]] std::size_t waiting(unsigned taker) const noexcept {
    return published_.load(std::memory_order_acquire) - takers_[taker].taken.load(std::memory_order_relaxed);
  }
  /// The i-th of these.
  [[nodiscard]] const Item& at(unsigned taker, std::size_t i) const noexcept {
    return items_[(takers_[taker].taken.load(std::memory_order_relaxed) + i) % items_.size()];
  }
  /// Their memory may be used again.
  void take(unsigned taker, std::size_t count) noexcept {
    auto& taken = takers_[taker].taken;
    taken.store(taken.load(std::memory_order_relaxed) + count, std::memory_order_release);
  }

 private:
  struct alignas(64) Taker {
    std::atomic<std::uint64_t> taken{0};
  };
  [[nodiscard]] std::uint64_t slowest() const noexcept {
    std::uint64_t least = given_;
    for (const Taker& taker : takers_) least = std::min(least, taker.taken.load(std::memory_order_acquire));
    return least;
  }

  std::vector<Taker> takers_;
  std::size_t stride_;
  std::vector<Item> items_;
  std::vector<std::uint8_t> bytes_;
  std::uint64_t given_ = 0;
  std::uint64_t taken_by_all_ = 0;
  alignas(64) std::atomic<std::uint64_t> published_{0};
};

}  // namespace pfsync::engine
