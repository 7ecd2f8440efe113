// A script of events on one session with a small table: packets from the wire, a local firewall, time,
// transmission, bulk updates. After each event the table and the counters must be what session_model.h
// makes of the same events, and every packet sent must be well formed, true and wanted.
#include <algorithm>
#include <array>
#include <deque>
#include <memory>

#include "engine/session/bulk_sender.h"
#include "tests/fuzz/mutate.h"
#include "tests/fuzz/session_model.h"
#include "tests/fuzz/session_script.h"

namespace pfsync::fuzz {
namespace {

using namespace std::chrono_literals;
using wire::Bytes;

constexpr std::size_t events_max = 200;

constexpr std::uint64_t hash_seed = 1;

/// What the first bytes of the script choose.
struct Setting {
  explicit Setting(SessionScript& script) {
    const std::uint8_t choice = script.byte();
    table = {.states_max = choice & 1 ? 6u : 24u, .shard_bits = choice & 2 ? 2u : 0u, .hash_seed = hash_seed};
    session.creatorid = own_creatorid;
    session.tdbs_max = 8;  // one set, as the model has
    session.passive = (choice & 12) == 12;
    session.request_bulk = choice & 16;
    session.expire = (choice & 0x60) != 0x60;
    session.maxupd = choice & 0x80 ? 2 : 128;
    const std::uint8_t more = script.byte();
    session.ids_queued_max = more & 1 ? 4 : 64;
    if (more & 2) session.timeouts.value[16] = 4, session.timeouts.value[17] = 12;  // adaptive.start and .end
    room = std::array<std::size_t, 4>{wire::PacketWriter::smallest_room, 700, 1480, 9000}[more / 4u % 4];
    session.requests_per_s = 0;  // the model knows no time between two requests
    session.removed_max = 8192;  // none of the few ids here is displaced
    states_per_s = more & 16 ? 1000 : 0;
    session.learn_dialect = more & 32;
  }
  statetable::TableConfig table;
  SessionConfig session;
  std::size_t room = 0;
  std::uint64_t states_per_s = 0;
};

class Run {
 public:
  explicit Run(SessionScript& script)
      : script_{script},
        setting_{script},
        table_{std::get<std::unique_ptr<statetable::Table>>(statetable::Table::create(setting_.table))},
        session_{setting_.session, *table_, &gate_},
        bulk_{{own_creatorid, setting_.session.dialect, setting_.states_per_s}, *table_, &gate_},
        model_{setting_.session, *table_},
        room_(setting_.room) {
    model_.start(now_);
    session_.start(now_);
    if (setting_.session.request_bulk) asked_for_bulk();
  }

  void play() {
    for (std::size_t events = 0; events < events_max && script_.more(); ++events) {
      event();
      model_.compare(*table_);
      model_.compare(session_.counters());
    }
    drain();
  }

 private:
  void event() {
    switch (script_.byte() % 14) {
      case 0:
      case 1:
      case 2: return deliver(1);
      case 3: return deliver(1 + script_.byte() % 4u);
      case 4: {
        const wire::State state = script_.state();
        return check(session_.insert(state, now_) == model_.insert(state, now_), "an insert says what became of it");
      }
      case 5: {
        const wire::Update update = script_.update();
        return check(session_.update(update, now_) == model_.update(update, now_), "an update says what became of it");
      }
      case 6: {
        const StateId id = script_.id();
        return check(session_.erase(id, now_) == model_.erase(id, now_), "an erase says what became of it");
      }
      case 7: {
        const wire::InterfaceName ifname{script_.one_of(std::array{"", "em0", "all", "em1"})};
        const std::size_t removed = session_.flush(ifname, now_);
        const wire::Dialect dialect = session_.dialect().in_use();
        const bool by_deletes = dialect == wire::Dialect::freebsd_1301 || dialect == wire::Dialect::freebsd_1400;
        if (!by_deletes || ifname.empty()) frames_before_clear_ = frames_written_;
        return check(removed == model_.clear({ifname, own_creatorid}, now_, by_deletes),
                     "a flush says how many it removed");
      }
      case 8: return pass_time();
      case 9: return transmit();
      case 10: session_.request_bulk(now_); return asked_for_bulk();
      case 11: return serve_bulk();
      case 12: return hand_over();
      default: return session_.push();
    }
  }

  void asked_for_bulk() {
    if (!setting_.session.passive) model_.on_timeout(now_);  // the session looks at all its timers then
  }

  // --- receiving -------------------------------------------------------------------------------------

  void deliver(std::size_t count) {
    std::vector<Packet> packets;
    for (std::size_t i = 0; i < count; ++i) packets.push_back(script_.packet());
    const std::vector<Bytes> views{packets.begin(), packets.end()};
    session_.on_packets(views, now_);
    for (const Packet& each : packets) model_.on_packet(each, now_);
  }

  // --- time ------------------------------------------------------------------------------------------

  void pass_time() {
    const std::uint8_t choice = script_.byte();
    constexpr std::array<engine::Duration, 4> units{10ms, 1s, 1min, 24h};
    now_ += units[choice / 64u] * (choice % 64);
    session_.on_timeout(now_);
    model_.on_timeout(now_);
    const Instant due = session_.timeout(now_);
    check(due == Instant::max() || due > now_ || session_.queued() > 0, "a session with nothing to do sleeps");
  }

  // --- sending ---------------------------------------------------------------------------------------

  void transmit() {
    const std::size_t before = session_.queued();
    const std::size_t bytes = session_.transmit(room_, now_);
    if (bytes == 0) {
      // Bulk frames on their way hold deletes back; nothing else that is due may stay.
      check(!in_flight_.empty() || session_.timeout(now_) > now_, "what is due leaves");
      return;
    }
    check(!setting_.session.passive, "a passive node is silent");
    check(session_.queued() < before, "a packet empties the queues by what it carries");
    for_each_message(bytes, [this](const wire::Action& action, Bytes record) { sent(action, record); });
  }

  template <class F>
  void for_each_message(std::size_t bytes, F&& f) {
    check(bytes <= room_.size(), "a packet fits its room");
    wire::PacketReader reader{Bytes{room_}.first(bytes)};
    wire::Section section;
    bool has_eof = false;
    while (reader.next(section)) {
      has_eof = section.action->message == Message::eof;
      check(section.count > 0, "no empty section is sent");
      check(section.records.size() <= 2048 || reader.header().version == wire::header_version_openbsd,
            "a FreeBSD receiver takes every section");
      for (std::size_t i = 0; i < section.count && !has_eof; ++i) f(*section.action, section.record(i));
    }
    check(!reader.reject(), "what we send is well formed");
    check(reader.header().len.host() == bytes, "the header tells the packet's length");
    check(has_eof == wire::info(session_.dialect().in_use()).has_eof, "EOF ends a packet");
  }

  void sent(const wire::Action& action, Bytes record) {
    StateId id{};
    if (action.message != Message::clr && action.message != Message::bus)
      id = wire::read_id(action.message, action.layout, record);
    switch (action.message) {
      case Message::ins: return sent_state(action, record, id);
      case Message::upd:
        check(model_.updates_asked.contains(id), "a full update is an answer");
        return sent_state(action, record, id);
      case Message::upd_c: return sent_state(action, record, id);
      case Message::del_c: {
        unsigned &owed = model_.deletes_owed[id], &spare = model_.deletes_spare[id];
        check(owed > 0 || (spare > 0 && bulk_started_), "only what was told and removed here is announced as deleted");
        --(owed > 0 ? owed : spare);
        for (const auto& frame : in_flight_)
          check(!frame.contains(id) || frame.at(id) > 0, "no delete overtakes a bulk frame with its state");
        return;
      }
      case Message::ins_ack: return check(++acks_sent_ <= model_.acks, "only inserts that ask are acknowledged");
      case Message::upd_req:
        ++requests_sent_;
        if (id == wire::bulk_request_id) ++bulk_requests_sent_;
        return check(bulk_requests_sent_ <= session_.counters()[Tally::bulk_requests_out].value(),
                     "everything is asked for only by those who decided to");
      case Message::clr:
        check(frames_written_ - in_flight_.size() >= frames_before_clear_,
              "no clear overtakes a bulk frame with its states");
        return check(wire::read_clear(record).creatorid == own_creatorid, "only own states are cleared");
      default: check(false, "no other message is sent unasked");
    }
  }

  void sent_state(const wire::Action& action, Bytes record, StateId id) {
    SessionModel::Held& held = checked_content(action, record, id);
    held.dirty = false;
    held.announced = true;
    if (action.message != Message::upd_c) model_.updates_asked.erase(id);
  }

  /// No time left would mean that the state was used now.
  [[nodiscard]] wire::State as_said(const SessionModel::Held& held) const {
    wire::State state = statetable::to_state(held.hot, held.cold, statetable::to_seconds(now_));
    if (state.expire_s == 0) state.expire_s = 1;
    return state;
  }

  SessionModel::Held& checked_content(const wire::Action& action, Bytes record, StateId id) {
    const auto found = model_.held.find(id);
    check(found != model_.held.end(), "only states that are held are told of");
    SessionModel::Held& held = found->second;
    check(held.synchronised, "a no-sync state is not told of");
    Packet expected(record.size());
    if (action.message == Message::upd_c)
      wire::write_update(session_.dialect().in_use(), {id, held.hot.src, held.hot.dst, held.hot.timeout}, expected);
    else
      wire::write_state(action.layout, as_said(held), expected);
    check(std::equal(expected.begin(), expected.end(), record.begin()), "a message tells the state as it is now");
    return held;
  }

  // --- bulk updates ----------------------------------------------------------------------------------

  void serve_bulk() {
    if (session_.take_bulk_request()) bulk_.start(now_);
    send_bulk();
  }

  void send_bulk() {
    const bool was_running = bulk_.running();
    for (Round& round : rounds_) forget_what_is_over(round);
    bulk_.speak(session_.dialect().in_use());
    const std::size_t bytes = bulk_.transmit(room_, now_);
    if (bytes == 0) return check(!was_running || bulk_.timeout() > now_, "a bulk update goes on until it ends");
    std::map<StateId, unsigned> frame;
    bool ends = false;
    for_each_message(bytes, [&](const wire::Action& action, Bytes record) {
      if (action.message == Message::bus) {
        const wire::BulkStatus status = wire::read_bulk_status(record);
        check(status.creatorid == own_creatorid, "a bulk update names who sends it");
        status.status == wire::BulkStatus::start ? begin_round() : end_round();
        ends = status.status == wire::BulkStatus::end;
        return;
      }
      check(!rounds_.empty() && action.message == Message::upd, "a bulk update is START and full states");
      const StateId id = wire::read_id(action.message, action.layout, record);
      checked_content(action, record, id).announced = true;
      frame[id] = model_.removals_of[id];
      for (Round& round : rounds_) round.owed.erase(id);
    });
    in_flight_.push_back(std::move(frame));
    ++frames_written_;
    if (bulk_.running()) return;
    check(ends, "a bulk update runs until END");
    while (!rounds_.empty()) end_round();
  }

  void begin_round() {
    bulk_started_ = true;
    // Who asks while a round waits behind the one under way joins it.
    Round& round = rounds_.size() < 2 ? rounds_.emplace_back() : rounds_.back();
    round.owed.clear();
    for (const auto& [id, state] : model_.held)
      if (state.synchronised) round.owed[id] = model_.removals_of[id];
    forget_what_is_over(round);
  }
  /// What waits out its grace is given to nobody.
  void forget_what_is_over(auto& round) const {
    std::erase_if(round.owed, [&](const auto& owed) {
      const auto found = model_.held.find(owed.first);
      return found != model_.held.end() && found->second.hot.expire_at_s <= statetable::to_seconds(now_);
    });
  }

  void end_round() {
    check(!rounds_.empty(), "START, then END");
    for (const auto& [id, removals] : rounds_.front().owed)
      check(model_.removals_of[id] > removals, "a bulk update holds every state that was there all the time");
    rounds_.pop_front();
  }

  void hand_over() {
    if (in_flight_.empty()) return;
    in_flight_.pop_front();
    gate_.frame_handed_over();
  }

  // --- the end ---------------------------------------------------------------------------------------

  /// Everything under way leaves; then nothing that happened here is untold.
  void drain() {
    while (bulk_.running()) {
      now_ = std::max(now_, bulk_.timeout());
      send_bulk();
    }
    while (!in_flight_.empty()) hand_over();
    now_ += 2s;  // another answer to a stale update may be owed for a second
    session_.on_timeout(now_);
    model_.on_timeout(now_);
    session_.push();
    for (std::size_t before = 0; (before = session_.queued()) > 0;) {
      transmit();
      check(session_.queued() < before, "what was pushed leaves");
    }
    const engine::Counters& counters = session_.counters();
    for (const auto& [id, state] : model_.held)
      check(!state.dirty || setting_.session.passive, "every change made here is announced");
    std::uint64_t owed = 0;
    for (const auto& [id, count] : model_.deletes_owed) owed += count;
    check(owed <= counters[Tally::deletes_dropped].value(), "every removal is announced, or counted");
    check(model_.updates_asked.empty(), "every request for a state is answered");
    check(acks_sent_ + counters[Tally::acks_dropped].value() + counters[Tally::acks_withheld].value() == model_.acks,
          "every ack is sent, or counted");
    check(requests_sent_ + counters[Tally::requests_dropped].value() + counters[Tally::requests_suppressed].value() +
                  counters[Tally::requests_withheld].value() ==
              model_.asked + counters[Tally::bulk_requests_out].value(),
          "every request is sent, or counted");
    model_.compare(*table_);
    model_.compare(counters);
  }

  SessionScript& script_;
  Setting setting_;
  Instant now_ = Instant{} + 1000s;
  std::unique_ptr<statetable::Table> table_;
  engine::BulkGate gate_;
  Session session_;
  engine::BulkSender bulk_;
  SessionModel model_;
  Packet room_;
  std::uint64_t frames_written_ = 0, frames_before_clear_ = 0;
  std::deque<std::map<StateId, unsigned>> in_flight_;  ///< bulk frames not handed over; removals of each id by then
  /// From a START to the END that answers it.
  struct Round {
    std::map<StateId, unsigned> owed;  ///< what was held then; removals of each id by then
  };
  std::deque<Round> rounds_;
  bool bulk_started_ = false;
  std::uint64_t acks_sent_ = 0, requests_sent_ = 0, bulk_requests_sent_ = 0;
};

/// The events of a script, one a piece: what is drawn for one depends on nothing but the script.
class Splitter {
 public:
  explicit Splitter(const Input& input) : input_{input}, script_{input.data(), input.size()} {}
  std::vector<Input> events() {
    std::vector<Input> events;
    skip(2);  // the setting
    end_piece(events);
    while (script_.more()) {
      event();
      end_piece(events);
    }
    return events;
  }

 private:
  void skip(std::size_t bytes) {
    while (bytes-- > 0) static_cast<void>(script_.byte());
  }
  void end_piece(std::vector<Input>& events) {
    const auto at = static_cast<std::ptrdiff_t>(begun_),
               end = static_cast<std::ptrdiff_t>(input_.size() - script_.left());
    events.emplace_back(input_.begin() + at, input_.begin() + end);
    begun_ = static_cast<std::size_t>(end);
  }
  void event() {
    switch (script_.byte() % 14) {
      case 0:
      case 1:
      case 2: static_cast<void>(script_.packet()); return;
      case 3:
        for (unsigned packets = 1 + script_.byte() % 4u; packets > 0; --packets) static_cast<void>(script_.packet());
        return;
      case 4: static_cast<void>(script_.state()); return;
      case 5: static_cast<void>(script_.update()); return;
      case 6:
      case 7:
      case 8: return skip(1);
      default: return;
    }
  }

  const Input& input_;
  SessionScript script_;
  std::size_t begun_ = 0;
};

}  // namespace
}  // namespace pfsync::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  pfsync::fuzz::play<pfsync::fuzz::Run>(data, size);
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  using namespace pfsync;
  return fuzz::mutated_pieces(data, size, max_size, seed,
                              [](const fuzz::Input& input) { return fuzz::Splitter{input}.events(); });
}
