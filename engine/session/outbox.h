#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "engine/counters.h"
#include "engine/session/bulk_gate.h"
#include "engine/session/tdb_table.h"
#include "engine/token_bucket.h"
#include "statetable/entry.h"
#include "statetable/fetch.h"
#include "statetable/time.h"
#include "wire/packet_writer.h"
#include "wire/state.h"

namespace pfsync::engine {

/// A bounded first-in first-out queue over memory fixed at construction.
template <class T>
class BoundedQueue {
 public:
  explicit BoundedQueue(std::size_t capacity) : items_(capacity) {}
  [[nodiscard]] bool push(const T& item) noexcept {
    if (count_ == items_.size()) return false;
    items_[(head_ + count_++) % items_.size()] = item;
    return true;
  }
  /// Contract: not empty.
  [[nodiscard]] const T& front() const noexcept { return items_[head_]; }
  void pop() noexcept {
    head_ = (head_ + 1) % items_.size();
    --count_;
  }
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  [[nodiscard]] std::size_t size() const noexcept { return count_; }

 private:
  std::vector<T> items_;
  std::size_t head_ = 0;
  std::size_t count_ = 0;
};

/// Gives the outbox a state's content when the packet is written, not when the change was queued.
class StateSource {
 public:
  [[nodiscard]] virtual wire::State full_state(statetable::Slot slot) const noexcept = 0;
  [[nodiscard]] virtual wire::Update update(statetable::Slot slot) const noexcept = 0;
  /// What the two above will read is on its way to the cache.
  virtual void prefetch(statetable::Slot slot) const noexcept = 0;
  /// Whether its keys have different families, which not every dialect can say.
  [[nodiscard]] virtual bool has_two_families(statetable::Slot slot) const noexcept = 0;
  [[nodiscard]] virtual wire::Tdb tdb(TdbTable::Place place) const noexcept = 0;

 protected:
  ~StateSource() = default;
};

/// What there is to announce, and when. A state stands in at most one queue, so that many updates of it
/// between two packets go out once; the queues of states can therefore never be full. Queues of bare
/// ids are bounded; what does not fit is counted.
/// Answers have a limit that changes have not: an answer whose turn has not come stands in no queue that is written,
/// and counts for no packet. A change of its state is told in time meanwhile.
/// While the link takes less than there is to say, what begins and ends goes before what changes: updates of one state
/// merge while they wait, so that nothing is lost by it but time.
/// Source: FreeBSD sys/netpfil/pf/if_pfsync.c, pfsync_q_ins(), pfsync_q_del(), pfsync_sendout().
class Outbox {
 public:
  using Instant = statetable::Instant;
  using Duration = statetable::Duration;
  using Slot = statetable::Slot;

  struct Config {
    Duration delay = std::chrono::seconds{1};
    unsigned maxupd = 128;
    std::size_t ids_max = 65536;  ///< in each queue of bare ids
    std::size_t tdb_places = 0;   ///< of the TdbTable
    std::uint64_t requests_per_s =
        0;  ///< full states in answer to requests, and answers to stale updates; 0: any number
  };
  /// Of a state a stale update is answered once in this time. Two nodes that each find the other's answer stale would
  /// otherwise never end. Also how long a request may wait for its packet before further ones are not taken.
  static constexpr std::chrono::seconds once_in{1};
  /// Answers that wait leave together, this far apart, so that they share packets.
  static constexpr std::chrono::milliseconds together{10};
  /// How long changes are held for a peer that another node speaks with: at least this, at most twice as much. Longer
  /// than that node's silence takes to be noticed (CARP: 3 seconds and a bit with advbase 1) and a change may have
  /// waited there.
  static constexpr std::chrono::seconds held{5};

  /// `gate` may be null.
  Outbox(const Config& config, std::size_t slots, Counters& counters, BulkGate* gate);
  /// Bytes of memory for a table of that many slots, the bounded queues apart.
  [[nodiscard]] static constexpr std::size_t memory_bytes(std::size_t slots) noexcept { return slots * sizeof(Place); }

  /// From now on; what is queued is due by the new delay.
  void set_pace(Duration delay, unsigned maxupd) noexcept {
    config_.delay = delay;
    config_.maxupd = maxupd;
  }

  // Events, as the table in pfsync-semantics 2.2 orders them.
  /// `is_known`: the peer may have heard of the state before, so that its end is told even if its insert never left.
  void inserted(Slot slot, Instant now, bool is_known = false) noexcept;
  /// `tcp`: only updates of TCP states count towards maxupd.
  void updated(Slot slot, bool tcp, Instant now) noexcept;
  /// The peer itself has said what the state is now: a change that waits to be told would tell it no more.
  void said_by_peer(Slot slot) noexcept;
  /// The peer asked for the full state: it leaves at once, or when its turn comes; once, however often it was asked
  /// for. `is_modest`: by a node of it that asks for no more than its part; what others ask for waits until that left.
  void update_requested(Slot slot, bool is_modest, Instant now) noexcept;
  /// The peer said what is older than ours: it is told at once, or once the state's second is over and its turn comes,
  /// as the state is then.
  void found_stale(Slot slot, Instant now) noexcept;
  /// After the state was erased from the table, so that no bulk frame begun later holds it.
  /// `announce`: the peers are to hear of it, if they ever heard of the state.
  void erased(Slot slot, wire::StateId id, bool announce, Instant now) noexcept;
  void acknowledge(wire::StateId id, Instant now) noexcept;
  void request(wire::StateId id, Instant now) noexcept;
  /// Whether requests have waited for a packet too long for more to be of use. While none is added, none can be there
  /// twice, if it is asked for once in `once_in`.
  [[nodiscard]] bool is_behind(Instant now) const noexcept {
    return !requests_.empty() && now >= requests_.front().at + once_in;
  }
  /// After the states were erased. Nothing leaves before the clear does: its receiver would remove what came after it
  /// too.
  void clear(const wire::Clear& clear, Instant now) noexcept;
  void tdb_changed(TdbTable::Place place, Instant now) noexcept;
  void push() noexcept { push_ = queued() > 0; }
  /// For a state that one of the events above will be about.
  void prefetch(Slot slot) const noexcept { statetable::fetch(&places_[slot]); }
  /// Has the machine give the memory of these slots now instead of as their states arrive. Contract: nothing is queued.
  void take_memory(Slot first, std::size_t slots) noexcept { std::fill_n(&places_[first], slots, Place{}); }
  /// Another node speaks with the peer: nothing is written; changes are held as `held` says. Leaving, all that is held
  /// is due.
  void stand_by(bool on, Instant now) noexcept;
  /// Forgets what was held long enough, some of it at a time.
  void on_timeout(Instant now) noexcept;
  /// Answers whose turn has come enter the queues, some of them at a time. On time, and before transmit.
  void release(Instant now) noexcept {
    if (waiting_ > 0 && !standing_by_) release_due(now);
  }

  /// When something has to leave, or to be forgotten; Instant::max() when nothing is queued.
  [[nodiscard]] Instant timeout(Instant now) const noexcept;
  /// Writes one packet if one is due. What is queued has no dialect before.
  [[nodiscard]] std::size_t transmit(wire::Room room, Instant now, wire::Dialect dialect,
                                     const StateSource& source) noexcept;
  [[nodiscard]] std::size_t queued() const noexcept;
  /// Answers that are owed and whose turn has not come.
  [[nodiscard]] std::size_t answers_waiting() const noexcept {
    return list(Queue::asked).count + list(Queue::asked_beyond).count + list(Queue::owed).count;
  }
  [[nodiscard]] bool has_clears() const noexcept { return !clears_.empty(); }

 private:
  enum class Queue : std::uint8_t {
    none,
    ins,
    upd,
    upd_c,
    asked,         ///< the full state is owed, and waits for its turn
    asked_beyond,  ///< the same, to nodes that asked for more than their parts: after all that are `asked`
    answered,      ///< a stale update was answered within a second; perhaps another came
    owed,          ///< another came, and waits for its turn
  };
  static constexpr std::size_t queue_count = 8;
  static constexpr Queue all_queues[] = {Queue::ins,          Queue::upd,      Queue::upd_c, Queue::asked,
                                         Queue::asked_beyond, Queue::answered, Queue::owed};
  /// A state's place in its queue: a doubly linked list through slots, stored as slot + 1 (0 = end).
  struct Place {
    std::uint32_t previous;
    std::uint32_t next;
    Queue queue : 4;
    bool is_asked : 1;     ///< in upd_c: the full state is owed, too
    bool is_beyond : 1;    ///< of that: it goes to `asked_beyond`
    bool is_answered : 1;  ///< once it is told, the second begins in which no stale update is answered
    bool is_owed : 1;      ///< in answered: another stale update came
    std::uint8_t updates;
    std::uint8_t generation;  ///< 7 bits; with `by_other` for what was queued while standing by, or is known
    std::uint8_t told_at;     ///< in answered: a tick; in upd_c: its batch
  };
  static_assert(sizeof(Place) == 12);
  static constexpr std::uint8_t by_other = 0x80;  ///< somebody else may have told it to the peer
  struct List {
    std::uint32_t first = 0;
    std::uint32_t last = 0;
    std::size_t count = 0;
  };

  /// Answers of one kind that wait for their turn.
  struct Turn {
    TokenBucket bucket;
    Instant due{};  ///< when to look again, while some wait
  };

  void enqueue(Slot slot, Queue queue, Instant now) noexcept;
  void append(Slot slot, Queue queue) noexcept;
  void prepend(Slot slot, Queue queue) noexcept;
  /// Out of its queue; what is owed of it is still known.
  void unlink(Slot slot) noexcept;
  /// Out of its queue, and nothing is owed.
  void dequeue(Slot slot) noexcept;
  /// Out of its queue, since it is being written.
  void told(Slot slot, Instant now) noexcept;
  void wait(Slot slot, Queue queue, Turn& turn, Instant now) noexcept;
  void wait_for_answer(Slot slot, bool is_modest, Instant now) noexcept;
  void release_due(Instant now) noexcept;
  void take_turns(Queue from, Queue to, Turn& turn, Instant now, std::size_t& budget) noexcept;
  [[nodiscard]] bool has_rested(const Place& place, Instant now) const noexcept;
  [[nodiscard]] Instant rested_at(const Place& place, Instant now) const noexcept;
  [[nodiscard]] static constexpr bool is_asked_for(Queue queue) noexcept {
    return queue == Queue::asked || queue == Queue::asked_beyond;
  }
  [[nodiscard]] static constexpr bool is_written(Queue queue) noexcept {
    return queue == Queue::ins || queue == Queue::upd || queue == Queue::upd_c;
  }
  void queued_one(Instant now) noexcept;
  void forget(Queue queue, std::size_t& budget) noexcept;
  [[nodiscard]] bool is_forgotten(Slot slot) const noexcept {
    return ((generation_ - places_[slot].generation) & 0x7f) >= 2;
  }
  [[nodiscard]] bool has_to_forget() const noexcept;
  template <class T>
  void push_or_displace(BoundedQueue<T>& queue, const T& item, std::size_t& before, Tally dropped,
                        Instant now) noexcept;
  [[nodiscard]] List& list(Queue queue) noexcept { return lists_[static_cast<std::size_t>(queue)]; }
  [[nodiscard]] const List& list(Queue queue) const noexcept { return lists_[static_cast<std::size_t>(queue)]; }
  [[nodiscard]] std::size_t bytes_queued(wire::Dialect dialect) const noexcept;
  /// What is written, in the order in which a packet fills when not all of it fits.
  enum class Kind : std::uint8_t { ins, upd, deletes, acks, requests, tdbs, upd_c };
  static constexpr std::size_t kind_count = 7;
  /// How many of each kind a packet takes at most; the sections' order is another matter.
  using Shares = std::array<std::size_t, kind_count>;
  [[nodiscard]] Shares shares(std::size_t room_bytes, wire::Dialect dialect, Instant now) noexcept;
  void write_as_freebsd(wire::PacketWriter& writer, Instant now, wire::Dialect dialect, const StateSource& source,
                        const Shares& shares) noexcept;
  void write_as_openbsd(wire::PacketWriter& writer, Instant now, const StateSource& source,
                        const Shares& shares) noexcept;
  void write_deletes(wire::PacketWriter& writer, std::size_t count_max) noexcept;
  void write_states(wire::PacketWriter& writer, Instant now, Queue queue, wire::Message message, wire::Dialect dialect,
                    const StateSource& source, std::size_t count_max) noexcept;
  void write_tdbs(wire::PacketWriter& writer, wire::Dialect dialect, const StateSource& source,
                  std::size_t count_max) noexcept;
  template <class T>
  void write_ids(wire::PacketWriter& writer, BoundedQueue<T>& ids, wire::Message message,
                 std::size_t count_max) noexcept;
  /// Records at a queue's head that wait for the bulk frames which were begun before them.
  struct Batch {
    std::size_t count = 0;
    std::uint64_t stamp = 0;  ///< of the gate
  };
  /// Makes one of all that is `queued`, once the one before has left. Whether it did.
  bool begin(Batch& batch, std::size_t queued) const noexcept;
  [[nodiscard]] std::size_t deletes_allowed() noexcept;
  [[nodiscard]] std::size_t updates_allowed(Instant now) noexcept;
  [[nodiscard]] bool is_untold(Slot slot) const noexcept;

  Config config_;
  std::unique_ptr<Place[], void (*)(void*)> places_;
  std::array<List, queue_count> lists_{};
  std::size_t waiting_ = 0;  ///< in the lists that are not written
  struct Request {
    wire::StateId id{};
    Instant at{};
  };
  BoundedQueue<wire::StateId> acks_;
  BoundedQueue<Request> requests_;
  BoundedQueue<wire::StateId> deletes_;
  BoundedQueue<wire::Clear> clears_;
  BoundedQueue<TdbTable::Place> tdbs_;
  std::vector<bool> tdb_queued_;   ///< each place once, so that the queue cannot be full
  std::uint64_t clear_stamp_ = 0;  ///< of the gate, when the last clear was queued
  Batch deletes_gated_{};
  // An update behind a bulk frame that holds what was before it: whoever does not know the state yet would end with
  // that.
  std::uint8_t batch_ = 0;  ///< of updates that are queued now
  Batch updates_gated_{};   ///< the one before that
  Instant updates_gated_at_{};
  std::uint64_t frames_before_ins_ = 0;  ///< bulk frames handed over before the first state of the ins queue
  Instant oldest_{};                     ///< when the outbox became non-empty
  Turn full_answers_, stale_answers_;
  Instant answered_last_{};  ///< when the last state entered `answered`
  bool push_ = false;
  bool standing_by_ = false;
  std::uint8_t generation_ = 0;  ///< the periods of `held` so far, 7 bits of them
  Instant generation_ends_{};
  std::size_t deletes_before_ = 0, clears_before_ = 0;  ///< how many at the heads are of the generation before
  Counters* counters_;
  BulkGate* gate_;
};

}  // namespace pfsync::engine
