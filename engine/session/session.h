#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/counters.h"
#include "engine/fair_rate.h"
#include "engine/link/arrival.h"
#include "engine/placed.h"
#include "engine/session/asked_states.h"
#include "engine/session/bulk_gate.h"
#include "engine/session/bulk_requester.h"
#include "engine/session/deferrals.h"
#include "engine/session/delayed_states.h"
#include "engine/session/interface_map.h"
#include "engine/session/outbox.h"
#include "engine/session/partition.h"
#include "engine/session/peer_counters.h"
#include "engine/session/peer_dialect.h"
#include "engine/session/peer_watch.h"
#include "engine/session/pending_clears.h"
#include "engine/session/place_shares.h"
#include "engine/session/removed_states.h"
#include "engine/session/repair.h"
#include "engine/session/samples.h"
#include "engine/session/sync_rules.h"
#include "engine/session/tdb_table.h"
#include "engine/session/timeouts.h"
#include "statetable/table.h"
#include "statetable/time.h"
#include "wire/bytes.h"
#include "wire/dialect.h"
#include "wire/packet_reader.h"
#include "wire/packet_writer.h"
#include "wire/state.h"

namespace pfsync::engine {

struct KeptState;

using statetable::Duration;
using statetable::Instant;
using statetable::Seconds;
using statetable::Slot;

/// One destination of a session: a unicast peer, or a group.
struct PeerConfig {
  wire::Dialect dialect = wire::Dialect::freebsd_1301;  ///< what is sent
  bool learn_dialect = false;                           ///< only until something else is learned from what is heard
  BulkGate* gate = nullptr;   ///< shared with the thread that serves this peer's bulk updates; null when nobody does
  bool is_group = false;      ///< it has any number of nodes, and who they are is not configured
  bool is_shared = false;     ///< another node may be the one to speak with it; until set_active says otherwise, it is
  InterfaceMap interfaces{};  ///< empty: names pass as they are
};
inline constexpr std::size_t peers_max = Partition::peers_max;

struct SessionConfig {
  std::uint32_t creatorid = 0;                          ///< own host id (pf.conf `set hostid`); not 0
  wire::Dialect dialect = wire::Dialect::freebsd_1301;  ///< of the one peer, when `peers` is empty
  bool learn_dialect = false;                           ///< likewise
  std::vector<PeerConfig> peers{};                      ///< several: a hub, which passes on what one says to the others
  std::size_t ids_queued_max = 65536;  ///< deletes, acks and requests that wait for a packet, each; more are counted
  std::size_t removed_max = 65536;     ///< how many of the states that ended lately are remembered, in sets of 8
  std::size_t tdbs_max = 1024;         ///< IPsec SAs whose counters are kept
  unsigned maxupd = 128;               ///< updates of one state after which it is sent at once
  Duration delay = std::chrono::seconds{1};  ///< the longest that a change waits for its packet
  bool request_bulk = true;                  ///< ask for everything at start
  bool passive = false;                      ///< only listen: never ask, answer or announce
  bool expire = true;                        ///< remove states whose timeout has run out
  /// How much longer a state lives that another node announced: its owner's DEL_C should come first,
  /// and a lost one must not keep the state for ever.
  Duration foreign_grace = std::chrono::seconds{5};
  /// Single states a second that each peer can have as answers to requests, and as many to stale updates, and that each
  /// is asked for; a tenth of it at once; 0: any number. Further answers wait: a state once, as it is then. What is
  /// not asked for is asked for with a later update of it. Of inserts that want an ack ten times as many are answered:
  /// the others' first packets leave a little later.
  std::uint64_t requests_per_s = 10'000;
  /// How often each peer is asked for a state that it must have, only to see whether it hears us; zero: never.
  Duration probe_every{};
  Duration defer{};                 ///< how long the first packet of a new state may wait for an INS_ACK; 0: none does
  std::size_t deferred_max = 4096;  ///< packets that wait; the oldest goes when another comes
  Timeouts timeouts{};
  /// What of the own states, and of what a hub passes on, is announced; none: all.
  std::vector<SyncRule> sync_rules{};
};

/// Which part of a node a session is, when several cores share the work. The first part is the one that asks for bulk
/// updates, answers for what concerns no state, and counts packets.
struct SessionPart {
  Partition* partition = nullptr;  ///< null: the whole node
  unsigned number = 0;
};

/// One pfsync node on one link: the receive semantics of all actions, and for each peer the queue of
/// changes to announce and the requester of bulk updates. What one peer says and what thereby changed here
/// is passed on to the others, never back: what changed nothing goes no further, so that it cannot go round.
/// Takes bytes and a time, gives bytes and a deadline; no
/// clock, socket, thread, allocation or exception inside. Thread-bound: the data-path core that owns
/// the table's shards. Counters and `bulk()` may be read from any thread.
/// Source: FreeBSD sys/netpfil/pf/if_pfsync.c; OpenBSD sys/net/if_pfsync.c for the merge rule.
class Session {
 public:
  /// Claims every shard of `table`, or those of its part; the table must outlive the session and have none of them
  /// claimed yet. `gate`: of the one peer, when `config.peers` is empty. At most peers_max peers.
  Session(const SessionConfig& config, statetable::Table& table, BulkGate* gate = nullptr, SessionPart part = {});

  [[nodiscard]] unsigned peers() const noexcept { return static_cast<unsigned>(peers_.size()); }

  /// Begins the session's life: asks every peer for a bulk update unless passive or told not to.
  void start(Instant now) noexcept;

  /// Packets as they follow the IP header, in the order of arrival, of any peers. A burst at a time is the fast way:
  /// table lines are prefetched across packets. Contract: every `peer` is below peers().
  void on_packets(std::span<const Arrival> packets, Instant now) noexcept;
  void on_packet(const Arrival& packet, Instant now) noexcept { on_packets({&packet, 1}, now); }
  /// As if all came from the first peer and one address.
  void on_packets(std::span<const wire::Bytes> packets, Instant now) noexcept;
  void on_packet(wire::Bytes packet, Instant now) noexcept { on_packets({&packet, 1}, now); }

  // --- the local data path: a firewall whose states these are --------------------------------------
  enum class Local : std::uint8_t { done, exists, unknown, full, invalid, collides, elsewhere };
  /// Whether a state of this id is this session's to hold; always, unless it is a part of several. What is not is
  /// answered with Local::elsewhere: a firewall of several cores gives its new states ids of the core that makes them.
  [[nodiscard]] bool owns(wire::StateId id) const noexcept { return is_mine(table_->hash(own(id))); }
  /// A new state, created here; `state.id.creatorid` 0 is replaced by the own. Ids are never reused.
  Local insert(const wire::State& state, Instant now) noexcept;
  /// The same for many, as with update.
  void insert(std::span<const wire::State> states, std::span<Local> results, Instant now) noexcept;
  /// A packet matched the state: new peers and timeout index, taken as they are.
  Local update(const wire::Update& update, Instant now) noexcept;
  /// The same for a burst of packets, which waits for memory only once in a while. results[i] tells of updates[i].
  /// Contract: both are of one size.
  void update(std::span<const wire::Update> updates, std::span<Local> results, Instant now) noexcept;
  Local erase(wire::StateId id, Instant now) noexcept;
  /// Removes all own states on an interface (empty: on all) and tells the peers by one CLR. Returns how many.
  std::size_t flush(wire::InterfaceName ifname, Instant now) noexcept;

  /// Right after the insert of a state whose first packet leaves this node: whether the packet waits until a peer knows
  /// the state, as ifconfig's `defer` has it. If so, take_released will name it, within config().defer.
  [[nodiscard]] bool defer(wire::StateId id, Instant now) noexcept;
  /// Packets that need not wait any more, in the order in which that came about. Returns how many were written.
  std::size_t take_released(std::span<Deferrals::Released> released, Instant now) noexcept;
  /// From an INS to its INS_ACK; any thread.
  [[nodiscard]] const Latency& insert_latency() const noexcept { return deferrals_.latency(); }

  // --- a former life -------------------------------------------------------------------------------
  /// What became of the states of a snapshot.
  struct Restored {
    std::uint64_t entered = 0;
    std::uint64_t expired = 0;  ///< their time ran out meanwhile
    std::uint64_t invalid = 0;  ///< what no peer might say either
    std::uint64_t refused = 0;  ///< another state has their id or their connection
    std::uint64_t beyond = 0;   ///< there was no place for them

    Restored& operator+=(const Restored& other) noexcept {
      entered += other.entered;
      expired += other.expired;
      invalid += other.invalid;
      refused += other.refused;
      beyond += other.beyond;
      return *this;
    }
  };
  /// Enters those of the states that are this session's, as they are `passed_s` after they were written down. They pass
  /// the same door as those of a peer and count as heard from one, but only until somebody tells more of them: they are
  /// not announced, end silently unless somebody does, and give way to whatever state comes with their connection.
  /// Before start(), on any one thread; a part of several is given all states as well.
  Restored restore(std::span<const KeptState> states, std::uint32_t passed_s, Instant now) noexcept;

  // --- other peers, timeouts and paces, while it runs ------------------------------------------------
  struct Change;
  struct ChangeDeleter {
    void operator()(Change* change) const noexcept;
  };
  using ChangePointer = std::unique_ptr<Change, ChangeDeleter>;
  /// What adopt() takes, made where memory may be taken. Of `config` these count: peers, maxupd, delay, request_bulk
  /// and timeouts. `before`: for each of its peers, as which of the present ones it goes on; none: it is new. At least
  /// one peer; none of the present ones twice. Any thread, but not while adopt() runs. Throws std::bad_alloc.
  [[nodiscard]] ChangePointer prepare(const SessionConfig& config,
                                      const std::vector<std::optional<std::size_t>>& before);
  /// Takes the change in one go. A peer that goes on keeps its queue and what is known of it; a new one is asked for
  /// everything, for which nobody stands back. What is to be destroyed is in `change` afterwards. No allocation; no
  /// other thread reads meanwhile. Contract: prepared for this session and not adopted yet.
  void adopt(Change& change, Instant now) noexcept;

  /// Whether a clear waits for its packet: all that other parts said before has to leave first.
  [[nodiscard]] bool has_clear(unsigned peer) const noexcept { return peers_[peer].outbox.has_clears(); }

  // --- what a comparison with another engine found ---------------------------------------------------
  /// Takes it as if the peer had said it, but for what only its packets tell: that it lives, which dialect it speaks,
  /// that its bulk update goes on. What came of it is left in the repair; one that is another part's is left alone.
  void repair(Repair& repair, unsigned from, Instant now) noexcept;

  /// Asks a peer for one state that is announced to it, to see whether it has the same. False: not ours, not announced,
  /// not spoken with, or too many are under way.
  [[nodiscard]] bool sample(wire::StateId id, unsigned peer, Instant now) noexcept;
  /// How many samples of a peer came to that. Any thread.
  [[nodiscard]] std::uint64_t samples(unsigned peer, SampleVerdict verdict) const noexcept {
    return peers_[peer].samples[static_cast<std::size_t>(verdict)].value();
  }

  // --- as a part of several ------------------------------------------------------------------------
  /// After packets or time: what other parts ask for. Returns how much there was to do.
  std::size_t serve_others(Instant now) noexcept;

  // --- time and output -----------------------------------------------------------------------------
  void on_timeout(Instant now) noexcept;
  /// When on_timeout or transmit should next be called.
  [[nodiscard]] Instant timeout(Instant now) const noexcept;
  /// Writes one pfsync packet (without IP header) for a peer if one is due; returns its bytes, 0 when there is
  /// nothing to say now. Contract: room.size() >= PacketWriter::smallest_room, the same for every call.
  [[nodiscard]] std::size_t transmit(unsigned peer, wire::Room room, Instant now) noexcept;
  [[nodiscard]] std::size_t transmit(wire::Room room, Instant now) noexcept { return transmit(0, room, now); }

  /// Whether it is we who speak with a shared peer. While it is not, changes are held for it for a moment and
  /// then forgotten; once it is, the peer is told what was held, since the node before may not have come to say it, and
  /// asked for everything that it said in between.
  void set_active(unsigned peer, bool active, Instant now) noexcept;

  /// Asks every peer for a bulk update again, whatever the state of the last; a passive session never asks.
  void request_bulk(Instant now) noexcept;
  /// The same of one peer. False when this node does not speak with it.
  bool request_bulk(unsigned peer, Instant now) noexcept;
  /// Asks a peer again that never answered. Nobody stands back for that before it does.
  void retry_bulk(unsigned peer, Instant now) noexcept;
  /// Whether anything was heard of that node, which is missed no longer until it is heard again.
  bool forget(const wire::Address& source, Instant now) noexcept;
  /// A peer of this node's own gives no sign of life since then; nullopt: it does. Who comes back is asked for
  /// everything that it said meanwhile: until that has ended this node is not caught up, but it stands back for nobody.
  void set_silent(unsigned peer, std::optional<Instant> since, Instant now) noexcept;
  /// Sends everything that is queued with the next transmits, without waiting for the delay.
  void push() noexcept {
    for (Peer& peer : peers_)
      if (peer.active.load(std::memory_order_relaxed)) peer.outbox.push();
  }

  /// The peer asked for everything since the last call. Requests merge; any thread may take them.
  [[nodiscard]] bool take_bulk_request(unsigned peer = 0) noexcept {
    return peers_[peer].bulk_asked.exchange(false, std::memory_order_acq_rel);
  }

  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }
  /// Entries that were looked at because of clears although they were not removed: the work that a clear can make for
  /// nothing, in some nanoseconds each. Any thread.
  [[nodiscard]] std::uint64_t looks_for_clears() const noexcept { return looks_for_clears_.value(); }
  [[nodiscard]] bool is_active(unsigned peer = 0) const noexcept {
    return peers_[peer].active.load(std::memory_order_relaxed);
  }
  /// Whether states are missing that a peer has been asked for at the start, or because the operator or the link said
  /// so.
  [[nodiscard]] bool is_catching_up() const noexcept;
  /// Whether a peer of this node's own has sent all that it had and still gives signs of life, and none is being asked
  /// again. Who knows us by a shared address is no such peer: it tells whoever is master, so its bulk update counts
  /// only for a session that has no other, and only while it is we who speak with it.
  [[nodiscard]] bool is_caught_up() const noexcept;
  /// Whether this node has peers of its own, and all are silent.
  [[nodiscard]] bool is_cut_off() const noexcept;
  /// Since when a peer has been silent; nullopt: it is not. Any thread.
  [[nodiscard]] std::optional<Instant> silent_since(unsigned peer = 0) const noexcept {
    const Instant since = peers_[peer].silent_since.load(std::memory_order_relaxed);
    return since == Instant{} ? std::nullopt : std::optional{since};
  }
  /// For the owner of the link in front of the session, same thread.
  [[nodiscard]] Counters& counters() noexcept { return counters_; }
  [[nodiscard]] const BulkRequester& bulk(unsigned peer = 0) const noexcept { return peers_[peer].bulk; }
  /// What is written to a peer, and how that came.
  [[nodiscard]] const PeerDialect& dialect(unsigned peer = 0) const noexcept { return peers_[peer].dialect; }
  /// When a peer's last packet came; nullopt: none has. Any thread.
  [[nodiscard]] std::optional<Instant> heard_at(unsigned peer = 0) const noexcept {
    const Instant at = peers_[peer].heard_at.load(std::memory_order_relaxed);
    return at == Instant{} ? std::nullopt : std::optional{at};
  }
  /// When the last packet to a peer was written; nullopt: none was. Any thread.
  [[nodiscard]] std::optional<Instant> sent_at(unsigned peer = 0) const noexcept {
    const Instant at = peers_[peer].sent_at.load(std::memory_order_relaxed);
    return at == Instant{} ? std::nullopt : std::optional{at};
  }
  /// A packet that another wrote was sent to the peer.
  void note_sent(unsigned peer, Instant now) noexcept { peers_[peer].sent_at.store(now, std::memory_order_relaxed); }
  /// What is counted of a peer alone, whether its nodes answer, and the interfaces of the states that it was given and
  /// asked for again. Any thread.
  [[nodiscard]] const PeerCounters& tallies(unsigned peer = 0) const noexcept { return peers_[peer].tallies; }
  [[nodiscard]] const PeerWatch& watch(unsigned peer = 0) const noexcept { return peers_[peer].watch; }
  [[nodiscard]] const UnmappedNames& refused_names(unsigned peer = 0) const noexcept {
    return peers_[peer].refused_names;
  }
  /// Changes that waited for a peer at the last turn. Any thread.
  [[nodiscard]] std::uint64_t queued_for(unsigned peer) const noexcept { return peers_[peer].queued.value(); }
  /// States that are not old enough to be announced. Any thread.
  [[nodiscard]] std::size_t delayed() const noexcept { return delayed_ ? delayed_->size() : 0; }
  /// Its map of interface names at work. Any thread may read what it has no row for.
  [[nodiscard]] const InterfaceTranslator& interfaces(unsigned peer = 0) const noexcept {
    return peers_[peer].interfaces;
  }
  /// The counters of IPsec SAs that peers told of. Any thread may read them.
  [[nodiscard]] const TdbTable& tdbs() const noexcept { return tdbs_; }
  [[nodiscard]] const SessionConfig& config() const noexcept { return config_; }
  /// Changes waiting to be announced, to each peer that we speak with.
  [[nodiscard]] std::size_t queued() const noexcept {
    std::size_t sum = 0;
    for (const Peer& peer : peers_)
      if (peer.active.load(std::memory_order_relaxed)) sum += peer.outbox.queued();
    return sum;
  }

 private:
  /// A message on its way from the packet to the table. Borrows the packet's bytes.
  struct Pending {
    wire::Message message;
    wire::Layout layout;
    wire::Bytes record;
    wire::StateId id;
    statetable::Search search;
    unsigned peer;
    std::uint8_t source;  ///< its place among the peer's, see sources_max
    bool is_read;         ///< its state stands in inserts_
    [[nodiscard]] bool names_a_state() const noexcept {
      return message != wire::Message::clr && message != wire::Message::bus && message != wire::Message::tdb;
    }
  };
  /// Messages that go from stage to stage together: index line fetched, entry fetched, applied. Three groups are
  /// under way, so that memory has some tens of messages' time for each fetch.
  static constexpr std::size_t group = 32;
  static constexpr std::size_t under_way_max = 4 * group;
  /// A peer's sources by their places in its dialect, and all those together that have none.
  static constexpr std::size_t sources_max = PeerDialect::sources_max + 1;
  static constexpr unsigned nobody = std::numeric_limits<unsigned>::max();  ///< no peer: the change was made here

  struct Peer {
    Peer(const PeerConfig& config, const SessionConfig& session, std::size_t slots, std::size_t tdb_places,
         Counters& counters);
    PeerDialect dialect;
    Outbox outbox;
    BulkRequester bulk;
    std::uint8_t number = 0;  ///< its own as long as it is here, whatever its place
    std::atomic<bool> bulk_asked{false};
    std::atomic<bool> active;        ///< a word alone: pairs with nothing
    bool is_shared;                  ///< with another node
    FairRate<sources_max> requests;  ///< for single states
    FairRate<sources_max> acks;
    FairParts<sources_max> answers;                ///< full states that its sources ask for
    std::atomic<Instant> heard_at{Instant{}};      ///< the last packet that could be read; Instant{}: none
    std::atomic<Instant> silent_since{Instant{}};  ///< Instant{}: it is not
    Counter queued;                                ///< in the outbox, as of the last turn
    bool is_taken_over = false;                    ///< the bulk update under way only fills the gap between two nodes
    bool is_asked_again = false;                   ///< after nobody had answered: it counts once somebody does
    InterfaceTranslator interfaces;
    PeerCounters tallies;
    PeerWatch watch;
    std::atomic<Instant> sent_at{Instant{}};  ///< the last packet; Instant{}: none
    UnmappedNames refused_names;              ///< interfaces of states that it was given and asked for again
    /// Which young states it asked for lately, by hash: one that it asks for again did not take what it was given.
    struct Asked {
      std::uint32_t tag = 0;
      Seconds at_s = 0;
    };
    std::array<Asked, 4096> asked_lately{};
    std::array<PlaceShares::Number, sources_max> numbers;  ///< of what its sources bring, once they have places
    std::array<Instant, sources_max> clears_paid_at{};  ///< of each source: when the work for its clears is made up for
    std::uint64_t told_at_probe = 0;                    ///< full states heard, when it was last to be asked for all
    std::array<Counter, sample_verdicts> samples;       ///< by SampleVerdict
  };

  void read(const Arrival& arrival, Instant now) noexcept;
  void gather(const wire::Section& section, unsigned peer, std::uint8_t source, Instant now) noexcept;
  void look_for_answers(const Arrival& arrival, Instant now) noexcept;
  void pass_over(wire::Message message, wire::Layout layout, wire::Bytes record, unsigned peer, Instant now) noexcept;
  void guess_until(std::size_t end) noexcept;
  /// Reads the state of a message into its place in inserts_, in our names.
  void read_insert(const Pending& pending) noexcept;
  void apply_until(std::size_t end, Instant now) noexcept;
  void apply_rest(Instant now) noexcept;
  void apply(const Pending& pending, Instant now) noexcept;
  /// Whether the state may come in beside those that have its connection: pf has one a connection, interface and
  /// direction. What gives way to it is removed.
  [[nodiscard]] bool makes_place(const statetable::HotState& hot, const statetable::Beside& beside, unsigned from,
                                 Instant now) noexcept;
  /// The same in the shards of other parts. What gives way to it there is asked to be removed.
  [[nodiscard]] bool makes_place_elsewhere(const statetable::HotState& hot, const statetable::Beside& beside,
                                           unsigned from) noexcept;
  /// Whether a state that has the newcomer's connection has to give way to it.
  [[nodiscard]] bool gives_way(const statetable::HotState& held, const statetable::HotState& hot,
                               unsigned from) const noexcept;
  /// Whether nobody has said anything of the state since it was restored.
  [[nodiscard]] bool is_only_restored(const statetable::HotState& hot) const noexcept {
    return restored_s_ != statetable::never_heard && hot.heard_s == restored_s_;
  }
  /// Of a snapshot's state, once it is valid and this session's.
  void restore(const KeptState& kept, statetable::Hash hash, const statetable::Beside& beside, std::uint32_t passed_s,
               Restored& restored, Instant now) noexcept;
  /// Enters a state that is not here, if there is place for it; the refusal is counted.
  [[nodiscard]] Local enter(const statetable::HotState& hot, const statetable::ColdState& cold, statetable::Hash hash,
                            const statetable::Beside& beside, unsigned from, Slot& slot, Instant now) noexcept;
  [[nodiscard]] bool take_place() noexcept;
  /// While the table is full: gives up a state of who has most for one of `number`. False: nobody has to, or none was
  /// found near.
  [[nodiscard]] bool give_room_to(PlaceShares::Number number, Instant now) noexcept;
  /// A source was heard that had no place in the peer's dialect.
  void number_source(Peer& peer, const wire::Address& source) noexcept;
  void give_place_back() noexcept;
  void tell_clear(const wire::Clear& clear, unsigned from, Instant now) noexcept;
  void tell_clears(Instant now) noexcept;
  /// The peers have other places.
  void renumber_clears(const std::vector<std::optional<std::size_t>>& before) noexcept;
  [[nodiscard]] bool is_held_back(unsigned peer) const noexcept {
    return partition_ != nullptr && partition_->told(peer) < clears_;
  }
  void on_insert(const Pending& pending, Instant now) noexcept;
  void on_update(const Pending& pending, Instant now) noexcept;
  /// Of a state that is held: takes what of the update is not stale, and tells who has to hear of it. False: all was.
  bool merge_update(Slot slot, const wire::Update& update, const Pending& pending, Instant now) noexcept;
  /// The same where it has to be fast: `writer` is the slot's.
  [[gnu::always_inline]] bool merge_into(statetable::ShardWriter& writer, Slot slot, const wire::Update& update,
                                         const Pending& pending, Instant now) noexcept;
  /// How long an answer to a request may take.
  [[nodiscard]] Duration sample_patience() const noexcept { return config_.delay + Samples::patience; }
  void judge_sample(const Pending& pending, const statetable::HotEntry& held, const wire::Update& update,
                    Instant now) noexcept;
  void time_samples(Instant now) noexcept;
  [[nodiscard]] bool is_own_and_gone(const wire::State& state, Seconds now_s) const noexcept;
  void on_request(const Pending& pending, Instant now) noexcept;
  /// A request for a young state tells that its insert was lost, the second that what it was given was refused.
  void note_request(Peer& peer, Slot slot, statetable::Hash hash, Seconds now_s) noexcept;
  void on_bulk_request(unsigned peer) noexcept;
  void on_delete(const Pending& pending, Instant now) noexcept;
  /// A peer's, or with `nobody` this node's own. Returns how many states it removed.
  std::size_t on_clear(const wire::Clear& clear, unsigned from, std::uint8_t source, Instant now) noexcept;
  /// Whether it may be carried out in one piece.
  [[nodiscard]] bool may_clear_at_once(const wire::Clear& clear, unsigned from, std::uint8_t source,
                                       Instant now) const noexcept;
  /// In one piece; counts the entries that it has to look at for nothing.
  std::size_t clear_at_once(const wire::Clear& clear, unsigned from, std::size_t& looks, Instant now) noexcept;
  /// The next step of those that are carried out little by little.
  void walk_for_clears(Instant now) noexcept;
  void on_tdb(const Pending& pending, Instant now) noexcept;
  /// All counters of IPsec SAs there are.
  void tell_tdbs(Peer& peer, Instant now) noexcept;
  void ask_for(const Pending& pending, Instant now) noexcept;
  /// Asks the peer for a single state.
  static void request(Peer& peer, wire::StateId id, Instant now) noexcept;
  /// Asks the peers for a sign of life.
  void probe(Instant now) noexcept;
  struct Lasting {
    PeerWatch::States states{};
    PlaceShares::Number from = PlaceShares::others;  ///< who brought the one of others
  };
  /// States that have lasted: the next of others', of whom is `wanted` if there is one, and of this node's; creatorid 0
  /// where none is near.
  [[nodiscard]] Lasting lasting_states(PlaceShares::Number wanted, Instant now) noexcept;
  [[nodiscard]] bool is_lasting(const statetable::HotEntry& entry, Seconds now_s) const noexcept;
  /// Whether they are still here, and lasting. Of creatorid 0: none, see PeerWatch.
  [[nodiscard]] bool are_lasting(const PeerWatch::States& states, Seconds now_s) noexcept;
  [[nodiscard]] bool may_ask_for_all(Peer& peer, Instant now) noexcept;
  /// Counts a packet that is about to leave; returns `bytes`.
  static std::size_t sent(Peer& peer, std::size_t bytes, Instant now) noexcept;
  [[nodiscard]] std::size_t write_probe(unsigned peer, wire::Room room, const PeerWatch::Question& question) noexcept;
  void acknowledge(const wire::State& state, const Pending& pending, Instant now) noexcept;
  /// A state that was not here came by a full update.
  void taken_by_update(const wire::State& state, const Pending& pending, Instant now) noexcept;
  /// Whether a message about an unknown state is only late: counted, and to be ignored.
  [[nodiscard]] bool was_removed(const Pending& pending, Instant now) noexcept;
  /// The same of a full state, or of what no more than its id is known of, by a clear of its creator's.
  [[nodiscard]] bool was_cleared(const wire::State& state, Instant now) noexcept {
    return count_late(recent_clears_.has_ended(state, statetable::to_seconds(now)));
  }
  [[nodiscard]] bool was_cleared(wire::StateId id, Instant now) noexcept {
    return count_late(recent_clears_.has_ended(id, statetable::to_seconds(now)));
  }
  bool count_late(bool is_late) noexcept {
    if (is_late) counters_[Tally::removed_before].add();
    return is_late;
  }
  Local update(const wire::Update& update, const statetable::Search& search, Instant now) noexcept;
  Local insert(const wire::State& state, const statetable::Search& search, const statetable::Beside& beside,
               Instant now) noexcept;
  [[nodiscard]] wire::StateId own(wire::StateId id) const noexcept {
    return id.creatorid == 0 ? wire::StateId{id.id, config_.creatorid} : id;
  }
  /// What makes_place needs; its memory is on its way to the cache.
  /// What there is for each slot of this part, where the table's memory is taken at start too.
  void reserve(auto& places) const noexcept {
    if (table_->config().reserve)
      places.take_memory(static_cast<Slot>(first_shard_ * slots_per_shard_), writers_.size() * slots_per_shard_);
  }
  [[nodiscard]] statetable::Beside begin_beside(const wire::State& state) const noexcept;
  /// Enters a state that a message carried and that is not here; returns whether it is in the table now.
  bool import(const wire::State& state, const statetable::Beside& beside, const Pending& pending, Instant now) noexcept;
  /// Whether who speaks it removes the states of one interface for a clear that names one. FreeBSD 12 to 14 remove
  /// those of all: they are told of each state instead. Source: sys/netpfil/pf/if_pfsync.c, pfsync_in_clr().
  [[nodiscard]] static constexpr bool clears_by_interface(wire::Dialect dialect) noexcept {
    return dialect == wire::Dialect::freebsd_1500 || dialect == wire::Dialect::openbsd;
  }
  /// Removes an entry; `announce`: to all peers but the one that said so.
  /// `only_old`: of them, those who would take a clear of one interface for one of all.
  void remove(statetable::ShardWriter& writer, Slot slot, wire::StateId id, bool announce, unsigned from, Instant now,
              bool only_old = false) noexcept;
  /// Removes an entry that gives way to a new one.
  void displace(statetable::ShardWriter& writer, Slot slot, Instant now) noexcept;
  void expire(Instant now) noexcept;
  /// Whether an update that says nothing new is passed on all the same: the packets of a UDP connection
  /// change nothing, yet it must not time out elsewhere. Once in a sixteenth of its timeout.
  [[nodiscard]] bool is_refresh_due(const statetable::HotEntry& before, Seconds now_s) const noexcept;
  /// What the rules say of a new state.
  struct HoldBack {
    bool skipped = false;
    std::optional<Seconds> due_s{};  ///< to be announced then
    [[nodiscard]] bool is_any() const noexcept { return skipped || due_s.has_value(); }
  };
  /// Gives a state that is held back the flag of pf's no-sync, which alone decides from then on, in bulk updates too.
  [[nodiscard]] HoldBack consult(statetable::HotState& hot, const wire::State& state, unsigned from,
                                 Seconds now_s) const noexcept;
  [[nodiscard]] HoldBack consult_rules(statetable::HotState& hot, const wire::State& state, unsigned from,
                                       Seconds now_s) const noexcept {
    return config_.sync_rules.empty() ? HoldBack{} : consult(hot, state, from, now_s);
  }
  /// Once it is in the table.
  void hold_back(const HoldBack& held_back, Slot slot, unsigned from) noexcept;
  void announce_delayed(Instant now) noexcept;
  /// Whether changes of the state go out: states of a no-sync rule and pfsync's own never do.
  [[nodiscard]] bool is_announced(std::uint16_t state_flags) const noexcept {
    return !config_.passive && (state_flags & wire::state_flag::nosync) == 0;
  }
  void release(wire::StateId id, statetable::Hash hash, Deferrals::Why why, Instant now) noexcept {
    if (!deferrals_.empty()) static_cast<void>(deferrals_.release(id, hash, why, now));
  }
  [[nodiscard]] Seconds expires_at(std::uint8_t timeout, Seconds now_s) const noexcept;

  template <class F>
  void for_all_but(unsigned from, F&& f) noexcept {
    for (unsigned i = 0; i < peers_.size(); ++i)
      if (i != from) f(peers_[i].outbox);
  }
  [[nodiscard]] bool is_first() const noexcept { return part_ == 0; }
  [[nodiscard]] bool is_mine(statetable::Hash hash) const noexcept {
    return table_->shard_of(hash) - first_shard_ < writers_.size();
  }
  [[nodiscard]] statetable::ShardWriter& writer_of(statetable::Hash hash) noexcept {
    return writers_[table_->shard_of(hash) - first_shard_];
  }
  [[nodiscard]] statetable::ShardWriter& writer_of(Slot slot) noexcept {
    return writers_[slot / slots_per_shard_ - first_shard_];
  }

  Counters counters_;
  SessionConfig config_;
  statetable::Table* table_;
  Partition* partition_;
  unsigned part_;
  std::size_t first_shard_;
  std::vector<statetable::ShardWriter> writers_;
  std::size_t slots_per_shard_;
  Placed<Peer> peers_;
  std::uint8_t next_number_ = 0;  ///< of a new peer
  Instant sweep_due_{};
  Slot probed_ = 0;  ///< where the search for the next states to ask for was, counted through places ever used
  std::array<Slot, 2> lasted_{statetable::no_slot, statetable::no_slot};  ///< where it met the last of others' and own
  std::array<Slot, PlaceShares::numbers> lasted_from_;                    ///< and of what each source brought
  std::optional<Seconds> started_s_;  ///< since when states of this node's own are entered here
  AskedStates asked_;
  RemovedStates removed_;
  RecentClears recent_clears_;
  PendingClears pending_clears_;
  Slot clears_walk_at_ = 0;  ///< counted from the part's first slot
  Instant clears_walk_due_{};
  Counter looks_for_clears_;
  Samples samples_;
  std::optional<DelayedStates> delayed_;  ///< where a rule delays
  TdbTable tdbs_;
  Deferrals deferrals_;
  std::array<Pending, under_way_max> under_way_{};  ///< a ring
  /// Of those in it that bring a state that is probably new, once they have been guessed.
  struct Insert {
    wire::State state;
    statetable::Beside beside;
  };
  std::array<Insert, under_way_max> inserts_;
  std::size_t entered_ = 0;
  std::size_t guessed_ = 0;
  std::size_t applied_ = 0;
  PlaceShares shares_;
  Slot room_at_ = 0;    ///< where the search for a state that makes room goes on, counted from the part's first slot
  std::size_t states_;  ///< in the table; with other parts, as it was a moment ago
  Seconds restored_s_ = statetable::never_heard;  ///< when restored states count as heard: before all that is heard
  std::uint64_t clears_ = 0;
  /// First part: clears that not all parts have carried out.
  struct UntoldClear {
    wire::Clear clear;
    unsigned from;
  };
  BoundedQueue<UntoldClear> untold_clears_{16};
  std::uint64_t removed_by_clears_ = 0;  ///< by all parts, when the last was told
};

}  // namespace pfsync::engine
