// IPsec counters: kept, told to the other peers, never back.
#include <atomic>
#include <map>
#include <thread>

#include "tests/engine/session/session_hub.h"

namespace pfsync::engine {
namespace {

using statetable::Hash;
using statetable::Seconds;
using wire::Tdb;

Tdb tdb_of(std::uint32_t spi, std::uint64_t rpl) {
  return {.spi = spi,
          .af = wire::Family::inet,
          .dst = wire::ipv4_address(192, 0, 2, 7),
          .rpl = rpl,
          .cur_bytes = rpl * 100,
          .sproto = 50};
}

class TdbTableTest : public ::testing::Test {
 protected:
  TdbTable::Result hear(const Tdb& tdb, Seconds now_s) {
    return table.hear(tdb, statetable::hash_of(hashed_id(tdb), 0), now_s);
  }
  std::map<std::uint32_t, Tdb> held(Seconds now_s) const {
    std::map<std::uint32_t, Tdb> all;
    for (std::size_t place = 0; place < table.places(); ++place) {
      const auto entry = table.read(place, now_s);
      if (entry) all.emplace(entry->tdb.spi, entry->tdb);
    }
    EXPECT_EQ(all.size(), table.size(now_s)) << "each SA once";
    return all;
  }
  TdbTable table{64};
};

TEST_F(TdbTableTest, CountersOnlyGrow) {
  EXPECT_EQ(hear(tdb_of(1000, 5), 100).heard, TdbTable::Heard::news);
  EXPECT_EQ(hear(tdb_of(1000, 5), 101).heard, TdbTable::Heard::nothing_new);
  EXPECT_EQ(hear(tdb_of(1000, 4), 102).heard, TdbTable::Heard::older);
  Tdb half = tdb_of(1000, 6);
  half.cur_bytes = 1;
  EXPECT_EQ(hear(half, 103).heard, TdbTable::Heard::older);
  EXPECT_EQ(hear(tdb_of(1000, 6), 104).heard, TdbTable::Heard::news);
  EXPECT_EQ(held(104), (std::map<std::uint32_t, Tdb>{{1000, tdb_of(1000, 6)}}));
}

TEST_F(TdbTableTest, AnSaThatBeginsAnewIsBelievedAfterAMinute) {
  EXPECT_EQ(hear(tdb_of(1000, 500), 100).heard, TdbTable::Heard::news);
  for (Seconds at = 110; at <= 160; at += 10) EXPECT_EQ(hear(tdb_of(1000, 1), at).heard, TdbTable::Heard::older);
  EXPECT_EQ(hear(tdb_of(1000, 1), 161).heard, TdbTable::Heard::news);
  EXPECT_EQ(held(161).at(1000).rpl, 1u);
}

TEST_F(TdbTableTest, WhatTellsSasApart) {
  std::vector<Tdb> all(6, tdb_of(1000, 1));
  all[1].spi = 1001;
  all[2].sproto = 51;
  all[3].rdomain = 2;
  all[4].dst = wire::ipv4_address(192, 0, 2, 8);
  all[5].af = wire::Family::inet6;
  for (const Tdb& tdb : all) EXPECT_EQ(hear(tdb, 100).heard, TdbTable::Heard::news);
  EXPECT_EQ(table.size(100), all.size());
}

TEST_F(TdbTableTest, ASetThatIsFullForgetsTheOneUnheardLongest) {
  std::size_t displaced = 0;
  for (std::uint32_t i = 0; i < 1000; ++i) displaced += hear(tdb_of(1000 + i, 1), static_cast<Seconds>(i)).displaced;
  EXPECT_EQ(table.places(), 64u);
  EXPECT_EQ(table.size(1000), 64u);
  EXPECT_EQ(displaced, 1000u - 64u);
  // Whatever set the last eight are in, it holds its newest eight.
  for (std::uint32_t i = 992; i < 1000; ++i) EXPECT_TRUE(held(1000).contains(1000 + i));
  EXPECT_EQ(
      table.size(TdbTable::forgotten_after_s + 500), 64u - [&] {
        std::size_t old = 0;
        for (std::size_t place = 0; place < table.places(); ++place) old += table.read(place, 1000)->heard_s < 500;
        return old;
      }());
  EXPECT_FALSE(hear(tdb_of(5000, 1), TdbTable::forgotten_after_s + 2000).displaced)
      << "nobody misses what was forgotten anyway";
}

TEST_F(TdbTableTest, ReadersSeeWholeEntries) {
  const auto is_whole = [](const std::optional<TdbTable::Entry>& entry) {
    return !entry || entry->tdb.cur_bytes == entry->tdb.rpl * 100;
  };
  std::atomic<bool> stop{false};
  std::thread reader{[&] {
    while (!stop.load())
      for (std::size_t place = 0; place < table.places(); ++place) ASSERT_TRUE(is_whole(table.read(place, 0)));
  }};
  for (std::uint64_t rpl = 1; rpl < 20000; ++rpl) static_cast<void>(hear(tdb_of(1000, rpl), 0));
  stop.store(true);
  reader.join();
  EXPECT_EQ(held(0).at(1000).rpl, 19999u);
}

class TdbRelay : public Hub {
 protected:
  void tdb_from(unsigned peer, const Tdb& tdb, Instant now, Dialect dialect) {
    from(
        peer, now, [&](wire::PacketWriter& writer) { ASSERT_TRUE(writer.append_tdb(tdb)); }, dialect);
  }
  std::vector<Tdb> told_tdbs(unsigned peer, Instant now) {
    std::vector<Tdb> all;
    std::vector<std::uint8_t> room(1480);
    while (const std::size_t bytes = session->transmit(peer, room, now)) {
      wire::PacketReader reader{wire::Bytes{room}.first(bytes)};
      for (wire::Section section; reader.next(section);)
        for (std::size_t i = 0; i < section.count; ++i)
          if (section.action->message == Message::tdb)
            all.push_back(wire::read_tdb(section.action->layout, section.record(i)));
    }
    return all;
  }
  void make_three() {
    make_hub({{.dialect = Dialect::openbsd}, {.dialect = Dialect::openbsd}, {.dialect = Dialect::freebsd_1400}});
  }
};

TEST_F(TdbRelay, GoesToTheOthersOnceAndNeverBack) {
  make_three();
  for (std::uint64_t rpl = 1; rpl <= 20; ++rpl) tdb_from(0, tdb_of(1000, rpl), t0, Dialect::openbsd);
  EXPECT_EQ(session->queued(), 2u);
  EXPECT_EQ(told_tdbs(0, t0 + 1s), std::vector<Tdb>{});
  EXPECT_EQ(told_tdbs(1, t0 + 1s), std::vector<Tdb>{tdb_of(1000, 20)});
  EXPECT_EQ(told_tdbs(2, t0 + 1s), std::vector<Tdb>{tdb_of(1000, 20)});
  EXPECT_EQ(session->queued(), 0u);
  // What says nothing new goes no further, so that nothing can go round.
  tdb_from(1, tdb_of(1000, 20), t0 + 2s, Dialect::openbsd);
  tdb_from(1, tdb_of(1000, 19), t0 + 2s, Dialect::openbsd);
  EXPECT_EQ(session->queued(), 0u);
  EXPECT_EQ(count(Reject::badstate), 1u);
  EXPECT_EQ(count(Tally::tdbs), 21u);
  // It can be said again.
  tdb_from(2, tdb_of(1000, 21), t0 + 3s, Dialect::freebsd_1400);
  EXPECT_EQ(told_tdbs(0, t0 + 4s), std::vector<Tdb>{tdb_of(1000, 21)});
}

TEST_F(TdbRelay, IsNotSaidWhereHalfOfItWouldBeAnother) {
  make_three();
  Tdb wide = tdb_of(1000, 0x1'0000'0001u), domain = tdb_of(2000, 7);
  domain.rdomain = 3;
  tdb_from(0, wide, t0, Dialect::openbsd);
  tdb_from(0, domain, t0, Dialect::openbsd);
  EXPECT_EQ(told_tdbs(1, t0 + 1s), (std::vector<Tdb>{wide, domain}));
  EXPECT_EQ(told_tdbs(2, t0 + 1s), std::vector<Tdb>{});
  EXPECT_EQ(session->queued(), 0u);
  EXPECT_EQ(session->counters().lost.fields[static_cast<std::size_t>(wire::Field::tdb_rpl)].value(), 1u);
  EXPECT_EQ(session->counters().lost.fields[static_cast<std::size_t>(wire::Field::tdb_rdomain)].value(), 1u);
}

TEST_F(TdbRelay, AFullPacketsWorthAndMoreGoesOutWhole) {
  make_three();
  std::size_t total = 0;
  for (std::uint32_t i = 0; i < 200; ++i) tdb_from(0, tdb_of(1000 + i, 1), t0, Dialect::openbsd);
  for (unsigned peer = 1; peer <= 2; ++peer) total += told_tdbs(peer, t0 + 1s).size();
  EXPECT_EQ(total, 400u);
}

TEST_F(TdbRelay, ASharedPeerIsToldAllOnTakingOver) {
  std::vector<PeerConfig> peers(2, {.dialect = Dialect::openbsd});
  peers[1].is_shared = true;
  make_hub(peers);
  tdb_from(0, tdb_of(1000, 1), t0, Dialect::openbsd);
  tdb_from(0, tdb_of(1001, 1), t0 + 60s, Dialect::openbsd);
  EXPECT_EQ(told_tdbs(1, t0 + 61s), std::vector<Tdb>{});
  session->set_active(1, true, t0 + 61s);
  EXPECT_EQ(told_tdbs(1, t0 + 62s).size(), 2u);
}

}  // namespace
}  // namespace pfsync::engine
