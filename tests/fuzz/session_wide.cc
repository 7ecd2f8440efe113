// A script of events on a node as it may be set up in earnest: several peers, groups of sources among them, parts,
// rates, rules, maps, signs of life, a full table, former states, other peers while it runs. No model tells what must
// come of it; what must never be stands in session_properties.h and here.
#include <algorithm>
#include <array>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "engine/session/bulk_sender.h"
#include "tests/fuzz/mutate.h"
#include "tests/fuzz/session_properties.h"
#include "tests/fuzz/session_wide_script.h"

namespace pfsync::fuzz {
namespace {

using namespace std::chrono_literals;
using engine::Arrival;
using engine::Command;
using engine::PeerConfig;
using engine::PeerTally;
using engine::SessionConfig;
using engine::SyncRule;
using wire::Bytes;

constexpr std::size_t events_max = 150;
constexpr std::size_t packet_bytes_max = 2048;
constexpr std::size_t released_at_once = 64;

/// One of the node's peers, and who serves its bulk updates.
struct Peer {
  Peer(const PeerConfig& wanted, const Setting& setting, const statetable::Table& table)
      : config{wanted}, bulk{{own_creatorid, wanted.dialect, setting.bulk_per_s, wanted.interfaces}, table, &gate} {}
  PeerConfig config;
  engine::BulkGate gate;
  engine::BulkSender bulk;
  std::deque<std::map<StateId, unsigned>> in_flight;  ///< frames not handed over: removals of each id by then
  std::uint64_t frames_written = 0, frames_before_clear = 0;
  std::vector<StateId> asked;  ///< the last requests
};

class Run {
 public:
  explicit Run(SessionScript& script)
      : script_{script},
        setting_{script},
        table_{std::get<std::unique_ptr<statetable::Table>>(statetable::Table::create(setting_.table))},
        node_{config(), *table_, setting_.parts, packet_bytes_max},
        properties_{node_, *table_},
        room_(setting_.room) {
    const Session::Restored restored = node_.restore(setting_.kept, setting_.passed_s, now_);
    check(restored.entered + restored.expired + restored.invalid + restored.refused + restored.beyond ==
              setting_.kept.size(),
          "every former state is entered, or counted");
    node_.first().start(now_);
    turn_all();  // which starts the others
    properties_.check_all(now_);
  }

  void play() {
    for (std::size_t events = 0; events < events_max && script_.more(); ++events) {
      happen(Event{script_});
      take_released();
      properties_.check_all(now_);
    }
    end();
  }

 private:
  using Kind = Event::Kind;

  /// Takes the peers' gates into the configuration.
  const SessionConfig& config() {
    for (PeerConfig& peer : setting_.session.peers) {
      peers_.push_back(std::make_unique<Peer>(peer, setting_, *table_));
      peer.gate = &peers_.back()->gate;
    }
    return setting_.session;
  }

  void happen(const Event& event) {
    switch (event.kind) {
      case Kind::packet:
      case Kind::packets: return deliver(event.packets, event.origins);
      case Kind::many_states: return bring_many(event);
      case Kind::answer: return answer(event);
      case Kind::insert: return insert(event);
      case Kind::update: {
        Session& session = owner_of(event.update.id);
        static_cast<void>(session.update(event.update, now_));
        return;
      }
      case Kind::erase: {
        static_cast<void>(owner_of(event.id).erase(event.id, now_));
        return check(!properties_.find(event.id), "what was erased is gone");
      }
      case Kind::command: return carry_out(event);
      case Kind::time: return pass_time(event.choice);
      case Kind::turn: turn_others(); return;
      case Kind::transmit:
        static_cast<void>(transmit(event.choice / 3u % node_.parts(), peer_at(event.choice)));
        return;
      case Kind::bulk: return serve_bulk(peer_at(event.choice));
      case Kind::hand_over: return hand_over(*peers_[peer_at(event.choice)]);
      case Kind::active: return set_active(event.choice);
      case Kind::ask: return ask(event.choice);
      case Kind::change: return change(event);
      case Kind::settle: settle(); return;
    }
  }

  [[nodiscard]] unsigned peer_at(std::uint8_t choice) const { return choice % node_.first().peers(); }
  /// Of the parts that whose state it is.
  [[nodiscard]] Session& owner_of(StateId id) {
    for (unsigned part = 0; part < node_.parts(); ++part)
      if (node_.part(part).owns(id)) return node_.part(part);
    check(false, "every state is some part's");
    return node_.first();
  }

  // --- receiving -------------------------------------------------------------------------------------

  /// A peer has four nodes, and others in their names.
  [[nodiscard]] static wire::Address address_of(const Event::Origin& origin) {
    if (origin.source < 128) return {{10, 0, origin.peer, static_cast<std::uint8_t>(origin.source % 4u)}};
    return {{10, 9, origin.peer, origin.source}};
  }

  void deliver(const std::vector<Packet>& packets, const std::vector<Event::Origin>& origins) {
    std::vector<Arrival> arrivals;
    for (std::size_t i = 0; i < packets.size(); ++i) {
      Event::Origin origin = origins[std::min(i, origins.size() - 1)];
      origin.peer = static_cast<std::uint8_t>(peer_at(origin.peer));
      arrivals.push_back({.packet = packets[i], .source = address_of(origin), .peer = origin.peer});
    }
    node_.on_packets(arrivals, now_);
  }

  /// States in a row, so that one source can fill the table, of one creator or each of its own.
  void bring_many(const Event& event) {
    std::vector<wire::State> states;
    for (unsigned i = 0; i <= event.count % 80u; ++i) {
      wire::State state = event.state;
      state.id.id = 100u + event.choice + i;
      if ((event.choice & 0x20) != 0) state.id.creatorid += 80u * event.choice + i;
      for (wire::Key& key : state.key) key.port[1] = static_cast<std::uint16_t>(1000 + state.id.id);
      states.push_back(state);
    }
    send(states, event, (event.count & 0x80) != 0 ? Message::upd : Message::ins);
  }

  /// Full states in as many packets as they need.
  void send(const std::vector<wire::State>& states, const Event& event, Message message) {
    std::vector<Packet> packets;
    for (std::span<const wire::State> left{states}; !left.empty();) {
      Packet packet(1480);
      wire::PacketWriter writer{wire::dialect_table[event.choice % 4u].dialect, packet};
      left = left.subspan(writer.append_states(message, left));
      packet.resize(writer.finish());
      packets.push_back(Packet{packet.begin(), packet.end()});
    }
    deliver(packets, event.origins);
  }

  /// A node of a peer gives what that peer was asked for: as it is here, or as the script has it.
  void answer(const Event& event) {
    Peer& peer = *peers_[peer_at(event.origins.front().peer)];
    std::vector<wire::State> states;
    for (const StateId id : std::exchange(peer.asked, {})) {
      if (id == wire::bulk_request_id) {
        Packet packet(1480);
        wire::PacketWriter writer{wire::dialect_table[event.choice % 4u].dialect, packet};
        const auto status = (event.choice & 4) != 0 ? wire::BulkStatus::end : wire::BulkStatus::start;
        check(writer.append_bulk_status({0x22222222, event.count, status}), "a status has room");
        packet.resize(writer.finish());
        deliver({packet}, event.origins);
        continue;
      }
      const auto held = properties_.find(id);
      wire::State state = event.state;
      if (held && (event.choice & 8) == 0)
        state = statetable::to_state(held->hot, held->cold, statetable::to_seconds(now_));
      state.id = id;
      states.push_back(state);
    }
    send(states, event, Message::upd);
  }

  // --- the local data path ---------------------------------------------------------------------------

  void insert(const Event& event) {
    StateId id = event.state.id;
    if (id.creatorid == 0) id.creatorid = own_creatorid;
    Session& session = owner_of(id);
    const bool was_held = properties_.find(id).has_value();
    const Session::Local result = session.insert(event.state, now_);
    check((result == Session::Local::done || result == Session::Local::exists) == properties_.find(id).has_value() ||
              (was_held && result == Session::Local::invalid),
          "what was inserted is held");
    if (result != Session::Local::done || (event.choice & 1) == 0 || !session.defer(id, now_)) return;
    ++waiting_[id];
    deferred_at_ = now_;
  }

  void take_released() {
    std::array<engine::Deferrals::Released, released_at_once> released;
    for (unsigned part = 0; part < node_.parts(); ++part) {
      const std::size_t count = node_.part(part).take_released(released, now_);
      for (std::size_t i = 0; i < count; ++i) {
        unsigned& waits = waiting_[released[i].id];
        check(waits > 0, "only a packet that waits is let go, and once");
        --waits;
      }
    }
    if (now_ < deferred_at_ + setting_.session.defer) return;
    for (const auto& [id, waits] : waiting_) check(waits == 0, "no packet waits longer than it may");
    waiting_.clear();
  }

  // --- what an operator and the link do --------------------------------------------------------------

  void carry_out(const Event& event) {
    Command command;
    engine::Repair repair{
        .kind = (event.choice & 0x80) != 0 ? engine::Repair::Kind::ended : engine::Repair::Kind::state,
        .state = event.state};
    engine::Repairs repairs{peer_at(event.choice), {&repair, 1}};
    constexpr std::array kinds{Command::Kind::push,   Command::Kind::flush,  Command::Kind::kill,
                               Command::Kind::repair, Command::Kind::sample, Command::Kind::forget};
    command.kind = kinds[event.choice / 3u % kinds.size()];
    command.peer = peer_at(event.choice);
    command.id = event.id;
    command.ifname = (event.choice & 0x40) != 0 ? name("em0") : wire::InterfaceName{};
    command.node = address_of({static_cast<std::uint8_t>(command.peer), event.choice});
    command.repairs = &repairs;
    const engine::CommandResult result = carry_out(command);
    switch (command.kind) {
      case Command::Kind::kill: return check(!properties_.find(event.id), "what was killed is gone");
      case Command::Kind::flush:
        properties_.for_each_state([&](const Snapshot& state) {
          const bool is_meant = command.ifname.empty() || state.cold.ifname == command.ifname;
          check(state.hot.id.creatorid != own_creatorid || !is_meant, "what was flushed is gone");
        });
        if (command.ifname.empty())
          for (const auto& peer : peers_) peer->frames_before_clear = peer->frames_written;
        return;
      case Command::Kind::repair:
        return check(repair.outcome != engine::Repair::Outcome::none && result.done, "a repair has an outcome");
      default: return;
    }
  }

  engine::CommandResult carry_out(const Command& command) {
    check(node_.begin(command, now_), "a part that takes its turns is not far behind");
    for (unsigned turns = 0; !node_.ended(); ++turns) {
      check(turns < 100, "every part carries out a command in some turns");
      turn_others();
    }
    return *node_.ended();
  }

  void set_active(std::uint8_t choice) {
    const unsigned number = peer_at(choice);
    Peer& peer = *peers_[number];
    const bool on = (choice & 0x80) != 0;
    if (!peer.config.is_shared) {
      node_.first().set_silent(number, on ? std::optional{now_} : std::nullopt, now_);
      return check(node_.first().silent_since(number).has_value() == on, "a peer is silent as the link says");
    }
    node_.first().set_active(number, on, now_);
    if (on) return;
    peer.bulk.cancel();  // what was written for it is thrown away
    while (!peer.in_flight.empty()) hand_over(peer);
  }

  void ask(std::uint8_t choice) {
    const unsigned number = peer_at(choice);
    if ((choice & 0x80) != 0) return node_.first().retry_bulk(number, now_);
    if ((choice & 0x40) != 0) return node_.first().request_bulk(now_);
    check(node_.first().request_bulk(number, now_) == (node_.first().is_active(number) && !setting_.session.passive),
          "a peer is asked unless it is spoken with by another");
  }

  /// Peers go on in another order, or are new; another pace; other timeouts.
  void change(const Event& event) {
    SessionConfig next = node_.first().config();
    next.peers.clear();
    std::vector<std::optional<std::size_t>> before;
    std::vector<std::unique_ptr<Peer>> peers(event.peers_next.size());
    std::vector<bool> stays(peers_.size());
    for (std::size_t i = 0; i < event.peers_next.size(); ++i) {
      const std::size_t place = event.before[i] % (peers_.size() + 1);
      const bool is_new = place == peers_.size() || stays[place];
      before.push_back(is_new ? std::nullopt : std::optional{place});
      if (is_new)
        peers[i] = std::make_unique<Peer>(event.peers_next[i], setting_, *table_);
      else
        stays[place] = true;
      next.peers.push_back(event.peers_next[i]);
      // A peer that goes on speaks with whom it spoke.
      if (!is_new) next.peers.back().is_shared = peers_[place]->config.is_shared;
      next.peers.back().gate = is_new ? &peers[i]->gate : &peers_[place]->gate;
    }
    if ((event.choice & 0x10) != 0) next.delay = 200ms;
    if ((event.choice & 0x20) != 0) next.maxupd = 4;
    if ((event.choice & 0x40) != 0) next.timeouts.value[engine::pftm::tcp_established] = 100;
    if ((event.choice & 0x80) != 0) next.request_bulk = !next.request_bulk;
    std::vector<Session::ChangePointer> changes;
    for (unsigned part = 0; part < node_.parts(); ++part) changes.push_back(node_.part(part).prepare(next, before));
    static_cast<void>(carry_out(Command{.kind = Command::Kind::change}));
    for (unsigned part = 0; part < node_.parts(); ++part) node_.part(part).adopt(*changes[part], now_);
    node_.go_on();
    for (std::size_t i = 0; i < before.size(); ++i) {
      if (before[i]) peers[i] = std::move(peers_[*before[i]]);
      peers[i]->config = next.peers[i];
      peers[i]->bulk.set(setting_.bulk_per_s, next.peers[i].interfaces);
    }
    peers_ = std::move(peers);
    properties_.peers_changed();
    properties_.timeouts_changed();
    check(node_.first().peers() == peers_.size(), "the peers are those that were wanted");
  }

  // --- time ------------------------------------------------------------------------------------------

  std::size_t turn(unsigned part) {
    const std::size_t done = node_.turn(part, now_);
    for (unsigned peer = 0; peer < peers_.size(); ++peer)
      check(!node_.first().dialect(peer).is_fixed() ||
                node_.first().dialect(peer).in_use() == peers_[peer]->config.dialect,
            "a dialect that is fixed is spoken");
    return done;
  }
  std::size_t turn_others() {
    std::size_t done = 0;
    for (unsigned part = 1; part < node_.parts(); ++part) done += turn(part);
    return done;
  }
  void turn_all() {
    for (unsigned turns = 0; turn(0) + turn_others() > 0; ++turns) check(turns < 100, "turns come to an end");
  }

  void pass_time(std::uint8_t choice) {
    constexpr std::array<engine::Duration, 4> units{10ms, 1s, 1min, 24h};
    const engine::Duration step = units[choice / 64u] * (choice % 64);
    now_ += step;
    turn_all();
    if (setting_.session.expire && step >= 100ms) properties_.check_expired(now_);
  }

  /// All that is due leaves; then nobody is to be woken before some time has passed.
  void settle() {
    for (unsigned round = 0; round < 8; ++round) {
      turn_all();
      for (const auto& peer : peers_)
        while (!peer->in_flight.empty()) hand_over(*peer);
      for (unsigned part = 0; part < node_.parts(); ++part)
        for (unsigned peer = 0; peer < peers_.size(); ++peer) transmit_all(part, peer);
    }
    for (unsigned part = 0; part < node_.parts(); ++part) {
      const Session& session = node_.part(part);
      check(session.timeout(now_) > now_, "who has done all that is due may rest");
    }
    properties_.check_settled();
  }

  void transmit_all(unsigned part, unsigned peer) {
    Session& session = node_.part(part);
    std::size_t most = session.queued() + session.peers() * properties_.states() + 1;
    // Nothing leaves, but something is used up: states that the dialect has no words for.
    for (std::size_t before = session.queued(); transmit(part, peer) > 0 || session.queued() < before;
         before = session.queued()) {
      check(most > 0, "what there is to say comes to an end");
      --most;
    }
  }

  // --- sending ---------------------------------------------------------------------------------------

  std::size_t transmit(unsigned part, unsigned number) {
    Session& session = node_.part(part);
    const std::uint64_t probes = session.tallies(number)[PeerTally::probes_sent].value();
    const std::size_t bytes = session.transmit(number, room_, now_);
    if (bytes == 0) return 0;
    check(!setting_.session.passive, "a passive node is silent");
    check(session.is_active(number), "who is spoken with by another is told nothing");
    const bool is_probe = session.tallies(number)[PeerTally::probes_sent].value() > probes;
    const wire::Dialect dialect = session.dialect(number).in_use();
    for_each_message(bytes, dialect, [&](const wire::Action& action, Bytes record) {
      sent(number, session.interfaces(number).map(), dialect, action, record, is_probe);
    });
    return bytes;
  }

  template <class F>
  void for_each_message(std::size_t bytes, wire::Dialect dialect, F&& f) {
    check(bytes <= room_.size(), "a packet fits its room");
    wire::PacketReader reader{Bytes{room_}.first(bytes)};
    wire::Section section;
    std::size_t messages = 0;
    while (reader.next(section)) {
      check(wire::writes(dialect, *section.action), "a packet has the messages of its dialect");
      const std::size_t limit = wire::info(dialect).section_bytes_max;
      check(limit == 0 || section.records.size() <= limit, "no section is longer than its receiver takes");
      if (section.action->message == Message::eof) continue;
      messages += section.count;
      for (std::size_t i = 0; i < section.count; ++i) f(*section.action, section.record(i));
    }
    check(!reader.reject() && reader.skipped() == 0, "what is sent can be read");
    check(reader.header().version == wire::info(dialect).header_version, "a packet has the version of its dialect");
    check(messages > 0, "no packet is empty");
  }

  void sent(unsigned number, const engine::InterfaceMap& interfaces, wire::Dialect dialect, const wire::Action& action,
            Bytes record, bool is_probe) {
    Peer& peer = *peers_[number];
    StateId id{};
    if (action.message != Message::clr && action.message != Message::tdb && action.message != Message::bus)
      id = wire::read_id(action.message, action.layout, record);
    switch (action.message) {
      case Message::ins:
      case Message::upd:
        return properties_.check_full_state(action, record, interfaces, dialect, statetable::to_seconds(now_));
      case Message::upd_c: return properties_.check_update(dialect, record);
      case Message::del_c:
        check(id.creatorid != 0, "a delete names a state");
        for (const auto& frame : peer.in_flight) {
          const auto found = frame.find(id);
          check(found == frame.end() || found->second > 0, "no delete overtakes a bulk frame with its state");
        }
        return;
      case Message::ins_ack: return check(id.creatorid != 0, "an ack names a state, or fills a probe");
      case Message::upd_req:
        if (id == wire::bulk_request_id)
          check(++bulk_requests_sent_ <= properties_.count(Tally::bulk_requests_out) + probes_sent_max(is_probe),
                "everything is asked for only by those who decided to");
        else
          check(id.creatorid != 0, "a request names a state");
        if (peer.asked.size() < 8) peer.asked.push_back(id);
        return;
      case Message::clr:
        if (const wire::Clear clear = wire::read_clear(record);
            clear.creatorid == own_creatorid && clear.ifname.empty())
          check(peer.frames_written - peer.in_flight.size() >= peer.frames_before_clear ||
                    properties_.count(Tally::clears_dropped) > 0,
                "no clear overtakes a bulk frame with its states");
        return;
      case Message::tdb: return;
      default: check(false, "no other message is sent unasked");
    }
  }
  std::uint64_t probes_sent_max(bool is_probe) { return probes_sent_ += is_probe; }

  // --- bulk updates ----------------------------------------------------------------------------------

  void serve_bulk(unsigned number) {
    Peer& peer = *peers_[number];
    Session& session = node_.first();
    if (session.take_bulk_request(number)) {
      check(!setting_.session.passive, "a passive node serves nobody");
      peer.bulk.start(now_);
    }
    if (session.is_active(number)) send_bulk(number);
  }

  void send_bulk(unsigned number) {
    Peer& peer = *peers_[number];
    const wire::Dialect dialect = node_.first().dialect(number).in_use();
    const bool was_running = peer.bulk.running();
    peer.bulk.speak(dialect);
    const std::size_t bytes = peer.bulk.transmit(room_, now_);
    if (bytes == 0) return check(!was_running || peer.bulk.timeout() > now_, "a bulk update goes on until it ends");
    std::map<StateId, unsigned> frame;
    const Seconds now_s = statetable::to_seconds(now_);
    bool ends = false;
    for_each_message(bytes, dialect, [&](const wire::Action& action, Bytes record) {
      if (action.message == Message::bus) {
        const wire::BulkStatus status = wire::read_bulk_status(record);
        check(status.creatorid == own_creatorid, "a bulk update names who sends it");
        ends = status.status == wire::BulkStatus::end;
        return;
      }
      check(action.message == Message::upd, "a bulk update is START, full states and END");
      const StateId id = wire::read_id(action.message, action.layout, record);
      properties_.check_full_state(action, record, peer.bulk.interfaces().map(), dialect, now_s);
      check(properties_.find(id)->hot.expire_at_s > now_s, "what waits out its grace is given to nobody");
      frame[id] = properties_.removals_of(id);
    });
    check(peer.bulk.running() || ends, "a bulk update runs until END");
    peer.in_flight.push_back(std::move(frame));
    ++peer.frames_written;
  }

  static void hand_over(Peer& peer) {
    if (peer.in_flight.empty()) return;
    peer.in_flight.pop_front();
    peer.gate.frame_handed_over();
  }

  // --- the end ---------------------------------------------------------------------------------------

  /// Every bulk update under way ends, all that is queued leaves, and nothing is left to be told.
  void end() {
    for (unsigned number = 0; number < peers_.size(); ++number) {
      engine::BulkSender& bulk = peers_[number]->bulk;
      for (unsigned frames = 0; bulk.running(); ++frames) {
        check(frames < 4 * (properties_.states() + 4), "a bulk update ends");
        now_ = std::max(now_, bulk.timeout());
        send_bulk(number);
      }
    }
    settle();
    for (unsigned second = 0; second < 3; ++second) {
      now_ += 1s;
      turn_all();
      static_cast<void>(carry_out(Command{.kind = Command::Kind::push}));
      settle();
    }
    properties_.check_all(now_);
    for (unsigned part = 0; part < node_.parts(); ++part)
      check(node_.part(part).queued() == 0 || setting_.session.passive, "what was pushed has left");
  }

  SessionScript& script_;
  Setting setting_;
  Instant now_ = Instant{} + 1000s;
  std::unique_ptr<statetable::Table> table_;
  std::vector<std::unique_ptr<Peer>> peers_;
  PartitionedSession node_;
  SessionProperties properties_;
  Packet room_;
  std::map<StateId, unsigned> waiting_;  ///< first packets that wait
  Instant deferred_at_{};                ///< the last of them
  std::uint64_t bulk_requests_sent_ = 0, probes_sent_ = 0;
};

/// The setting, then the events of a script, one a piece.
std::vector<Input> pieces_of(const Input& input) {
  SessionScript script{input.data(), input.size()};
  std::vector<Input> pieces;
  std::size_t begun = 0;
  const auto end_piece = [&] {
    const std::size_t end = input.size() - script.left();
    pieces.emplace_back(input.begin() + static_cast<std::ptrdiff_t>(begun),
                        input.begin() + static_cast<std::ptrdiff_t>(end));
    begun = end;
  };
  static_cast<void>(Setting{script});
  for (end_piece(); script.more(); end_piece()) static_cast<void>(Event{script});
  return pieces;
}

}  // namespace
}  // namespace pfsync::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  pfsync::fuzz::play<pfsync::fuzz::Run>(data, size);
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  using namespace pfsync;
  return fuzz::mutated_pieces(data, size, max_size, seed, fuzz::pieces_of);
}
