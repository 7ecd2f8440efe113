#include "tests/sim/chaos/world.h"

#include <algorithm>
#include <deque>
#include <optional>

#include "statetable/hash.h"
#include "tests/sim/chaos/config_pair.h"
#include "tests/sim/chaos/liar.h"
#include "tests/sim/chaos/machine.h"
#include "tests/sim/chaos/masters.h"
#include "tests/sim/chaos/network.h"
#include "tests/sim/chaos/referee.h"

namespace pfsync::sim::chaos {

using namespace std::chrono_literals;

namespace {

constexpr Duration tick = 5ms, look_every = 100ms, rates_every = 1s, touch_every = 4s;
/// Longer than an Ethernet address that somebody lied about is believed, and then than any state lasts.
constexpr Duration peace = 130s, quiet = 4s;
/// When an operator has seen who is silent: states have to last some seconds until they are asked for as a sign of
/// life.
constexpr Duration operator_after = 30s;
/// What is queued leaves within the session's delay, and a state that ends may be queued at any time; an answer to who
/// asks for all is under way for a moment, or waits for the second after the one before.
constexpr Duration queued_most = engine::SessionConfig{}.delay + 100ms,
                   serving_most = 2 * engine::BulkSender::start_every;
constexpr std::int64_t wall_at_start_s = 1'700'000'000;
constexpr unsigned first_maxupd = 128;

class World {
 public:
  explicit World(const Scenario& scenario);
  Verdict run();

 private:
  struct Active {
    Event event;
    Duration ends;
  };
  /// A node's disk loses its power in the midst of a step, at the latest here.
  void guarded(unsigned node, const std::function<void()>& work);

  void step(bool is_peace);
  void deliver(const Network::Delivery& delivery);
  void turn(unsigned node);
  void lie();
  void sync_configurations();
  void begin(const Event& event);
  void end(const Event& event);
  void read_edit();
  void recompute();
  void make_peace();
  void name_dialects();
  void watch_quiet();
  void judge_peace();

  void power_on(unsigned node);
  void power_off(unsigned node);
  [[nodiscard]] bool is_kept_off(unsigned node) const;
  [[nodiscard]] bool runs(unsigned node) const { return machines_[node].is_on() && !frozen_[node]; }
  [[nodiscard]] bool is_active(Fault fault) const {
    return std::ranges::any_of(active_, [fault](const Active& active) { return active.event.fault == fault; });
  }
  [[nodiscard]] Instant local(unsigned node) const { return machines_[node].local(now_); }
  [[nodiscard]] std::int64_t wall_s(unsigned node) const { return wall_at_start_s + now_ / 1s + wall_offsets_[node]; }
  [[nodiscard]] bool reaches(unsigned from, unsigned to) const;
  [[nodiscard]] ConfigHalf* half_of(unsigned node) {
    const unsigned place = node - Scenario::firewalls;
    return node < Scenario::firewalls || place >= halves_.size() || scenario_.engines < 2 ? nullptr : &halves_[place];
  }

  const Scenario scenario_;
  Marks marks_;
  Duration now_ = 1h;
  const Duration start_ = now_;
  Network network_;
  std::deque<Machine> machines_;
  std::vector<bool> frozen_, has_link_;
  bool edit_waits_ = false;  ///< of a primary that stands still, to be read afterwards
  std::vector<Duration> frozen_at_;
  std::vector<std::int64_t> wall_offsets_;
  std::deque<ConfigHalf> halves_;
  std::optional<ConfigCalls> calls_;
  unsigned file_maxupd_ = first_maxupd;
  std::optional<Liar> liar_;
  std::mt19937_64 random_;
  Referee referee_;
  Masters masters_;
  std::vector<Active> active_;
  std::size_t begun_ = 0;
  Duration looked_at_{}, rated_at_{}, touched_at_{};
  /// Of a node in the quiet: when it last had nothing queued; when it last served no bulk update or ended one.
  struct Rest {
    Duration unqueued{}, served{};
    std::uint64_t bulks = 0;
  };
  std::vector<Rest> rests_;
  bool may_ask_for_all_ = false;  ///< an engine's table was empty in the quiet
  std::uint64_t trace_ = 0;
};

std::deque<Machine> make_machines(const Scenario& scenario, Marks& marks) {
  std::deque<Machine> machines;
  for (unsigned node = 0; node < scenario.nodes(); ++node) machines.emplace_back(scenario, node, marks);
  return machines;
}

World::World(const Scenario& scenario)
    : scenario_{scenario},
      network_{scenario.nodes() + 1, scenario.seed, marks_},
      machines_{make_machines(scenario_, marks_)},
      frozen_(scenario.nodes()),
      has_link_(scenario.nodes(), true),
      frozen_at_(scenario.nodes()),
      wall_offsets_(scenario.nodes()),
      random_{scenario.seed + 1},
      referee_{scenario_, machines_, [this](unsigned node) { return runs(node); }, marks_},
      masters_{machines_, network_, [this](unsigned node) { return runs(node) && has_link_[node]; }, marks_},
      rests_(scenario.nodes()) {
  marks_.meet("shape: " + std::string{shape_words[static_cast<std::size_t>(scenario_.shape)]});
  if (scenario_.family == wire::Family::inet6) marks_.meet("net: of IPv6");
  std::vector<Liar::Victim> victims;
  for (Machine& machine : machines_) {
    const unsigned node = machine.number();
    victims.push_back({Machine::mac_of(node), Machine::address_of(node, scenario_.family)});
    machine.send_by([this, node](wire::Bytes frame) { network_.send(node, frame, now_); });
    machine.hear_with({.before = [this, node](wire::Bytes packet) { referee_.before(node, packet, now_); },
                       .after = [this, node](wire::Bytes packet) { referee_.after(node, packet, now_); },
                       .begun = [this, node](std::uint64_t snapshot) { referee_.snapshot_begun(node, snapshot); },
                       .restored = [this, node](std::uint64_t snapshot) { referee_.restored(node, snapshot); }});
  }
  if (scenario_.shape == Shape::hub)
    victims.push_back({wire::carp_mac(Machine::vhid), Machine::shared_address(scenario_.family)});
  liar_.emplace(std::move(victims), scenario_.family, scenario_.shape == Shape::group, scenario.seed + 2);
  network_.on_garbled([this](wire::Bytes was, wire::Bytes is) {
    referee_.excuse(was, now_);
    referee_.excuse(is, now_);
    masters_.disturb_all();
  });
  for (unsigned place = 0; place < 2 && scenario_.engines >= 2; ++place) {
    const unsigned node = Scenario::firewalls + place;
    halves_.emplace_back(
        place == 0, machines_[node].disk(),
        [this, node](unsigned maxupd) { machines_[node].adopt(maxupd, local(node)); }, marks_);
  }
  if (!halves_.empty())
    calls_.emplace(
        halves_[0], halves_[1],
        [this](bool to_secondary) {
          constexpr unsigned primary = Scenario::firewalls, secondary = primary + 1;
          const bool back = reaches(secondary, primary);
          return to_secondary ? back && reaches(primary, secondary) : back;
        },
        marks_);
  for (unsigned node = 0; node < scenario_.nodes(); ++node) power_on(node);
}

bool World::reaches(unsigned from, unsigned to) const {
  const Path& path = network_.path(from, to);
  return runs(from) && runs(to) && !path.cut && (path.burst == Duration::zero() || now_ / path.burst % 2 != 0);
}

// --- power ---------------------------------------------------------------------------------------------

void World::guarded(unsigned node, const std::function<void()>& work) {
  try {
    work();
  } catch (const PowerLoss&) {
    marks_.meet("node: crashed in a write");
    const auto cause = std::ranges::find_if(active_, [node](const Active& active) {
      return active.event.fault == Fault::crash_in_write && active.event.a == node;
    });
    power_off(node);
    constexpr Duration least = 1s;
    const Duration ends = std::max(cause == active_.end() ? now_ : cause->ends, now_ + least);
    active_.push_back({Event{.fault = Fault::crash, .a = node}, ends});
  }
}

void World::power_on(unsigned node) {
  guarded(node, [&] {
    Machine& machine = machines_[node];
    machine.power_on(local(node), wall_s(node));
    masters_.disturb(node);
    if (machine.take_clock_lied()) referee_.renew(node, now_);
    if (ConfigHalf* half = half_of(node)) half->power_on(file_maxupd_, local(node), wall_s(node));
    for (const Active& active : active_)
      if (active.event.fault == Fault::demote && active.event.a == node)
        machine.demotion().hold(engine::carp::Cause::maintenance, true, local(node));
  });
}

void World::power_off(unsigned node) {
  if (!machines_[node].is_on()) return;
  if (ConfigHalf* half = half_of(node)) {
    half->power_off();
    calls_->forget(half == &halves_[0]);
  }
  referee_.went_down(node, now_);
  masters_.disturb(node);
  machines_[node].power_off();
  machines_[node].disk().lose_power(now_ / 1s, random_());
}

bool World::is_kept_off(unsigned node) const {
  return std::ranges::any_of(active_, [node](const Active& active) {
    const Fault fault = active.event.fault;
    const bool is_its = fault == Fault::crash || fault == Fault::stop || fault == Fault::upgrade;
    return fault == Fault::power_cut || (is_its && active.event.a == node);
  });
}

// --- faults --------------------------------------------------------------------------------------------

void World::begin(const Event& event) {
  marks_.meet("fault: " + std::string{word(event.fault)});
  Machine& machine = machines_[event.a];
  const unsigned node = event.a;
  switch (event.fault) {
    case Fault::crash:
      if (machine.is_on()) marks_.meet("node: crashed");
      power_off(node);
      if (event.amount == 1) machine.disk().renew();
      break;
    case Fault::stop:
      if (!runs(node)) break;
      guarded(node, [&] { machine.say_farewell(local(node), wall_s(node)); });
      marks_.meet("node: ended orderly");
      power_off(node);
      break;
    case Fault::power_cut:
      marks_.meet("node: all lost their power");
      for (unsigned each = 0; each < machines_.size(); ++each) power_off(each);
      break;
    case Fault::upgrade: {
      const auto next = static_cast<wire::Dialect>(event.amount);
      const bool is_older =
          next != wire::Dialect::openbsd && machine.dialect() != wire::Dialect::openbsd && next < machine.dialect();
      const bool parts_group = scenario_.shape == Shape::group &&
                               (next == wire::Dialect::openbsd) != (machine.dialect() == wire::Dialect::openbsd);
      if (is_older || parts_group) break;
      if (next != machine.dialect()) marks_.meet("node: upgraded to another dialect");
      power_off(node);
      machine.set_dialect(next);
      break;
    }
    case Fault::crash_in_write: machine.disk().die_in(static_cast<std::uint64_t>(event.amount)); break;
    case Fault::freeze:
      if (runs(node)) marks_.meet("node: frozen");
      frozen_at_[node] = now_;
      break;
    case Fault::clock_jump:
      wall_offsets_[node] += event.amount;
      machine.note_clock_jump();
      break;
    case Fault::flush:
      if (!runs(node)) break;
      referee_.flushes(node, now_);
      if (machine.session().flush({}, local(node)) > 0) marks_.meet("clear: flushed by a firewall");
      break;
    case Fault::edit:
      file_maxupd_ = static_cast<unsigned>(std::clamp<std::int64_t>(event.amount, 1, 255));
      read_edit();
      break;
    case Fault::order:
      if (!runs(node)) break;
      static_cast<void>(machine.carp().order(
          Machine::vhid, event.amount == 2 ? engine::carp::State::master : engine::carp::State::backup, local(node)));
      masters_.disturb(node);
      break;
    case Fault::demote:
      if (runs(node)) machine.demotion().hold(engine::carp::Cause::maintenance, true, local(node));
      break;
    case Fault::sabotage:
      machine.sabotage(event.amount);
      if (event.amount == 1) power_off(node);
      break;
    default: break;
  }
}

void World::end(const Event& event) {
  const unsigned node = event.a;
  Machine& machine = machines_[node];
  switch (event.fault) {
    case Fault::crash_in_write: machine.disk().die_in(0); break;
    case Fault::demote:
      if (runs(node)) machine.demotion().hold(engine::carp::Cause::maintenance, false, local(node));
      break;
    case Fault::freeze:
      if (now_ - frozen_at_[node] >= 3s) marks_.meet("node: frozen for three seconds and more");
      masters_.disturb(node);
      referee_.renew_all(now_);
      break;
    case Fault::liar: masters_.disturb_all(); break;
    default: break;
  }
}

/// The primary reads its file, at once or when it no longer stands still.
void World::read_edit() {
  ConfigHalf* half = half_of(Scenario::firewalls);
  if (half == nullptr || !half->is_on()) return;  // reads it when it starts
  if (!runs(Scenario::firewalls)) {
    edit_waits_ = true;
    return;
  }
  edit_waits_ = false;
  guarded(Scenario::firewalls,
          [&] { half->edit(file_maxupd_, local(Scenario::firewalls), wall_s(Scenario::firewalls)); });
}

void World::recompute() {
  network_.heal();
  std::fill(frozen_.begin(), frozen_.end(), false);
  std::fill(has_link_.begin(), has_link_.end(), true);
  for (Machine& machine : machines_) {
    machine.disk().is_full = machine.disk().lies = false;
    machine.disk().slow = 1;
  }
  for (const auto& [event, ends] : active_) {
    Path& path = network_.path(event.a, event.b);
    const auto amount = static_cast<unsigned>(event.amount);
    switch (event.fault) {
      case Fault::loss: path.loss_percent = std::max(path.loss_percent, amount); break;
      case Fault::burst: path.burst = std::chrono::milliseconds{event.amount}; break;
      case Fault::reorder: path.jitter = std::chrono::milliseconds{event.amount}; break;
      case Fault::duplicate: path.duplicate_percent = amount; break;
      case Fault::corrupt: path.corrupt_percent = amount; break;
      case Fault::garble: path.garble_percent = amount; break;
      case Fault::one_way: path.cut = true; break;
      case Fault::partition:
        for (unsigned a = 0; a < machines_.size(); ++a)
          for (unsigned b = 0; b < machines_.size(); ++b)
            if ((amount >> a & 1u) != (amount >> b & 1u)) network_.path(a, b).cut = true;
        break;
      case Fault::narrow:
        for (unsigned other = 0; other <= machines_.size(); ++other)
          for (Path* each : {&network_.path(event.a, other), &network_.path(other, event.a)})
            each->frame_max = each->frame_max == 0 ? amount : std::min<std::size_t>(each->frame_max, amount);
        break;
      case Fault::link_down:
        has_link_[event.a] = false;
        for (unsigned other = 0; other <= machines_.size(); ++other)
          network_.path(event.a, other).cut = network_.path(other, event.a).cut = true;
        break;
      case Fault::freeze: frozen_[event.a] = true; break;
      case Fault::slow_disk: machines_[event.a].disk().slow = static_cast<std::uint64_t>(event.amount); break;
      case Fault::full_disk: machines_[event.a].disk().is_full = true; break;
      case Fault::lying_disk: machines_[event.a].disk().lies = true; break;
      default: break;
    }
  }
  for (Machine& machine : machines_) machine.set_link(has_link_[machine.number()]);
  masters_.disturb_all();
  if (edit_waits_ && runs(Scenario::firewalls)) read_edit();
}

void World::lie() {
  for (const Active& active : active_) {
    if (active.event.fault != Fault::liar) continue;
    const Lie kind = static_cast<Lie>(active.event.amount);
    if (kind == Lie::carp || kind == Lie::neighbours) masters_.disturb_all();
    if (random_() % 2 == 0) continue;
    for (unsigned left = kind == Lie::storm ? Liar::storm_frames : 1; left > 0; --left) {
      const auto frame = liar_->speak(kind);
      if (!frame) break;
      marks_.meet("liar: a lie was told");
      marks_.meet("lie: " + std::string{lie_table[static_cast<std::size_t>(kind)]});
      referee_.excuse(*frame, now_);
      network_.send(scenario_.nodes(), *frame, now_);
    }
  }
}

// --- time ----------------------------------------------------------------------------------------------

void World::deliver(const Network::Delivery& delivery) {
  if (delivery.to == scenario_.nodes()) {
    liar_->hear(delivery.frame);
    return;
  }
  const auto hash = statetable::content_hash(delivery.frame.data(), delivery.frame.size());
  trace_ = trace_ * 1099511628211u + (hash.low ^ static_cast<std::uint64_t>(delivery.at.count()) ^ delivery.to);
  Machine& machine = machines_[delivery.to];
  if (!machine.is_on()) return;
  machine.receive(delivery.frame);
  if (runs(static_cast<unsigned>(delivery.to))) turn(static_cast<unsigned>(delivery.to));
}

void World::turn(unsigned node) {
  guarded(node, [&] { machines_[node].turn(local(node), wall_s(node)); });
}

void World::sync_configurations() {
  if (!calls_) return;
  for (unsigned place = 0; place < 2; ++place) {
    const unsigned node = Scenario::firewalls + place;
    if (!runs(node) || !halves_[place].is_on()) continue;
    guarded(node, [&] {
      halves_[place].tick(local(node), wall_s(node));
      if (place == 0)
        calls_->turn_primary(now_, local(node));
      else
        calls_->turn_secondary(now_, local(node), wall_s(node));
    });
  }
}

void World::step(bool is_peace) {
  bool has_changed = false;
  for (; begun_ < scenario_.events.size() && !is_peace; ++begun_) {
    const Event& event = scenario_.events[begun_];
    if (start_ + std::chrono::milliseconds{event.at} > now_) break;
    active_.push_back({event, now_ + std::chrono::milliseconds{event.lasts}});
    begin(event);
    has_changed = true;
  }
  for (std::size_t i = 0; i < active_.size();) {
    if (active_[i].ends > now_) {
      ++i;
      continue;
    }
    const Event event = active_[i].event;
    active_.erase(active_.begin() + static_cast<std::ptrdiff_t>(i));
    end(event);
    has_changed = true;
  }
  if (has_changed) recompute();
  for (unsigned node = 0; node < machines_.size(); ++node)
    if (!machines_[node].is_on() && !is_kept_off(node)) power_on(node);

  const Duration end = now_ + tick;
  while (network_.has_until(end)) {
    const Network::Delivery delivery = network_.take();
    now_ = std::max(now_, delivery.at);
    deliver(delivery);
  }
  now_ = end;
  for (unsigned node = 0; node < machines_.size(); ++node)
    if (runs(node)) turn(node);
  lie();
  sync_configurations();
  if (const std::string why = masters_.look(now_); !why.empty()) referee_.find(why);
  if (now_ >= looked_at_ + look_every) {
    looked_at_ = now_;
    referee_.look(now_);
  }
  if (now_ >= rated_at_ + rates_every) {
    rated_at_ = now_;
    referee_.look_at_rates();
  }
}

void World::make_peace() {
  for (const Active& active : std::exchange(active_, {})) end(active.event);
  recompute();
  // Members of a group speak one dialect, or do not understand each other.
  auto newest = machines_[0].dialect();
  for (unsigned node = 0; node < Scenario::firewalls; ++node) newest = std::max(newest, machines_[node].dialect());
  for (unsigned node = 0; node < Scenario::firewalls; ++node) {
    machines_[node].stop_load();
    if (scenario_.shape != Shape::group || machines_[node].dialect() == newest) continue;
    power_off(node);
    machines_[node].set_dialect(newest);
  }
}

/// Nobody learns the dialect of a firewall that became a kernel of the other header version and says nothing: its
/// operator, who is told that it is silent, names it.
void World::name_dialects() {
  for (unsigned firewall = 0; firewall < Scenario::firewalls; ++firewall)
    for (unsigned node = Scenario::firewalls; node < machines_.size(); ++node)
      if (machines_[node].is_not_understood_by(machines_[firewall]))
        machines_[node].name_dialect(firewall, machines_[firewall].dialect(), local(node));
}

void World::watch_quiet() {
  for (Machine& machine : machines_) {
    Rest& rest = rests_[machine.number()];
    if (!machine.has_queued()) rest.unqueued = now_;
    if (std::exchange(rest.bulks, machine.bulks_served()) != machine.bulks_served() || !machine.serves_bulk())
      rest.served = now_;
    may_ask_for_all_ = may_ask_for_all_ || (machine.is_engine() && machine.table().size() == 0);
  }
}

void World::judge_peace() {
  if (!referee_.broken().empty()) return;
  if (const unsigned count = masters_.count(); count != 1)
    referee_.find("masters in peace: there are " + std::to_string(count));
  referee_.judge_peace();
  for (Machine& machine : machines_) {
    const std::string who = ": node " + std::to_string(machine.number());
    const Rest& rest = rests_[machine.number()];
    if (now_ - rest.unqueued > queued_most) referee_.find("something is queued in peace" + who);
    if (now_ - rest.served > serving_most || (machine.serves_bulk() && !may_ask_for_all_))
      referee_.find("a bulk update goes on in peace" + who);
    if (machine.node().is_catching_up()) referee_.find("somebody waits for a bulk update in peace" + who);
  }
  if (calls_) {
    const bool agree = halves_[0].sender().is_in_sync() && halves_[0].in_force() == file_maxupd_ &&
                       halves_[1].in_force() == file_maxupd_ && !halves_[1].store().is_pending();
    if (!agree)
      referee_.find("configurations differ in peace: the file says " + std::to_string(file_maxupd_) +
                    ", in force are " + std::to_string(halves_[0].in_force()) + " and " +
                    std::to_string(halves_[1].in_force()) + "; " + halves_[0].sender().error());
  }
}

Verdict World::run() {
  for (const Duration end = start_ + std::chrono::milliseconds{scenario_.length};
       now_ < end && referee_.broken().empty();)
    step(false);
  if (referee_.broken().empty()) {
    make_peace();
    const Duration named_at = now_ + operator_after;
    bool has_named = scenario_.shape == Shape::group;
    for (const Duration end = now_ + peace; now_ < end && referee_.broken().empty();) {
      if (now_ >= named_at && !std::exchange(has_named, true)) name_dialects();
      if (now_ >= touched_at_ + touch_every) {
        touched_at_ = now_;
        for (unsigned node = 0; node < Scenario::firewalls; ++node)
          if (runs(node))
            machines_[node].touch_all([this](wire::StateId id) { return !referee_.has_ended(id); }, local(node));
        constexpr unsigned primary = Scenario::firewalls;
        if (calls_ && halves_[0].is_on()) halves_[0].renew(local(primary), wall_s(primary));
      }
      step(true);
    }
    for (const Duration end = now_ + quiet; now_ < end && referee_.broken().empty();) {
      step(true);
      watch_quiet();
    }
    judge_peace();
  }
  for (Machine& machine : machines_) machine.power_off();
  return {.broken = referee_.broken(),
          .at_ms = static_cast<std::uint64_t>((now_ - start_) / 1ms),
          .frames = network_.frames(),
          .trace = trace_,
          .marks = marks_};
}

}  // namespace

Verdict run(const Scenario& scenario) { return World{scenario}.run(); }

}  // namespace pfsync::sim::chaos
