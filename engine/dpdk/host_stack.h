#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "engine/carp/node.h"
#include "engine/dpdk/port.h"
#include "engine/link/membership.h"
#include "statetable/time.h"
#include "wire/bytes.h"

namespace pfsync::engine::dpdk {

using statetable::Duration;
using statetable::Instant;

/// What a kernel would do behind a port: virtual addresses, ARP, neighbour discovery, echo, group membership. On the
/// data-path core, but for what says otherwise; it owns nothing.
class HostStack {
 public:
  /// How long frames wait for a device whose queue is full, before they are dropped. Changes merge
  /// meanwhile; a peer that is out of breath for a moment would otherwise miss what nobody repeats.
  static constexpr std::chrono::milliseconds patience{2000};
  /// Frames that a turn of a port without pfsync sends at most.
  static constexpr std::size_t frames_max = Port::burst_max;

  HostStack(Port& port, carp::Node& node, Membership& membership) noexcept
      : port_{&port}, node_{&node}, membership_{&membership} {}

  void on_frame(wire::Bytes frame, Instant now) noexcept {
    node_->on_frame(frame, now);
    membership_->on_frame(frame, now);
  }
  /// What time brings: the link's state as the control thread sees it, and what is due.
  void pass(Instant now) noexcept;
  /// Queues frames at the port, at most that many; returns how many.
  std::size_t transmit(std::size_t frames, Instant now) noexcept;
  /// Hands what is queued to the device.
  void hand_over(Instant now) noexcept;
  /// A whole turn of a port that has nothing but this. Returns how many frames came and went.
  std::size_t turn(Instant now) noexcept;
  /// The process ends.
  void leave(Instant now) noexcept {
    node_->leave(now);
    membership_->leave(now);
  }

  [[nodiscard]] carp::Node& node() noexcept { return *node_; }
  [[nodiscard]] const Membership& membership() const noexcept { return *membership_; }
  [[nodiscard]] Membership& membership() noexcept { return *membership_; }
  [[nodiscard]] Port& port() noexcept { return *port_; }
  [[nodiscard]] bool link_up() const noexcept { return told_ == Seen::up; }
  /// Any thread: what the control thread sees of the link.
  void set_link(bool up) noexcept { seen_.store(up ? Seen::up : Seen::down, std::memory_order_relaxed); }

 private:
  /// A link that nobody has looked at yet is neither: one that is down from the start has to be told of, too.
  enum class Seen : std::uint8_t { nothing, down, up };

  Port* port_;
  carp::Node* node_;
  Membership* membership_;
  std::atomic<Seen> seen_{Seen::nothing};  ///< a word alone: pairs with nothing
  Seen told_ = Seen::nothing;              ///< what the node knows
  Instant passed_at_{};
  std::uint64_t taken_ = 0;  ///< by the device, at the last look
  Instant refused_since_{};  ///< since when the device has not taken all
  bool refused_ = false;
};

}  // namespace pfsync::engine::dpdk
