#include "engine/session/bulk_sender.h"

#include <algorithm>
#include <map>

#include "tests/engine/session/session_fixture.h"

namespace pfsync::engine {
namespace {

using wire::BulkStatus;
using wire::Dialect;

/// A part of what a bulk update says: a state, or where it stands.
struct Part {
  Instant at;
  std::optional<BulkStatus> status{};
  std::uint64_t id = 0;
};

class Bulk : public SessionTest {
 protected:
  void make_table(std::uint64_t states) {
    make({.request_bulk = false}, nullptr, 20000);
    for (std::uint64_t id = 1; id <= states; ++id) receive_state(Message::ins, tcp_state(id));
  }
  void make_sender(std::uint64_t states_per_s, Dialect dialect = Dialect::freebsd_1301) {
    sender.emplace(BulkSenderConfig{.creatorid = own_creatorid, .dialect = dialect, .states_per_s = states_per_s},
                   *table, &gate);
  }
  /// One packet, if one is due.
  bool send(Instant now) {
    std::vector<std::uint8_t> room(1480);
    const std::size_t bytes = sender->transmit(room, now);
    if (bytes == 0) return false;
    gate.frame_handed_over();
    wire::PacketReader reader{wire::Bytes{room}.first(bytes)};
    for (wire::Section section; reader.next(section);)
      for (std::size_t i = 0; i < section.count; ++i) {
        const Message message = section.action->message;
        if (message == Message::bus) {
          EXPECT_EQ(i, 0u) << "nobody looks at the second BUS of a section";
          said.push_back({now, wire::read_bulk_status(section.record(i))});
        } else if (message == Message::upd) {
          said.push_back({now, std::nullopt, wire::read_id(message, section.action->layout, section.record(i)).id});
        }
      }
    EXPECT_FALSE(reader.reject());
    return true;
  }
  /// Until the bulk is over or the time is.
  void run(Instant from, Instant until) {
    for (Instant now = from; now < until && sender->running(); now += 1ms)
      while (send(now)) {
      }
  }
  /// How often each state was said from a place on.
  [[nodiscard]] std::map<std::uint64_t, int> times(std::size_t from = 0) const {
    std::map<std::uint64_t, int> counts;
    for (std::size_t i = from; i < said.size(); ++i)
      if (!said[i].status) ++counts[said[i].id];
    return counts;
  }
  [[nodiscard]] std::vector<std::size_t> places_of(std::uint8_t status) const {
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < said.size(); ++i)
      if (said[i].status && said[i].status->status == status) places.push_back(i);
    return places;
  }
  [[nodiscard]] std::vector<std::size_t> starts() const { return places_of(BulkStatus::start); }
  [[nodiscard]] std::vector<std::size_t> ends() const { return places_of(BulkStatus::end); }
  /// Whether FreeBSD takes the END for an answer to what it asked at that time. Both count whole seconds.
  [[nodiscard]] bool answers(std::size_t place, Instant asked) const {
    return statetable::to_seconds(said[place].at) - static_cast<Seconds>(said[place].status->endtime_s) >=
           statetable::to_seconds(asked);
  }

  BulkGate gate;
  std::optional<BulkSender> sender;
  std::vector<Part> said;
};

TEST_F(Bulk, TcpThatHasLastedGoesFirstAndEachStateOnce) {
  make({.request_bulk = false}, nullptr, 4000);
  std::map<std::uint64_t, int> all;
  for (std::uint64_t id = 1; id <= 300; ++id) {
    wire::State state = id % 3 == 0 ? udp_state(id) : tcp_state(id);
    state.creation_s = id % 2 == 0 ? 3600 : 59;
    state.expire_s = 3600;
    receive_state(Message::ins, state);
    all[id] = 1;
  }
  make_sender(0);
  sender->start(t0);
  run(t0, t0 + 1s);
  EXPECT_EQ(times(), all);
  const auto has_lasted = [](std::uint64_t id) { return id % 2 == 0 && id % 3 != 0; };
  std::size_t first = 0;
  for (const Part& one : said) {
    if (one.status) continue;
    ASSERT_EQ(has_lasted(one.id), first < 100) << "state " << one.id << " at " << first;
    ++first;
  }
}

TEST_F(Bulk, WhatWaitsOutItsGraceIsGivenToNobody) {
  make_table(2);
  receive_state(Message::ins, udp_state(3));  // 30 s
  make_sender(0);
  const auto given = [&](Instant now) {
    const std::size_t before = said.size();
    sender->start(now);
    run(now, now + 1s);
    EXPECT_TRUE(held(udp_state(3).id));
    return times(before).contains(3);
  };
  EXPECT_TRUE(given(t0 + 29s));
  EXPECT_FALSE(given(t0 + 31s)) << "it would go round among those who ask for all while it is in nobody's use";
}

TEST_F(Bulk, AStateIsSentOnceThoughItsConnectionOpensAndClosesMeanwhile) {
  make_table(0);
  for (std::uint64_t id = 1; id <= 20; ++id) {
    wire::State state = tcp_state(id);
    state.creation_s = id <= 10 ? 3600 : 0;
    state.src.state = state.dst.state = id <= 10 ? wire::tcps::established : wire::tcps::syn_sent;
    receive_state(Message::ins, state);
  }
  make_sender(0);
  sender->start(t0);
  ASSERT_TRUE(send(t0));  // some of the old ones
  for (std::uint64_t id = 1; id <= 20; ++id) {
    wire::Update update = update_of(tcp_state(id));
    update.src.state = update.dst.state = id <= 10 ? wire::tcps::fin_wait_2 : wire::tcps::established;
    receive_update(update);
  }
  run(t0, t0 + 1s);
  const auto counts = times();
  EXPECT_EQ(counts.size(), 20u);
  for (const auto& [id, count] : counts) EXPECT_EQ(count, 1) << id;
}

TEST_F(Bulk, WhoAsksAgainGetsTheRestAndThenWhatWentBefore) {
  make_table(1000);
  make_sender(100);
  sender->start(t0);
  run(t0, t0 + 4s);
  const std::size_t before = said.size();
  ASSERT_GT(before, 400u);
  ASSERT_LT(before, 420u);
  sender->start(t0 + 4s);  // it came up again, without memory
  EXPECT_EQ(sender->requests_merged(), 1u);
  run(t0 + 4s, t0 + 60s);
  EXPECT_FALSE(sender->running());
  EXPECT_EQ(sender->bulks_served(), 2u);
  EXPECT_EQ(times(before).size(), 1000u) << "all of them since it asked again";
  for (const auto& [id, count] : times(before)) EXPECT_EQ(count, 1) << id;
  EXPECT_LT(said.back().at, t0 + 15s) << "in 4 s + 10 s, not 4 s + 10 s + 10 s";
  EXPECT_EQ(starts(), (std::vector<std::size_t>{0, before}));
  ASSERT_EQ(ends().size(), 2u);
  EXPECT_TRUE(answers(ends()[0], t0));
  EXPECT_FALSE(answers(ends()[0], t0 + 4s)) << "it lacks what went before it asked";
  EXPECT_TRUE(answers(ends()[1], t0 + 4s));
  const auto true_age = std::chrono::duration_cast<std::chrono::seconds>(said[ends()[1]].at - (t0 + 4s));
  EXPECT_EQ(said[ends()[1]].status->endtime_s, true_age.count());
}

TEST_F(Bulk, APeerThatAsksEveryFiveSecondsGetsAllAndAnEnd) {
  make_table(2000);
  make_sender(100);  // 20 s, if nobody asks meanwhile
  for (Instant asked = t0; asked < t0 + 60s; asked += 5s) {
    sender->start(asked);
    run(asked, asked + 5s);
    if (times().size() == 2000 && !ends().empty()) break;
  }
  EXPECT_EQ(times().size(), 2000u);
  ASSERT_FALSE(ends().empty());
  EXPECT_LT(said[ends()[0]].at, t0 + 21s);
  // A kernel does not renew the time of its request when it repeats it.
  EXPECT_TRUE(answers(ends()[0], t0));
}

TEST_F(Bulk, OpenBsdIsToldTheEndOfItsLastRequestOnly) {
  make_table(1000);
  make_sender(100, Dialect::openbsd);
  sender->start(t0);
  run(t0, t0 + 4s);
  const std::size_t before = said.size();
  sender->start(t0 + 4s);
  run(t0 + 4s, t0 + 60s);
  EXPECT_EQ(starts().size(), 2u);
  ASSERT_EQ(ends().size(), 1u);  // it does not look at the age, and would take the first for its own
  EXPECT_EQ(times(before).size(), 1000u);
  EXPECT_EQ(ends()[0], said.size() - 1);
}

TEST_F(Bulk, WhoAsksAgainAndAgainKeepsNobodyFromTheEnd) {
  for (const Dialect dialect : {Dialect::openbsd, Dialect::freebsd_1301}) {
    SCOPED_TRACE(dialect == Dialect::openbsd ? "OpenBSD's version" : "FreeBSD's version");
    make_table(1000);
    make_sender(100, dialect);  // a lap takes 10 s
    said.clear();
    std::vector<Instant> asked;
    for (Instant now = t0; now < t0 + 90s; now += 500ms) {
      sender->start(now);
      asked.push_back(now);
      run(now, now + 500ms);
    }
    ASSERT_FALSE(ends().empty());
    EXPECT_LT(said[ends()[0]].at, t0 + 21s) << "after one added lap";
    // Each of them as if its host had asked that once: OpenBSD looks at no END before a START, and at no age after it.
    for (const Instant when : asked) {
      if (when >= t0 + 55s) break;
      SCOPED_TRACE(std::chrono::duration_cast<std::chrono::milliseconds>(when - t0).count());
      const auto is_met = [&](std::size_t place) {
        return said[place].at >= when && (dialect == Dialect::openbsd || answers(place, when));
      };
      const auto all_starts = starts(), all_ends = ends();
      const auto start = std::ranges::find_if(all_starts, [&](std::size_t place) { return said[place].at >= when; });
      ASSERT_NE(start, all_starts.end());
      const auto end =
          std::ranges::find_if(all_ends, [&](std::size_t place) { return place > *start && is_met(place); });
      ASSERT_NE(end, all_ends.end());
      EXPECT_LT(said[*end].at, when + 32s);
      EXPECT_TRUE(answers(*end, when)) << "its age says more than the truth";
      if (dialect != Dialect::openbsd) continue;  // whose END counts whole seconds
      std::map<std::uint64_t, int> got;
      for (std::size_t i = *start; i < *end; ++i)
        if (!said[i].status) ++got[said[i].id];
      EXPECT_EQ(got.size(), 1000u);
    }
  }
}

TEST_F(Bulk, RequestsWithinASecondAreAnsweredTogether) {
  make_table(10);
  make_sender(0);
  for (Instant now = t0; now < t0 + 10s; now += 10ms) {
    sender->start(now);
    while (send(now)) {
    }
  }
  run(t0 + 10s, t0 + 12s);
  EXPECT_FALSE(sender->running());
  EXPECT_LE(starts().size(), 11u);
  EXPECT_GE(starts().size(), 10u);
  for (const auto& [id, count] : times()) EXPECT_LE(count, 12) << id;
  // The last of them is not forgotten.
  EXPECT_TRUE(answers(ends().back(), t0 + 10s - 10ms));
}

TEST_F(Bulk, TellsHowFarItIs) {
  make_table(1000);
  make_sender(100);
  EXPECT_EQ(sender->taking(t0), Duration::zero());
  sender->start(t0);
  EXPECT_EQ(sender->states_total(), 1000u);
  run(t0, t0 + 5s);
  EXPECT_EQ(sender->taking(t0 + 5s), 5s);
  EXPECT_NEAR(static_cast<double>(sender->states_sent()), 500, 10);
  sender->start(t0 + 5s);
  run(t0 + 5s, t0 + 6s);
  EXPECT_NEAR(static_cast<double>(sender->states_total()), 1500, 10);
  run(t0 + 6s, t0 + 60s);
  EXPECT_NEAR(static_cast<double>(sender->states_sent()), 1500, 10);
  EXPECT_GE(sender->taking(t0 + 60s), 14s);
  EXPECT_LE(sender->taking(t0 + 60s), 16s);
}

}  // namespace
}  // namespace pfsync::engine
