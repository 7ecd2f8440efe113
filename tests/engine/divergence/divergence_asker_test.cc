// Comparisons on their thread, and the door on those of a listener.
#include "engine/divergence/asker.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>
#include <variant>
#include <vector>

#include "tests/engine/divergence/divergence_engine.h"

namespace pfsync::engine::divergence {
namespace {

constexpr std::chrono::seconds patience{30};

class AskerTest : public ::testing::Test {
 protected:
  static Instant now() { return t0 + std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now() - started); }
  void SetUp() override {
    here.facts.delay_ms = 1;
    door.set_delay(1);
    for (std::uint64_t id = 1; id <= 100; ++id) {
      here.hold(tcp_state(id));
      if (id != 7) there.hold(tcp_state(id));
    }
  }
  Ask by_door() {
    return [this](const std::string& request) -> std::variant<std::string, Unasked> {
      ++asked;
      return door.answer(request);
    };
  }
  /// What the order came to.
  static Json last_of(const Asker& asker, std::uint64_t order) {
    const auto until = std::chrono::steady_clock::now() + patience;
    while (std::chrono::steady_clock::now() < until) {
      const Json status = asker.status(true);
      if (const Json& last = status["last"]; !last.is_null() && last["order"].get<std::uint64_t>() >= order)
        return last;
      std::this_thread::sleep_for(10ms);
    }
    ADD_FAILURE() << "the comparison came to no end: " << asker.status(false).dump();
    return Json::object();
  }

  static inline const auto started = std::chrono::steady_clock::now();
  Engine here{1}, there{2};
  std::atomic<unsigned> asked{0};
  Door door{there.facts, there.table->reader(), there.ground(), now};
};

TEST_F(AskerTest, ComparesWhenOrdered) {
  Asker asker{{.facts = here.facts}, *here.table, here.ground(), by_door(), now};
  EXPECT_TRUE(asker.status(false)["last"].is_null());
  const auto first = asker.order(false);
  ASSERT_TRUE(first);
  EXPECT_FALSE(asker.order(true)) << "one is under way";
  const Json found = last_of(asker, *first);
  EXPECT_TRUE(found["error"].is_null());
  EXPECT_EQ(found["only_here"], 1);
  EXPECT_EQ(found["differences"].size(), 1u);
  EXPECT_EQ(found["differences"][0]["there"], nullptr);
  const auto second = asker.order(true);
  ASSERT_TRUE(second);
  EXPECT_EQ(last_of(asker, *second)["mended_there"], 1);
  EXPECT_TRUE(there.held({7, peer_creatorid}));
  EXPECT_EQ(asker.totals().comparisons, 2u);
  EXPECT_EQ(asker.totals().mended, 1u);
  const auto lines = asker.take_lines();
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].sentence, "of 100 states here and 99 there 1 differs");
  EXPECT_TRUE(lines[0].warning);
  EXPECT_TRUE(asker.take_lines().empty());
  EXPECT_EQ(door.requests(), asked);
}

TEST_F(AskerTest, TroubleStandsUntilNothingIsLeft) {
  std::atomic<bool> is_away{false};
  const Ask ask = [&](const std::string& request) -> std::variant<std::string, Unasked> {
    if (is_away) return Unasked{"it is not there"};
    return by_door()(request);
  };
  Asker asker{{.facts = here.facts}, *here.table, here.ground(), ask, now};
  EXPECT_TRUE(asker.status(false)["trouble"].is_null());
  static_cast<void>(last_of(asker, *asker.order(false)));
  const Json trouble = asker.status(false)["trouble"];
  ASSERT_TRUE(trouble.is_string());
  EXPECT_NE(trouble.get<std::string>().find("(1 only here, 0 only there)"), std::string::npos) << trouble;
  EXPECT_EQ(asker.status(false)["trouble_peer"], "10.0.0.2");
  EXPECT_FALSE(asker.take_agreement());
  is_away = true;
  EXPECT_EQ(last_of(asker, *asker.order(true))["error"], "it is not there");
  EXPECT_EQ(asker.status(false)["trouble"], trouble) << "nothing new is known";
  is_away = false;
  static_cast<void>(last_of(asker, *asker.order(true)));
  EXPECT_TRUE(asker.status(false)["trouble"].is_null());
  EXPECT_EQ(asker.take_agreement(), there.facts.address);
  EXPECT_FALSE(asker.take_agreement()) << "told once";
}

TEST(TroubleTest, IsWhatIsLeft) {
  Findings found;
  found.family = wire::Family::inet;
  found.peer = wire::ipv4_address(10, 0, 0, 4);
  EXPECT_EQ(trouble_of(found, false), "");
  found.of_kind[static_cast<std::size_t>(Kind::only_there)] = 2;
  EXPECT_EQ(trouble_of(found, false),
            "2 states differ from those of the paired engine 10.0.0.4 (0 only here, 2 only there), as the last "
            "comparison found: pfsyncctl diff shows them, pfsyncctl diff --repair mends them");
  found.mended_here = 2;
  EXPECT_EQ(trouble_of(found, true), "");
  found.mended_here = found.unclear = 1;
  EXPECT_TRUE(trouble_of(found, true).starts_with("1 state differs from those of the paired engine 10.0.0.4 after a"));
  found.failure = "so many states differ";
  EXPECT_EQ(trouble_of(found, true), "") << "it came to no end";
  found.is_too_much = true;
  EXPECT_NE(trouble_of(found, true).find("pfsyncctl resync --full"), std::string::npos);
}

TEST_F(AskerTest, ComparesFromTimeToTimeAndMendsNothing) {
  Asker asker{{.facts = here.facts, .every = 1s}, *here.table, here.ground(), by_door(), now};
  EXPECT_EQ(last_of(asker, 2)["repair"], false);
  EXPECT_FALSE(there.held({7, peer_creatorid}));
  asker.set({.facts = here.facts, .every = 0s});
  EXPECT_EQ(asker.status(false)["every_s"], 0);
}

TEST_F(AskerTest, WhyTheOtherNodeDoesNotAnswerIsTheFailure) {
  Asker asker{{.facts = here.facts},
              *here.table,
              here.ground(),
              [](const std::string&) -> std::variant<std::string, Unasked> { return Unasked{"it is not there"}; },
              now};
  EXPECT_EQ(last_of(asker, *asker.order(false))["error"], "it is not there");
  EXPECT_EQ(asker.totals().failures, 1u);
}

TEST_F(AskerTest, EndsAmidAComparison) {
  {
    Asker asker{{.facts = {.delay_ms = 60'000}}, *here.table, here.ground(), by_door(), now};
    ASSERT_TRUE(asker.order(true));
    const auto until = std::chrono::steady_clock::now() + patience;
    while (asker.status(false)["running"] != "settle" && std::chrono::steady_clock::now() < until)
      std::this_thread::sleep_for(1ms);
    EXPECT_EQ(asker.status(false)["running"], "settle");
  }
  EXPECT_FALSE(there.held({7, peer_creatorid}));
}

/// Several threads of a listener, and whoever looks after it: one request at a time.
TEST_F(AskerTest, TheDoorTakesManyThreads) {
  std::atomic<bool> over{false};
  std::thread keeper{[&] {
    while (!over) door.tick();
  }};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (unsigned j = 0; j < 50; ++j)
        EXPECT_TRUE(std::holds_alternative<Looked>(
            std::get<Answer>(decode_answer(door.answer(encode(Request{Look{{{1, peer_creatorid}}}}))))));
    });
  for (std::thread& thread : threads) thread.join();
  over = true;
  keeper.join();
  EXPECT_EQ(door.requests(), 200u);
}

}  // namespace
}  // namespace pfsync::engine::divergence
