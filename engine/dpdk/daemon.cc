#include "engine/dpdk/daemon.h"

#include <fmt/format.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <ctime>
#include <deque>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <thread>

#include "engine/carp/report.h"
#include "engine/control/peers_report.h"
#include "engine/control/process.h"
#include "engine/dpdk/daemon_parts.h"
#include "engine/dpdk/log_level.h"
#include "engine/dpdk/system_calls.h"
#include "engine/snapshot/report.h"
#include "engine/version.h"
#include "wire/text.h"

namespace pfsync::engine::dpdk {
namespace {

/// For one answer of the other node to a comparison: it may have to walk through its table first.
constexpr milliseconds compare_patience{8'000};

constexpr unsigned first_data_lcore = 1;  ///< as Eal names them; 0 is the control thread

std::vector<DataPath::Lane> data_lanes_of(Placed<Lane>& lanes) {
  std::vector<DataPath::Lane> all;
  for (Lane& lane : lanes) all.push_back({&lane.bulk, &lane.gate});
  return all;
}

std::vector<PartPath*> pointers_to(std::deque<PartPath>& paths) {
  std::vector<PartPath*> all;
  all.reserve(paths.size());
  for (PartPath& path : paths) all.push_back(&path);
  return all;
}

std::int64_t wall_s() { return std::time(nullptr); }

std::vector<const Session*> further_parts_of(const PartitionedSession& session) {
  std::vector<const Session*> all;
  for (unsigned number = 1; number < session.parts(); ++number) all.push_back(&session.part(number));
  return all;
}

/// Whoever reads this in a log knows as whom the daemon goes on, and what he cannot do.
void leave_root(const Identity& user, const std::string& state_dir, const std::string& file) {
  give_folder(state_dir, user);
  become(user);
  spdlog::info("goes on as user {}, without privileges", user.name);
  if (access(file.c_str(), R_OK) != 0)
    spdlog::warn("{} cannot be read by user {}: a reload will be refused; let that user's group read it", file,
                 user.name);
}

}  // namespace

Daemon::Parts::Parts(const Config& given, std::string from, const std::optional<Identity>& user)
    : file{std::move(from)},
      config{with_fresh_ids(given)},
      devices{(require_memory(config), find_devices(config))},
      table{make_table(config)},
      eal{eal_config(config, devices)},
      port{devices[0].port, config.link.mtu},
      lanes{make_lanes(config, *table)},
      data_lanes{data_lanes_of(lanes)},
      node{session_config(config, data_lanes), *table, config.cores.data_cores, Port::place_bytes(config.link.mtu)},
      session{node.first()},
      link{link_config(config, port.mac()), session.counters()},
      parts{make_parts()},
      ports{make_ports()},
      carp_node{carp_config(config, 0, devices[0], port.mac()), demotion, carp_journal},
      membership{membership_config(config, carp_node.config())},
      stack{port, carp_node, membership},
      stacks{all_stacks()},
      part_paths{make_part_paths()},
      other_paths{pointers_to(part_paths)},
      data_path{{.port = port,
                 .link = link,
                 .session = node,
                 .others = other_paths,
                 .lanes = data_lanes,
                 .synthetic = parts.front().firewall(),
                 .clock = clock,
                 .busy = config.cores.poll == Config::Poll::busy,
                 .stacks = stacks,
                 .demotion = demotion}},
      snapshots{snapshot_parts(), config.snapshot},
      view{.version = std::string{version},
           .config = config,
           .table = *table,
           .session = session,
           .others = further_parts_of(node),
           .senders = senders_of(lanes),
           .synthetic = firewalls(),
           .started = clock.now(),
           .now = [this] { return clock.now(); },
           .queued =
               [this] {
                 std::uint64_t queued = data_path.queued();
                 for (const PartPath& path : part_paths) queued += path.queued();
                 return queued;
               },
           .link_up = [this] { return links_up_[0].load(std::memory_order_relaxed); },
           .counts = [this] { return counts(); }},
      divergence{config, *table, clock,
                 [this](const wire::Address& other, std::span<Repair> repairs) { return repair(other, repairs); }} {
  make_commands();
  make_snapshots();
  make_carp();
  control = or_throw(ControlServer::create(
      config.control.socket, [this](const Json& request) { return handle_request(request, view, commands); }));
  // Devices and the control socket are open: nothing of what follows, and nothing that comes over the network, needs
  // root.
  if (user) leave_root(*user, config.control.state_dir, file);
  web.emplace(config);
  if (config.control.telemetry) telemetry.emplace();
}

std::deque<PortParts> Daemon::Parts::make_ports() {
  std::deque<PortParts> made;
  for (std::size_t number = 1; number < devices.size(); ++number)
    made.emplace_back(config, number, devices[number], demotion, carp_journal);
  return made;
}

std::deque<PartParts> Daemon::Parts::make_parts() {
  std::deque<PartParts> made;
  for (unsigned number = 0; number < node.parts(); ++number) made.emplace_back(config, number);
  return made;
}

std::deque<PartPath> Daemon::Parts::make_part_paths() {
  std::deque<PartPath> made;
  for (unsigned number = 1; number < node.parts(); ++number)
    made.emplace_back(PartPath::Parts{.session = node,
                                      .number = number,
                                      .link = link,
                                      .lanes = parts[number].frames.pointers,
                                      .synthetic = parts[number].firewall(),
                                      .clock = clock,
                                      .busy = config.cores.poll == Config::Poll::busy});
  return made;
}

std::vector<const SyntheticFirewall*> Daemon::Parts::firewalls() {
  std::vector<const SyntheticFirewall*> all;
  for (PartParts& part : parts)
    if (part.synthetic) all.push_back(&*part.synthetic);
  return all;
}

std::vector<HostStack*> Daemon::Parts::all_stacks() {
  std::vector<HostStack*> all{&stack};
  for (PortParts& further : ports) all.push_back(&further.stack);
  return all;
}

// --- commands ----------------------------------------------------------------------------------------

std::optional<CommandResult> Daemon::Parts::call(const Command& command) {
  const auto until = std::chrono::steady_clock::now() + command_patience;
  if (!data_path.commands().post(command)) return std::nullopt;
  while (std::chrono::steady_clock::now() < until) {
    if (const auto result = data_path.commands().take()) return result;
    std::this_thread::sleep_for(std::chrono::microseconds{100});
  }
  return std::nullopt;
}

Outcome Daemon::Parts::outcome(const Command& command, const char* sentence) {
  const auto result = call(command);
  if (!result) return {false, "the data path has not answered within two seconds: try again", 0};
  return {result->done, fmt::format(fmt::runtime(sentence), result->states), result->states};
}

void Daemon::Parts::make_commands() {
  commands.resync = [this](std::optional<unsigned> peer) {
    Outcome result = outcome({.kind = Command::Kind::resync, .only_peer = peer},
                             peer ? "that peer was asked for a bulk update" : "a bulk update was asked for");
    if (!result.done && peer && !session.is_active(*peer))
      result.sentence = "another node speaks with that peer now, as the master of its source address: ask there";
    return result;
  };
  commands.push = [this] { return outcome({.kind = Command::Kind::push}, "{} changes are sent now"); };
  commands.flush = [this](wire::InterfaceName name) {
    return outcome({.kind = Command::Kind::flush, .ifname = name}, "{} states flushed");
  };
  commands.kill = [this](wire::StateId id) {
    Outcome result = outcome({.kind = Command::Kind::kill, .id = id}, "{} states killed");
    if (!result.done && result.states == 0 && result.sentence.starts_with("0"))
      result.sentence = "there is no state " + state_id_text(id) + " here: pfsyncctl show states lists them";
    return result;
  };
  commands.forget = [this](const wire::Address& address) { return forget(address); };
  commands.reload = [this] { return reload(); };
  commands.compare = [this](bool repair) { return divergence.order(repair); };
  view.sampling = [this](unsigned peer) {
    return peer < samplers.size() ? divergence::sampling_json(samplers[peer], config.sync.sample_per_s) : Json(nullptr);
  };
  view.standing_still = [this] {
    std::vector<DaemonView::Still> all;
    for (std::size_t number = 0; number < stacks.size(); ++number)
      if (standstills_[number].is_still())
        all.push_back({number == 0, devices[number].name(), number == 0 ? config.link.mtu : interface_mtu});
    return all;
  };
  view.process = process_json;
  view.divergence = [this](bool with_differences) { return divergence.status(with_differences); };
  if (config.synthetic)
    commands.synthetic = [this](bool run) {
      for (PartParts& part : parts)
        if (part.synthetic) run ? part.synthetic->resume() : part.synthetic->stop();
      return Outcome{true, run ? "the synthetic load runs" : "the synthetic load stands still", 0};
    };
}

// --- what outlives the process -----------------------------------------------------------------------

snapshot::Keeper::Parts Daemon::Parts::snapshot_parts() {
  using Severity = snapshot::Keeper::Severity;
  return {.table = *table,
          .creatorid = config.sync.creatorid,
          .now = [this] { return clock.now(); },
          .wall_s = wall_s,
          .log =
              [](Severity severity, const std::string& sentence) {
                constexpr std::array levels{spdlog::level::debug, spdlog::level::info, spdlog::level::warn,
                                            spdlog::level::err};
                spdlog::log(levels[static_cast<std::size_t>(severity)], "{}", sentence);
              },
          .kept_off = config.cores.data};
}

void Daemon::Parts::make_snapshots() {
  view.snapshot = [this] { return snapshot::status_json(snapshots.status(), wall_s()); };
  commands.snapshot = [this] { return snapshots.ask(); };
}

// --- configurations that come over the network --------------------------------------------------------

void Daemon::Parts::make_config_sync() {
  config_sync.emplace(
      config, file,
      [this](const Config& wanted, Demand demand) {
        Outcome outcome = apply(wanted, demand);
        return config_sync::Applied{.refusal = outcome.done ? "" : std::move(outcome.sentence),
                                    .restart = std::move(outcome.restart)};
      },
      [this](const std::string& request) { return divergence.answer(request); });
  if (!config_sync->is_there()) return;
  config_sync::Agent& agent = config_sync->agent();
  const auto ask = [&agent](const std::string& request) -> std::variant<std::string, divergence::Unasked> {
    auto answer = agent.compare(request, compare_patience);
    if (auto* why = std::get_if<config_sync::Agent::Unasked>(&answer))
      return divergence::Unasked{std::move(why->sentence)};
    return std::move(std::get<std::string>(answer));
  };
  divergence.begin(ask, agent.cannot_ask());
  view.config_sync = [this] { return config_sync->status(); };
  commands.config_sync = [this](const Json& request) { return config_sync->order(request); };
}

// --- what a comparison of tables found ----------------------------------------------------------------

std::string Daemon::Parts::repair(const wire::Address& from, std::span<Repair> repairs) {
  unsigned peer = 0;
  if (!config.peers.empty()) {
    const auto found = std::ranges::find(config.peers, from, &Config::Peer::address);
    if (found == config.peers.end())
      return fmt::format("no [[peer]] here has the address {} of the node that this one is paired with: add it",
                         wire::to_string(from, config.link.family));
    peer = static_cast<unsigned>(found - config.peers.begin());
  }
  Repairs all{peer, repairs};
  if (!carry_out(Command{.kind = Command::Kind::repair, .repairs = &all}, data_path.commands(), command_patience))
    return "the data path has not answered within two seconds: nothing was repaired; try again";
  if (peer < samplers.size()) samplers[peer].forget();
  return "";
}

// --- virtual addresses -------------------------------------------------------------------------------

void Daemon::Parts::make_carp() {
  link.take_also(&carp_node);
  std::vector<const carp::Node*> nodes;
  for (HostStack* each : stacks) nodes.push_back(&each->node());
  carp_view.emplace(
      carp::View{.nodes = std::move(nodes), .demotion = demotion, .journal = carp_journal, .settings = config.carp});
  show_carp();
  accept_macs(stacks, {}, config.carp);
  std::error_code error;
  if (!config.carp.empty() && std::filesystem::exists(maintenance_file(), error)) {
    spdlog::warn(
        "carp: this node is in maintenance mode since before its start: pfsyncctl carp maintenance leave ends it");
    demotion.hold(carp::Cause::maintenance, true, clock.now());
  }
}

/// Without a [[carp]] there is nothing to see, nor to order.
void Daemon::Parts::show_carp() {
  view.carp = config.carp.empty() ? nullptr : &*carp_view;
  if (config.carp.empty())
    commands.carp = nullptr;
  else
    commands.carp = [this](const carp::Order& order) { return order_carp(order); };
}

/// Maintenance mode is written down before it begins and after it has ended, so that no restart forgets it.
Outcome Daemon::Parts::order_carp(const carp::Order& order) {
  const bool maintenance = order.kind == carp::Order::Kind::maintenance;
  if (maintenance && order.on) {
    std::error_code error;
    std::filesystem::create_directories(config.control.state_dir, error);
    if (!std::ofstream{maintenance_file()})
      return {
          false,
          maintenance_file().string() + " cannot be written: give control.state_dir a folder that pfsyncd may write to",
          0};
  }
  const auto result = call({.kind = Command::Kind::carp, .carp = order});
  if (!result) return {false, "the data path has not answered within two seconds: try again", 0};
  if (!result->done)
    return {false,
            fmt::format("vhid {} is not there, in INIT, or on several ports, of which -i must name one: "
                        "pfsyncctl show carp tells",
                        order.vhid),
            0};
  if (maintenance && !order.on) {
    std::error_code error;
    std::filesystem::remove(maintenance_file(), error);
    if (error)
      return {false, maintenance_file().string() + " cannot be removed (" + error.message() + "): remove it by hand",
              0};
  }
  return {true, carp::sentence_of(order), 0};
}

void Daemon::Parts::watch_carp(Instant now) {
  if (const std::uint64_t left_out = carp_lines_.begin_second(now); left_out > 0)
    spdlog::warn("carp: {} further lines within a second were left out", left_out);
  while (const auto entry = carp_journal.pop()) {
    if (view.carp == nullptr || !carp_lines_.admits(*entry)) continue;  // without a [[carp]] nobody stands back
    const std::string sentence = carp::sentence_of(*entry, *carp_view);
    carp::is_warning(*entry) ? spdlog::warn("{}", sentence) : spdlog::info("{}", sentence);
  }
}

std::vector<NamedCount> Daemon::Parts::counts() const {
  const Port::Statistics device_counts = port.statistics();
  const auto count_of = [this](carp::Tally tally) {
    std::uint64_t sum = 0;
    for (HostStack* each : stacks) sum += each->node().counters()[tally].value();
    return sum;
  };
  std::vector<NamedCount> counts{
      {"oerrors", "frames dropped because the device did not take them", port.oerrors()},
      {"onomem", "frames not sent because no packet buffer was free", port.onomem()},
      {"imissed", "frames the device dropped because its queue was full", device_counts.imissed},
      {"ierrors", "frames the device received damaged", device_counts.ierrors},
      {"frames_other",
       "frames received that are no pfsync for this node and no ARP: those for CARP and group membership too, which "
       "are counted there",
       link.frames_other()},
      {"arp_requests", "ARP requests sent for the peer's address", link.arp_requests()},
      {"arp_replies", "ARP requests answered", link.arp_replies()},
      {"neighbour_requests", "neighbour solicitations sent for the peer's address", link.neighbour_requests()},
      {"neighbour_replies", "neighbour solicitations answered", count_of(carp::Tally::neighbour_replies)},
      {"echo_replies", "echo requests answered", count_of(carp::Tally::echo_replies)},
      {"answers_dropped", "answers not given: too many at once, or too large",
       count_of(carp::Tally::answers_dropped) + link.answers_dropped()},
      {"bulk_frames", "frames of bulk updates sent", data_path.bulk_frames()},
      {"absences", "times that the data path stood still for three seconds or longer, so that all is asked for again",
       data_path.absences()},
  };
  for (const MembershipTallyInfo& row : membership_tally_table) {
    std::uint64_t sum = 0;
    for (HostStack* each : stacks) sum += each->membership().counters()[row.tally].value();
    counts.push_back({std::string{row.word}, std::string{row.sentence}, sum});
  }
  const auto of_snapshots = snapshot::counts_of(snapshots.status());
  counts.insert(counts.end(), of_snapshots.begin(), of_snapshots.end());
  const auto of_control = control->counts();
  counts.insert(counts.end(), of_control.begin(), of_control.end());
  const auto of_divergence = divergence.counts();
  counts.insert(counts.end(), of_divergence.begin(), of_divergence.end());
  const auto of_web = web->counts();
  counts.insert(counts.end(), of_web.begin(), of_web.end());
  if (config_sync) {
    const auto of_doors = config_sync->counts();
    counts.insert(counts.end(), of_doors.begin(), of_doors.end());
  }
  return counts;
}

// --- the control thread ------------------------------------------------------------------------------

void Daemon::Parts::tell_service(Instant now) {
  std::array<BulkPhase, peers_max> phases{};
  for (unsigned peer = 0; peer < session.peers(); ++peer) phases[peer] = session.bulk(peer).phase();
  std::array<std::uint64_t, PartitionedSession::parts_max> turns{data_path.turns()};
  for (std::size_t part = 0; part < part_paths.size(); ++part) turns[1 + part] = part_paths[part].turns();
  service.look({.asks = config.sync.request_bulk,
                .link_up = links_up_[0].load(std::memory_order_relaxed),
                .phases = std::span{phases}.first(session.peers())},
               std::span{turns}.first(1 + part_paths.size()), now);
}

/// Asks again for the bulk updates that peers did not send, once they are heard.
void Daemon::Parts::retry_bulk(Instant now) {
  for (unsigned peer = 0; peer < session.peers(); ++peer)
    if (lanes[peer].retry.is_due(session.bulk(peer).phase(), session.heard_at(peer), now))
      static_cast<void>(call({.kind = Command::Kind::retry, .peer = peer}));
}

void Daemon::Parts::sample_peers(Instant now) {
  samplers.resize(session.peers());
  if (const auto with = divergence.take_agreement())
    for (unsigned peer = 0; peer < config.peers.size(); ++peer)
      if (config.peers[peer].address == *with) samplers[peer].forget();
  for (unsigned peer = 0; peer < session.peers(); ++peer) {
    divergence::Sampler& sampler = samplers[peer];
    divergence::Sampler::Counts counts{};
    for (unsigned part = 0; part < node.parts(); ++part)
      for (std::size_t i = 0; i < counts.size(); ++i)
        counts[i] += node.part(part).samples(peer, static_cast<SampleVerdict>(i));
    sampler.follow(counts, session.watch(peer).view().unanswered < 2, now);  // one of them may have been lost
    if (const auto differs = sampler.take_change()) {
      const std::string who = peer_address(view, peer);
      if (*differs)
        spdlog::warn(
            "{}: samples tell that it has more than {:.1f} % of the states otherwise or not: pfsyncctl show peers", who,
            100 * sampler.estimate()->low);
      else
        spdlog::info("{}: samples tell that it has nearly all states as they are here", who);
    }
    // Who still gets its states, or was never heard, has not the same for reasons that are known.
    const BulkPhase phase = session.bulk(peer).phase();
    const bool can_be_asked = session.is_active(peer) && session.heard_at(peer) && !session.silent_since(peer) &&
                              phase != BulkPhase::asked && phase != BulkPhase::receiving &&
                              !lanes[peer].sender.running();
    if (lanes[peer].sender.running() || phase == BulkPhase::receiving) sampler.forget();
    if (!can_be_asked || !sampler.is_due(config.sync.sample_per_s, now)) continue;
    const auto id = divergence::random_state(table->reader(), statetable::to_seconds(now), random_);
    if (!id) continue;
    const auto asked = call({.kind = Command::Kind::sample, .peer = peer, .id = *id});
    if (asked && asked->done) sampler.asked();
  }
}

milliseconds Daemon::Parts::serve_bulk() {
  constexpr milliseconds at_rest{10};
  const Instant now = clock.now();
  milliseconds wait = at_rest;
  for (unsigned peer = 0; peer < session.peers(); ++peer) {
    Lane& lane = lanes[peer];
    const bool asked = session.take_bulk_request(peer);  // before the dialect: the request may have told it
    lane.sender.speak(session.dialect(peer).in_use());
    const bool has_gap = lane.bulk.take_discarded() && lane.sender.running();
    if (!session.is_active(peer))
      lane.sender.cancel();
    else if (asked || has_gap)
      lane.sender.start(now);
    if (!lane.sender.running()) continue;
    const bool filled = lane.bulk.fill(lane.sender, link, now) > 0;
    // For the pace a millisecond is short enough. Without one the data path empties a full ring in less.
    const bool paced = lane.sender.is_paced();
    if (!filled && !paced) std::this_thread::sleep_for(std::chrono::microseconds{50});
    wait = std::min(wait, milliseconds{paced ? 1 : 0});
  }
  return wait;
}

/// What each data-path core does once, in its own thread.
void Daemon::Parts::begin_core(const char* name, const Parts& of) {
  prctl(PR_SET_NAME, name);
  prctl(PR_SET_TIMERSLACK, 1000UL);  // an idle data path wakes when it said, not 50 µs later
  if (!of.is_restricted) return;
  if (const auto why = restrict_data_path())
    spdlog::warn("a data-path core can still make the system calls of the whole process: seccomp(2) failed ({})", *why);
}

void Daemon::Parts::run(bool (*ended)(), bool (*reload_wanted)()) {
  prctl(PR_SET_NAME, "pfsyncd-control");
  const auto body = [](void* given) {
    begin_core("pfsyncd-data", *static_cast<Parts*>(given));
    static_cast<Parts*>(given)->data_path.run();
    return 0;
  };
  const auto part_body = [](void* given) {
    Parts& of = *static_cast<Parts*>(given);
    begin_core("pfsyncd-part", of);
    of.part_paths[rte_lcore_id() - first_data_lcore - 1].run();
    return 0;
  };
  // Before anything is received: whatever comes is newer.
  snapshots.restore(node);
  unsigned lcore = first_data_lcore;
  if (rte_eal_remote_launch(body, this, lcore) != 0) throw std::runtime_error{"the data-path core is not there"};
  for (std::size_t path = 0; path < part_paths.size(); ++path)
    if (rte_eal_remote_launch(part_body, this, ++lcore) != 0) throw std::runtime_error{"a data-path core is not there"};
  spdlog::info("pfsyncd {}: host id {}, {} states at most, on {}", version, creatorid_text(config.sync.creatorid),
               config.table.states_max, devices[0].port);
  snapshots.start();
  while (!ended() && failure_.empty()) {
    watch_links(clock.now());
    watch_frames(clock.now());
    watch_drops(clock.now());
    watch_absences();
    const milliseconds wait = serve_bulk();
    session_log.look(clock.now());
    health_log.look(view, service, clock.now());
    retry_bulk(clock.now());
    sample_peers(clock.now());
    watch_carp(clock.now());
    const auto handle = [this](const Json& request) { return handle_request(request, view, commands); };
    web->serve(handle);
    if (telemetry) telemetry->serve(handle);
    config_sync->serve();
    tell_service(clock.now());
    divergence.serve();
    control->poll_once(wait);
    if (reload_wanted()) static_cast<void>(reload());
  }
  service.stopping();
  data_path.stop();
  for (PartPath& path : part_paths) path.stop();
  for (; lcore >= first_data_lcore; --lcore) rte_eal_wait_lcore(lcore);
  watch_carp(clock.now());
  snapshots.end([this] { service.stops("writing the last snapshot", clock.now()); });
  spdlog::info("pfsyncd ends with {} states", table->size());
  if (!failure_.empty()) throw std::runtime_error{failure_};
}

Daemon::Daemon(const Config& config, const std::string& file, const std::optional<Identity>& user)
    : parts_{std::make_unique<Parts>(config, file, user)} {
  for (const std::string& warning : config.warnings) spdlog::warn("{}: {}", file, warning);
  parts_->make_config_sync();
  if (user) end_privileges(*user);  // every socket is open
}
Daemon::~Daemon() = default;

Outcome Daemon::apply(const Config& wanted, Demand demand) { return parts_->apply(wanted, demand); }

void Daemon::restrict() {
  if (const auto why = restrict_system_calls())
    return spdlog::warn("system calls are not restricted: seccomp(2) failed ({})", *why);
  parts_->is_restricted = true;
}

void Daemon::run(bool (*ended)(), bool (*reload_wanted)()) { parts_->run(ended, reload_wanted); }

}  // namespace pfsync::engine::dpdk
