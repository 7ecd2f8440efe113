#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "engine/control/commands.h"
#include "engine/control/report.h"
#include "engine/session/timeouts.h"
#include "wire/packet_writer.h"

namespace pfsync::engine::test {

inline constexpr std::uint32_t node_creatorid = 0x97bc0c81;
inline constexpr Instant node_started = Instant{} + std::chrono::seconds{1000};

/// A whole node but for its link, as the control side sees it: a real table, session and bulk sender.
/// The clock stands at `now`; commands run at once, as there is no other thread to hand them to.
class Node {
 public:
  explicit Node(std::size_t states_max = 1000, bool request_bulk = true, const InterfaceMap& interfaces = {},
                wire::Dialect dialect = wire::Dialect::freebsd_1301)
      : config{configured(states_max)},
        table{std::get<std::unique_ptr<statetable::Table>>(
            statetable::Table::create({.states_max = states_max, .shard_bits = 1, .hash_seed = 7}))},
        session{{.creatorid = node_creatorid,
                 .peers = {{.dialect = dialect, .interfaces = interfaces}},
                 .request_bulk = request_bulk},
                *table},
        sender{{.creatorid = node_creatorid, .interfaces = interfaces}, *table} {
    session.start(now);
  }

  [[nodiscard]] DaemonView view() {
    return {.version = "0.1.0-test",
            .config = config,
            .table = *table,
            .session = session,
            .senders = {&sender},
            .synthetic = synthetic ? std::vector<const SyntheticFirewall*>{&*synthetic}
                                   : std::vector<const SyntheticFirewall*>{},
            .started = node_started,
            .now = [this] { return now; },
            .queued = [this] { return session.queued(); },
            .link_up = [this] { return link_up.load(); },
            .counts = [this] { return outside; }};
  }

  [[nodiscard]] Commands commands() {
    return {.resync =
                [this](std::optional<unsigned> peer) {
                  if (peer) return Outcome{session.request_bulk(*peer, now), "that peer was asked", 0};
                  session.request_bulk(now);
                  return Outcome{true, "a bulk update was asked for", 0};
                },
            .flush =
                [this](wire::InterfaceName name) {
                  const std::size_t states = session.flush(name, now);
                  return Outcome{true, std::to_string(states) + " states cleared", states};
                },
            .kill =
                [this](wire::StateId id) {
                  const bool done = session.erase(id, now) == Session::Local::done;
                  return Outcome{done, done ? "1 state killed" : "no state has that id", done ? 1u : 0u};
                },
            .synthetic =
                [this](bool run) {
                  if (!synthetic) return Outcome{false, "this node plays no firewall", 0};
                  run ? synthetic->resume() : synthetic->stop();
                  return Outcome{true, run ? "the load runs" : "the load stands still", 0};
                },
            .push =
                [this] {
                  session.push();
                  return Outcome{true, "what was queued is on its way", 0};
                }};
  }

  /// A TCP connection of this node's own, from 10.1.x.y to 10.2.0.100:80.
  Session::Local open(std::uint64_t id, std::string_view interface = "em0") {
    wire::State state;
    state.id = {id, 0};
    state.ifname = wire::InterfaceName{interface};
    for (auto& key : state.key) {
      key.addr[0].bytes = {10, 2, 0, 100};
      key.addr[1].bytes = {10, 1, static_cast<std::uint8_t>(id >> 8), static_cast<std::uint8_t>(id)};
      key.port = {80, static_cast<std::uint16_t>(1024 + id)};
    }
    state.src = {.seqlo = 1000, .seqhi = 66000, .max_win = 500, .state = wire::tcps::established};
    state.dst = {.seqlo = 5000, .seqhi = 70000, .max_win = 500, .state = wire::tcps::established};
    state.expire_s = 86400;
    state.af = wire::Family::inet;
    state.proto = wire::ipproto::tcp;
    state.direction = wire::Direction::out;
    state.timeout = pftm::tcp_established;
    return session.insert(state, now);
  }

  /// A peer says where its bulk update stands.
  void receive(const wire::BulkStatus& status) {
    std::vector<std::uint8_t> room(1480);
    wire::PacketWriter writer{wire::Dialect::freebsd_1301, room};
    if (!writer.append_bulk_status(status)) return;
    room.resize(writer.finish());
    session.on_packet(room, now);
  }

  /// Lets every bulk request go unanswered, until the session gives up.
  void give_up_bulk() {
    for (unsigned i = 0; i < 2 * BulkRequester::tries_max && session.bulk().phase() != BulkPhase::failed; ++i) {
      std::vector<std::uint8_t> room(1480);
      while (session.transmit(room, now) > 0) {
      }
      now += BulkRequester::retry_after;
      session.on_timeout(now);
    }
  }

  Instant now = node_started + std::chrono::seconds{90061};  ///< up for 1 day, 01:01:01
  std::atomic<bool> link_up{true};
  std::vector<NamedCount> outside;
  Config config;
  std::unique_ptr<statetable::Table> table;
  Session session;
  BulkSender sender;
  std::optional<SyntheticFirewall> synthetic;

 private:
  static Config configured(std::size_t states_max) {
    Config made;
    made.link.device = "net_memif0,role=server";
    made.link.address.bytes = {10, 0, 0, 1};
    made.link.destination.bytes = {224, 0, 0, 240};
    made.table.states_max = states_max;
    return made;
  }
};

}  // namespace pfsync::engine::test
