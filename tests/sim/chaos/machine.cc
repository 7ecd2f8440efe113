#include "tests/sim/chaos/machine.h"

#include <algorithm>
#include <array>

#include "engine/snapshot/restore.h"
#include "wire/ethernet.h"
#include "wire/icmp.h"
#include "wire/packet_reader.h"

namespace pfsync::sim::chaos {

using namespace std::chrono_literals;
using engine::BulkPhase;
using engine::carp::Sync;

namespace {

constexpr std::size_t frame_bytes_max = 1600;
constexpr std::size_t frames_per_turn = 64, bulk_frames_per_turn = 4;
constexpr Duration absence = 3s, silence = 1s;  // engine/dpdk/data_path.h, host_stack.cc
constexpr Duration disk_step = 2ms;
constexpr std::uint64_t bulk_states_per_s = 5'000;

std::size_t states_max(const Scenario& scenario) {
  return std::max<std::size_t>(160, std::size_t{scenario.states} * Scenario::firewalls * 3);
}

}  // namespace

engine::Timeouts short_timeouts() {
  using namespace engine::pftm;
  engine::Timeouts timeouts;
  auto& value = timeouts.value;
  value[tcp_first_packet] = value[tcp_opening] = 20;
  value[tcp_established] = 40;
  value[tcp_closing] = 15;
  value[tcp_fin_wait] = value[tcp_closed] = 10;
  value[udp_first_packet] = value[udp_single] = 12;
  value[udp_multiple] = 20;
  value[icmp_first_packet] = 15;
  value[icmp_error_reply] = 5;
  value[other_first_packet] = value[other_single] = value[other_multiple] = 20;
  value[adaptive_start] = value[adaptive_end] = 0;
  value[sctp_first_packet] = value[sctp_opening] = 20;
  value[sctp_established] = 40;
  value[sctp_closing] = value[sctp_closed] = 15;
  return timeouts;
}

wire::MacAddress Machine::mac_of(unsigned number) { return {{2, 0, 0, 0, 0, static_cast<std::uint8_t>(number + 1)}}; }
wire::Address Machine::address_of(unsigned number, wire::Family family) {
  const auto host = static_cast<std::uint8_t>(number + 1);
  if (family == wire::Family::inet) return wire::ipv4_address(192, 0, 2, host);
  return {{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host}};
}
wire::Address Machine::shared_address(wire::Family family) {
  constexpr unsigned host = 100;
  return address_of(host - 1, family);
}

Machine::Machine(const Scenario& scenario, unsigned number, Marks& marks)
    : scenario_{scenario}, number_{number}, marks_{marks}, random_{scenario.seed * 64 + number} {
  constexpr double ppm_max = 200;
  rate_ = 1 + (static_cast<double>(random_() % 2001) / 1000 - 1) * ppm_max / 1e6;
  dialect_ = scenario.dialects[is_engine() ? 0 : number];
}

// --- power ---------------------------------------------------------------------------------------------

std::vector<unsigned> Machine::peers() const {
  std::vector<unsigned> peers;
  if (scenario_.shape == Shape::pair)
    return {is_engine() ? number_ - Scenario::firewalls : number_ + Scenario::firewalls};
  if (scenario_.shape == Shape::group || !is_engine()) return peers;
  for (unsigned firewall = 0; firewall < Scenario::firewalls; ++firewall) peers.push_back(firewall);
  // Engines in a row: hubs must form a tree.
  if (number_ > Scenario::firewalls) peers.push_back(number_ - 1);
  if (number_ + 1 < scenario_.nodes()) peers.push_back(number_ + 1);
  return peers;
}

engine::SessionConfig Machine::session_config(std::vector<Lane>& lanes) const {
  engine::SessionConfig config;
  config.creatorid = creatorid();
  config.ids_queued_max = scenario_.ids;
  config.maxupd = maxupd_;
  config.requests_per_s = requests_per_s;
  config.timeouts = short_timeouts();
  config.expire = sabotage_ != 1;
  if (is_engine()) config.probe_every = 2s;
  if (!is_engine() && scenario_.seed % 2 == 1) config.defer = 50ms;
  const std::vector<unsigned> all = peers();
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    const bool is_firewall = i < all.size() && all[i] < Scenario::firewalls;
    const auto named = is_firewall ? named_[all[i]] : std::nullopt;
    config.peers.push_back({.dialect = named.value_or(is_firewall ? scenario_.dialects[all[i]] : dialect_),
                            .learn_dialect = is_engine() && !named,
                            .gate = lanes[i].gate.get(),
                            .is_shared = is_firewall && scenario_.shape == Shape::hub});
  }
  return config;
}

engine::LinkConfig Machine::link_config() const {
  const wire::Family family = scenario_.family;
  engine::LinkConfig config{.mac = mac_of(number_), .family = family, .address = address_of(number_, family)};
  config.destination = family == wire::Family::inet ? wire::pfsync_group_inet : wire::pfsync_group_inet6;
  if (scenario_.shape == Shape::group) return config;
  if (!is_engine()) config.destination = shared_address(family);
  for (const unsigned peer : peers()) {
    const bool is_shared = peer < Scenario::firewalls && scenario_.shape == Shape::hub;
    config.peers.push_back({.address = address_of(peer, family),
                            .source = is_shared ? std::optional{shared_address(family)} : std::nullopt});
  }
  return config;
}

void Machine::power_on(Instant now, std::int64_t wall_s) {
  ++lives_;
  inbox_.clear();
  life_ = std::make_unique<Life>();
  Life& life = *life_;
  const unsigned cores = is_engine() ? scenario_.cores : 1;
  auto made = statetable::Table::create(
      {.states_max = states_max(scenario_), .shard_bits = cores, .hash_seed = random_(), .by_connection = true});
  life.table = std::move(std::get<0>(made));
  life.lanes.resize(std::max<std::size_t>(peers().size(), 1));
  const engine::SessionConfig config = session_config(life.lanes);
  for (std::size_t i = 0; i < life.lanes.size(); ++i)
    life.lanes[i].sender = std::make_unique<engine::BulkSender>(
        engine::BulkSenderConfig{
            .creatorid = creatorid(), .dialect = config.peers[i].dialect, .states_per_s = bulk_states_per_s},
        *life.table, life.lanes[i].gate.get());
  life.node = std::make_unique<engine::PartitionedSession>(config, *life.table, cores);
  life.link = std::make_unique<engine::Link>(link_config(), session().counters());
  const bool is_inet = scenario_.family == wire::Family::inet;
  engine::carp::NodeConfig carp{
      .name = "sim",
      .mac = mac_of(number_),
      .inet = is_inet ? address_of(number_, scenario_.family) : wire::Address{},
      .inet6 = is_inet ? wire::link_local_address(mac_of(number_)) : address_of(number_, scenario_.family),
      .hosts = {},
      .seed = random_()};
  if (is_engine())
    carp.hosts.push_back({.vhid = vhid,
                          .advbase = 1,
                          .advskew = static_cast<std::uint8_t>(50 * (number_ - Scenario::firewalls)),
                          .password = "simulated",
                          .addresses = {{scenario_.family, shared_address(scenario_.family)}}});
  life.carp = std::make_unique<engine::carp::Node>(carp, life.demotion, life.journal);
  life.link->take_also(life.carp.get());
  if (!is_engine())
    life.load = std::make_unique<engine::SyntheticFirewall>(
        engine::SyntheticConfig{.states = scenario_.states,
                                .fill_per_s = 200,
                                .new_per_s = scenario_.opens_per_s,
                                .updates_per_s = scenario_.updates_per_s,
                                .seed = random_(),
                                .first_id = (std::uint64_t{lives_} << 32u) + 1});
  life.turned_at = life.passed_at = now;
  life.snapshot_due = now + std::chrono::seconds{scenario_.snapshot_s};
  if (is_engine()) restore(now, wall_s);
  if (is_engine() && !link_up_) marks_.meet("node: started without a link");
  turn_link(now);
}

/// A firewall does not ask for what it missed without a carrier.
void Machine::turn_link(Instant now) {
  Life& life = *life_;
  const bool up = link_up_ || !is_engine();
  if (std::exchange(life.has_link, up) == up) return;
  life.carp->set_link(up, now);
  if (!up) return;
  if (std::exchange(life.has_started, true)) {
    marks_.meet("node: its link came up again");
    session().request_bulk(now);
  } else {
    session().start(now);
  }
}

void Machine::restore(Instant now, std::int64_t wall_s) {
  const bool clock_jumped = std::exchange(clock_jumped_, false);
  if (!disk_.snapshot()) {
    marks_.meet("snapshot: none there");
    return;
  }
  engine::snapshot::MemorySource source{*disk_.snapshot()};
  const auto made = engine::snapshot::restore(source, *life_->node, wall_s, now);
  const auto* restored = std::get_if<engine::snapshot::Restoration>(&made);
  if (restored == nullptr) {
    marks_.meet("snapshot: torn, refused");
    disk_.remove_snapshot();  // set aside
    return;
  }
  marks_.meet("snapshot: restored");
  if (restored->clock_went_back_s > 0) marks_.meet("snapshot: of a clock ahead");
  if (restored->states.expired > 0) marks_.meet("snapshot: states had expired", restored->states.expired);
  if (restored->states.beyond + restored->states.refused > 0)
    marks_.meet("snapshot: states beyond what fits or refused", restored->states.beyond + restored->states.refused);
  clock_lied_ = clock_jumped || restored->clock_went_back_s > 0;
  if (ears_.restored) ears_.restored(disk_.snapshot_number());
}

void Machine::count_life() {
  engine::Counters sums;
  life_->node->add_counters(sums);
  marks_.add(sums);
  for (const Lane& lane : life_->lanes) {
    if (lane.sender->bulks_served() > 0) marks_.meet("bulk: served", lane.sender->bulks_served());
    if (lane.sender->requests_merged() > 0) marks_.meet("bulk: a request joined", lane.sender->requests_merged());
  }
}

void Machine::power_off() {
  if (!is_on()) return;
  if (life_->writing) marks_.meet("snapshot: given up by a crash");
  count_life();
  life_.reset();
  inbox_.clear();
}

void Machine::say_farewell(Instant now, std::int64_t wall_s) {
  if (!is_engine()) return;
  life_->carp->leave(now);
  transmit(now);
  watch(now);
  if (life_->writing) marks_.meet("snapshot: given up by a crash");
  life_->writing.reset();
  life_->snapshot_due = now;
  for (int step = 0; step < 100 && life_->snapshot_due <= now; ++step) {
    write_snapshot(now, wall_s);
    if (life_->writing) life_->writing->due = now;
  }
}

// --- a turn --------------------------------------------------------------------------------------------

void Machine::receive(Frame frame) {
  const auto ethernet = wire::read_ethernet(frame);
  if (!ethernet) return;
  const bool is_for_us = (ethernet->destination.bytes[0] & 1u) != 0 || ethernet->destination == mac_of(number_) ||
                         (is_engine() && ethernet->destination == wire::carp_mac(vhid));
  if (!is_for_us) return;
  if (inbox_.size() < inbox_max)
    inbox_.push_back(std::move(frame));
  else
    marks_.meet("node: queue full while frozen");
}

bool Machine::takes(wire::Bytes packet) const {
  if (is_engine()) return true;
  wire::PacketReader reader{packet};
  wire::Section section;
  while (reader.next(section))
    if (!wire::takes(dialect_, *section.action)) return false;
  return reader.reject() || reader.header().version == wire::info(dialect_).header_version;
}

void Machine::receive_all(Instant now) {
  for (; !inbox_.empty(); inbox_.pop_front()) {
    const Frame& frame = inbox_.front();
    const auto packet = life_->link->on_frame(frame);
    if (!packet) {
      // Also of a firewall, which has no virtual address, but answers neighbour discovery there.
      if (sabotage_ != 2) life_->carp->on_frame(frame, now);
      continue;
    }
    if (sabotage_ == 0) continue;
    if (!takes(packet->packet)) {
      marks_.meet("node: refused as a kernel does");
      continue;
    }
    if (ears_.before) ears_.before(packet->packet);
    life_->node->on_packets({&*packet, 1}, now);
    for (unsigned core = life_->node->parts(); core-- > 1;)
      while (life_->node->has_to_take(core)) static_cast<void>(life_->node->turn(core, now));
    if (ears_.after) ears_.after(packet->packet);
  }
}

Sync Machine::sync() {
  if (life_->node->is_catching_up()) return Sync::under_way;
  return life_->has_link && !session().is_cut_off() && session().is_caught_up() ? Sync::complete : Sync::missing;
}

void Machine::turn(Instant now, std::int64_t wall_s) {
  Life& life = *life_;
  if (now - std::exchange(life.turned_at, now) >= absence) {
    session().request_bulk(now);
    life.demotion.follow(sync(), now);
  }
  turn_link(now);
  receive_all(now);
  if (is_engine()) {
    life.demotion.follow(sync(), now);
    turn_carp(now);
  }
  turn_peers(now);
  for (unsigned core = 0; core < life.node->parts(); ++core) static_cast<void>(life.node->turn(core, now));
  if (life.load && loads_) life.load->run(session(), now);
  if (life.load && !loads_) {
    std::array<engine::Deferrals::Released, 16> released;
    while (session().take_released(released, now) == released.size()) {
    }
  }
  transmit(now);
  serve_bulk(now);
  watch(now);
  if (is_engine()) write_snapshot(now, wall_s);
}

void Machine::turn_carp(Instant now) {
  Life& life = *life_;
  if (now - std::exchange(life.passed_at, now) > silence) life.carp->on_absence(now);
  if (const auto due = life.carp->timeout(); due && *due <= now) life.carp->on_timeout(now);
}

void Machine::turn_peers(Instant now) {
  for (unsigned i = 0; i < session().peers(); ++i) {
    Lane& lane = life_->lanes[i];
    const bool active = life_->link->may_speak(i);
    const auto silent = life_->link->silent_since(i, now);
    session().set_silent(i, silent, now);
    if (std::exchange(lane.is_silent, silent.has_value()) != silent.has_value())
      marks_.meet(silent ? "peer: silent" : "peer: heard again");
    if (active != session().is_active(i)) {
      session().set_active(i, active, now);
      marks_.meet(active ? "hub: a peer is spoken with" : "hub: a peer is another's to speak with");
    }
    for (unsigned core = 1; core < life_->node->parts(); ++core)
      if (active != life_->node->part(core).is_active(i)) life_->node->part(core).set_active(i, active, now);
    if (active) continue;
    lane.has_gap = lane.has_gap || !lane.packets.empty();
    if (!lane.packets.empty()) marks_.meet("bulk: broken off since another speaks");
    for (; !lane.packets.empty(); lane.packets.pop_front()) lane.gate->frame_handed_over();
  }
}

void Machine::transmit(Instant now) {
  Life& life = *life_;
  Frame room(frame_bytes_max);
  while (life.carp->has_to_send()) {
    const std::size_t bytes = life.carp->transmit(room, now);
    if (bytes == 0) break;
    send_(wire::Bytes{room}.first(bytes));
  }
  if (const std::size_t bytes = life.link->transmit_resolution(room, now); bytes > 0)
    send_(wire::Bytes{room}.first(bytes));
  for (unsigned i = 0; i < session().peers(); ++i) {
    if (!life.link->can_send(i)) continue;
    Lane& lane = life.lanes[i];
    if (session().has_clear(i) && !lane.packets.empty()) marks_.meet("bulk: a clear waits for frames");
    // The first core last: what the others said before a clear goes before it.
    std::size_t frames = 0;
    for (unsigned core = life.node->parts(); core-- > 0;)
      while (frames < frames_per_turn) {
        const wire::Room packet_room = life.link->packet_room(room, session().dialect(i).in_use());
        const std::size_t bytes = life.node->part(core).transmit(i, packet_room, now);
        if (bytes == 0) break;
        ++frames;
        send_(wire::Bytes{room}.first(life.link->finish(room, bytes, i)));
      }
    for (std::size_t sent = 0; sent < bulk_frames_per_turn && !lane.packets.empty(); ++sent) {
      const auto& packet = lane.packets.front();
      const wire::Room packet_room = life.link->packet_room(room, session().dialect(i).in_use());
      std::copy(packet.begin(), packet.end(), packet_room.begin());
      send_(wire::Bytes{room}.first(life.link->finish(room, packet.size(), i)));
      lane.packets.pop_front();
      lane.gate->frame_handed_over();
      session().note_sent(i, now);
    }
  }
}

void Machine::serve_bulk(Instant now) {
  Frame room(frame_bytes_max);
  for (unsigned i = 0; i < session().peers(); ++i) {
    Lane& lane = life_->lanes[i];
    const bool asked = session().take_bulk_request(i);
    lane.sender->speak(session().dialect(i).in_use());
    const bool has_gap = std::exchange(lane.has_gap, false) && lane.sender->running();
    if (!session().is_active(i))
      lane.sender->cancel();
    else if (asked || has_gap)
      lane.sender->start(now);
    while (lane.sender->running() && lane.packets.size() < frames_ahead) {
      const wire::Room packet_room = life_->link->packet_room(room, session().dialect(i).in_use());
      const std::size_t bytes = lane.sender->transmit(packet_room, now);
      if (bytes == 0) break;
      lane.packets.emplace_back(packet_room.begin(), packet_room.begin() + static_cast<std::ptrdiff_t>(bytes));
    }
    if (lane.retry.is_due(session().bulk(i).phase(), session().heard_at(i), now)) {
      session().retry_bulk(i, now);
      marks_.meet("bulk: asked after it had failed");
    }
  }
}

/// What an operator would see happen.
void Machine::watch(Instant) {
  for (unsigned i = 0; i < session().peers(); ++i) {
    const engine::BulkRequester& bulk = session().bulk(i);
    const BulkPhase before = std::exchange(life_->lanes[i].phase, bulk.phase());
    if (before == bulk.phase()) continue;
    if (bulk.phase() == BulkPhase::asked) marks_.meet(bulk.tries() > 1 ? "bulk: asked again" : "bulk: asked");
    if (bulk.phase() == BulkPhase::done) marks_.meet("bulk: done");
    if (bulk.phase() == BulkPhase::failed) marks_.meet("bulk: failed");
  }
  using engine::carp::Entry;
  while (const auto entry = life_->journal.pop()) {
    switch (entry->kind) {
      case Entry::Kind::moved: {
        using engine::carp::Event;
        const bool ordered = entry->event == Event::ordered_up || entry->event == Event::ordered_down;
        marks_.meet("carp: " + std::string{ordered ? "user requested" : engine::carp::reason(entry->event)});
        if (entry->event == Event::leaving) marks_.meet("carp: a farewell");
        break;
      }
      case Entry::Kind::demoted:
        if (entry->on && entry->cause == engine::carp::Cause::bulk_update)
          marks_.meet("carp: demoted by a bulk update");
        if (entry->on && entry->cause == engine::carp::Cause::maintenance) marks_.meet("carp: demoted by the operator");
        break;
      case Entry::Kind::mistake: marks_.meet("carp: a mistake of another was named"); break;
      case Entry::Kind::sync:
        if (!entry->on) marks_.meet("carp: out of sync, so it does not preempt");
        break;
    }
  }
}

// --- its disk ------------------------------------------------------------------------------------------

void Machine::write_snapshot(Instant now, std::int64_t wall_s) {
  Life& life = *life_;
  if (!life.writing && now < life.snapshot_due) return;
  if (!life.writing) {
    const engine::snapshot::Header header{.written_at_s = wall_s,
                                          .states = life.table->size(),
                                          .states_max = life.table->config().states_max,
                                          .creatorid = creatorid()};
    life.writing = std::make_unique<Writing>(header, *life.table, now);
    life.writing->number = ++snapshots_;
    if (ears_.begun) ears_.begun(snapshots_);
  }
  Writing& writing = *life.writing;
  if (now < writing.due) return;
  writing.due = now + disk_step * static_cast<Duration::rep>(disk_.slow);
  const std::int64_t now_s = statetable::to_seconds(now);
  bool failed = disk_.is_full;
  const bool replaces = writing.is_finished;
  disk_.step();
  if (!failed && replaces) {
    disk_.replace_snapshot(std::move(writing.sink.bytes), writing.number, now_s);
    marks_.meet("snapshot: written");
  } else if (!failed) {
    if (!std::exchange(writing.has_begun, true))
      failed = !writing.writer.begin();
    else if (!writing.walk.at_end())
      failed = !writing.walk.step();
    else
      writing.is_finished = !(failed = !writing.writer.finish());
  }
  if (failed) marks_.meet("snapshot: failed, the disk is full");
  if (!failed && !replaces) return;
  life.writing.reset();
  life.snapshot_due = now + std::chrono::seconds{scenario_.snapshot_s};
}

// --- orders --------------------------------------------------------------------------------------------

void Machine::adopt(unsigned maxupd, Instant now) {
  maxupd_ = maxupd;
  if (!is_on()) return;
  adopt_config(now);
  marks_.meet("config: a change adopted by a session");
}

void Machine::adopt_config(Instant now) {
  engine::SessionConfig config = session_config(life_->lanes);
  std::vector<std::optional<std::size_t>> before;
  for (std::size_t i = 0; i < life_->lanes.size(); ++i) before.emplace_back(i);
  for (unsigned core = 0; core < life_->node->parts(); ++core) {
    engine::Session& part = life_->node->part(core);
    const auto change = part.prepare(config, before);
    part.adopt(*change, now);
  }
}

void Machine::name_dialect(unsigned firewall, wire::Dialect dialect, Instant now) {
  named_[firewall] = dialect;
  marks_.meet("peer: its dialect named by the operator");
  if (is_on()) adopt_config(now);
}

bool Machine::is_not_understood_by(const Machine& firewall) {
  const std::vector<unsigned> all = peers();
  const auto found = std::ranges::find(all, firewall.number());
  if (!is_on() || found == all.end()) return false;
  const auto peer = static_cast<unsigned>(found - all.begin());
  const auto version = [](wire::Dialect dialect) { return wire::info(dialect).header_version; };
  return version(session().dialect(peer).in_use()) != version(firewall.dialect()) &&
         (!session().is_active(peer) || session().watch(peer).view().unanswered > 0);
}

void Machine::touch_all(const std::function<bool(wire::StateId)>& is_alive, Instant now) {
  std::vector<wire::Update> updates;
  const auto reader = life_->table->reader();
  statetable::TableReader::Cursor cursor;
  while (const auto entry = reader.next(cursor)) {
    if (entry->hot.id.creatorid != creatorid() || !is_alive(entry->hot.id)) continue;
    wire::Update update{entry->hot.id, entry->hot.src, entry->hot.dst, entry->hot.timeout};
    if (entry->hot.proto == wire::ipproto::tcp) {
      ++update.src.seqlo;
      ++update.src.seqhi;
    }
    updates.push_back(update);
  }
  for (const wire::Update& update : updates) static_cast<void>(session().update(update, now));
}

bool Machine::serves_bulk() const {
  return std::ranges::any_of(life_->lanes,
                             [](const Lane& lane) { return lane.sender->running() || !lane.packets.empty(); });
}

std::uint64_t Machine::bulks_served() const {
  std::uint64_t sum = 0;
  for (const Lane& lane : life_->lanes) sum += lane.sender->bulks_served();
  return sum;
}

bool Machine::has_queued() {
  for (unsigned core = 0; core < node().parts(); ++core)
    if (node().part(core).queued() > 0) return true;
  return false;
}

std::optional<wire::State> Machine::held(wire::StateId id, Instant now) {
  const auto entry = life_->table->reader().find(id);
  if (!entry) return std::nullopt;
  return statetable::to_state(entry->hot, entry->cold, statetable::to_seconds(now));
}

}  // namespace pfsync::sim::chaos
