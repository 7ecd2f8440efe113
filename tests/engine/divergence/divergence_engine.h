#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/divergence/answerer.h"
#include "engine/divergence/comparison.h"
#include "engine/session/session.h"
#include "tests/engine/session/session_fixture.h"

namespace pfsync::engine::divergence {

/// A node that can be compared: table, session and the side that is asked. No pfsync goes between two of them unless a
/// test carries it.
class Engine {
 public:
  explicit Engine(std::uint8_t host, std::size_t states_max = 10'000, unsigned shard_bits = 2,
                  std::uint32_t creatorid = own_creatorid)
      : table{std::move(std::get<0>(statetable::Table::create(
            {.states_max = states_max, .shard_bits = shard_bits, .hash_seed = host, .by_connection = false})))},
        facts{.address = {{10, 0, 0, host}}, .delay_ms = 1000} {
    SessionConfig config;
    config.creatorid = creatorid;
    config.request_bulk = false;
    config.timeouts.value[pftm::adaptive_start] = 0;  // a table however full keeps what it holds
    session = std::make_unique<Session>(config, *table);
    session->start(t0);
    answerer.emplace(facts, table->reader(), ground());
  }

  [[nodiscard]] Ground ground() {
    return {.carry_out =
                [this](const wire::Address& peer, std::span<Repair> repairs) {
                  repaired_for = peer;
                  for (Repair& repair : repairs) session->repair(repair, 0, now);
                  return refuses;
                },
            .to_theirs =
                [this](const wire::Address&, wire::State& state) {
                  if (state.ifname.view() == ours) state.ifname = wire::InterfaceName{theirs};
                }};
  }

  /// A peer says a state, with so many seconds of age.
  void hold(const wire::State& state, Message message = Message::ins) {
    std::vector<std::uint8_t> room(1480);
    wire::PacketWriter writer{wire::Dialect::freebsd_1500, room};
    ASSERT_TRUE(writer.append_state(message, state));
    room.resize(writer.finish());
    session->on_packet(room, now);
  }
  void end(wire::StateId id) { static_cast<void>(session->erase(id, now)); }
  [[nodiscard]] std::optional<statetable::Snapshot> held(wire::StateId id) const { return table->reader().find(id); }
  [[nodiscard]] std::uint64_t count(Tally tally) const { return session->counters()[tally].value(); }

  std::unique_ptr<statetable::Table> table;
  OwnFacts facts;
  std::unique_ptr<Session> session;
  std::optional<Answerer> answerer;
  Instant now = t0;
  wire::Address repaired_for{};
  std::string refuses;       ///< what carry_out says
  std::string ours, theirs;  ///< a name of an interface here, and the peer's for it
};

/// Both engines, and the time between them.
class Pair {
 public:
  explicit Pair(std::size_t states_max = 10'000, unsigned shard_bits_there = 4)
      : here{1, states_max}, there{2, states_max, shard_bits_there} {}

  void pass(Duration time) {
    now += time;
    here.now = there.now = now;
  }

  /// `meanwhile`: what happens while the comparison waits for its second look. `between`: may spoil an answer.
  Findings compare(bool mend = false, const std::function<void()>& meanwhile = {},
                   const std::function<void(std::string&)>& between = {}) {
    pass(1s);  // the side that is asked walks only so often
    Comparison comparison{{.facts = here.facts, .seed = ++seed, .mend = mend}, *here.table, here.ground(), now};
    for (unsigned steps = 0; !comparison.is_done() && steps < 100'000; ++steps) {
      const auto seconds = [this] { return statetable::to_seconds(now); };
      if (const auto request = comparison.request(now, seconds())) {
        std::string answer = there.answerer->answer(*request, now, seconds());
        if (between) between(answer);
        comparison.answered(answer, now, seconds());
      } else if (!comparison.is_done()) {
        EXPECT_GT(comparison.due(), now);
        pass(comparison.due() - now);
        if (meanwhile) meanwhile();
      }
    }
    EXPECT_TRUE(comparison.is_done());
    return comparison.findings();
  }

  [[nodiscard]] bool are_equal() const { return here.table->digest() == there.table->digest(); }

  Engine here, there;
  Instant now = t0;
  std::uint64_t seed = 42;
};

[[nodiscard]] inline std::uint64_t of(const Findings& findings, Kind kind) {
  return findings.of_kind[static_cast<std::size_t>(kind)];
}

}  // namespace pfsync::engine::divergence
