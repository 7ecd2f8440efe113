#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>

#include "engine/link/arrival.h"
#include "engine/session/command_slot.h"
#include "engine/session/packet_broadcast.h"
#include "engine/session/partition.h"
#include "engine/session/session.h"
#include "wire/packet_reader.h"

namespace pfsync::engine {

/// One pfsync node whose table several cores share: a session for each, over shards of its own. The first part's core
/// receives; it gives every packet to all parts, each of which walks it and applies what is about its own states. So
/// all hear the same in the same order, and learn alike; the order of messages is kept for each state, not between
/// states of different parts. Each part has its own outboxes and speaks for its own states. One part is a Session and
/// nothing else. No thread inside: each part is turned by its core, or one after the other by a test.
class PartitionedSession {
 public:
  static constexpr unsigned parts_max = Partition::parts_max;
  static constexpr std::size_t waiting_max = 1024;  ///< packets that a part may be behind
  static constexpr std::size_t burst_max = 32;      ///< packets that a part applies in a turn

  /// As for Session. `parts`: 1 to parts_max, at most the table's shards. `packet_bytes`: the longest that will come.
  PartitionedSession(const SessionConfig& config, statetable::Table& table, unsigned parts = 1,
                     std::size_t packet_bytes = 1500, BulkGate* gate = nullptr);
  /// Bytes of memory for packets on their way between the parts.
  [[nodiscard]] static constexpr std::size_t memory_bytes(unsigned parts, std::size_t packet_bytes) noexcept {
    return parts == 1 ? 0 : waiting_max * (packet_bytes + sizeof(PacketBroadcast::Item));
  }

  [[nodiscard]] unsigned parts() const noexcept { return static_cast<unsigned>(parts_.size()); }
  [[nodiscard]] Session& part(unsigned number) noexcept { return parts_[number].session; }
  [[nodiscard]] const Session& part(unsigned number) const noexcept { return parts_[number].session; }
  [[nodiscard]] Session& first() noexcept { return parts_.front().session; }
  [[nodiscard]] const Session& first() const noexcept { return parts_.front().session; }

  // --- before the first turn -------------------------------------------------------------------------
  /// As Session::restore, each part its own. On one thread.
  Session::Restored restore(std::span<const KeptState> states, std::uint32_t passed_s, Instant now) noexcept;

  // --- first part's core -----------------------------------------------------------------------------
  /// Whether a whole burst finds room with every part. Otherwise leave packets where they are for a while.
  [[nodiscard]] bool has_room() noexcept { return parts() == 1 || others_.room(burst_max) >= burst_max; }
  /// As Session::on_packets. What finds no room with some part is dropped for all, and counted.
  void on_packets(std::span<const Arrival> packets, Instant now) noexcept;
  /// For when more arrives than can be taken: whether the packet is one to do without, since it has only compressed
  /// updates. If so, it is counted. What begins and ends is kept, and half of the updates, drawn, or the states of
  /// whoever is honest would time out while somebody else keeps the node busy.
  [[nodiscard]] bool leaves_out(wire::Bytes packet) noexcept {
    if (!wire::has_only_updates(packet)) return false;
    draw_ = draw_ * 6364136223846793005u + 1442695040888963407u;  // Knuth's MMIX
    if (draw_ >> 63u != 0) return false;
    first().counters()[Tally::updates_left_out].add();
    return true;
  }
  /// Begins to carry out a command that is for all parts: push, flush, kill, repair, sample, or change. The last makes
  /// the other parts stand still until go_on(); once it has ended, they may be changed from here. False when there is
  /// no room: try again.
  [[nodiscard]] bool begin(const Command& command, Instant now) noexcept;
  /// What came of it, summed; nullopt while a part has not carried it out.
  [[nodiscard]] std::optional<CommandResult> ended() const noexcept;
  void go_on() noexcept { gone_on_.store(gone_on_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }
  /// Whether states are missing, or under way between the parts, that peers have been asked for.
  [[nodiscard]] bool is_catching_up() noexcept;

  // --- the core of each part -------------------------------------------------------------------------
  /// Takes what the first part gave (others only), serves the other parts, and lets time pass. Returns how much there
  /// was to do.
  std::size_t turn(unsigned number, Instant now) noexcept;
  /// Whether the part is standing still: its core leaves it alone until a turn has found that it goes on.
  [[nodiscard]] bool stands_still(unsigned number) const noexcept { return parts_[number].stands_still; }
  /// Whether there is something to take.
  [[nodiscard]] bool has_to_take(unsigned number) const noexcept {
    return number != 0 && others_.waiting(number - 1) > 0;
  }

  // --- any thread ------------------------------------------------------------------------------------
  /// Sums of what all parts count.
  void add_counters(Counters& sums) const noexcept {
    for (const Part& part : parts_) sums.add(part.session.counters());
  }

 private:
  struct Part {
    Part(const SessionConfig& config, statetable::Table& table, BulkGate* gate, SessionPart part)
        : session{config, table, gate, part} {}
    Session session;
    CommandResult result{};  ///< of the command taken last; read once that is known to be taken
    bool is_started = false;
    bool stands_still = false;
    std::uint64_t stops = 0;
    std::array<Arrival, burst_max> packets{};
  };
  static CommandResult execute(Session& session, const Command& command, Instant now) noexcept;
  std::size_t take(unsigned number, Instant now) noexcept;
  void follow(Session& session, Instant now) noexcept;

  Partition partition_;
  std::deque<Part> parts_;  ///< fixed at construction
  PacketBroadcast others_;
  std::atomic<std::uint64_t> gone_on_{0};
  std::uint64_t command_at_ = 0;
  std::uint64_t draw_ = 0;
  bool was_catching_up_ = false;
  std::uint64_t caught_up_at_ = 0;  ///< what the parts have to have taken
};

}  // namespace pfsync::engine
