// A node that lies, cuts short or floods: the comparison ends with a sentence, and the side that is asked does bounded
// work. Both know each other's keys, and still trust no byte.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <variant>

#include "tests/engine/divergence/divergence_engine.h"

namespace pfsync::engine::divergence {
namespace {

/// Lets the answer of one kind be another.
template <class T>
std::function<void(std::string&)> spoiled(std::function<void(T&)> spoil) {
  return [spoil = std::move(spoil)](std::string& answer) {
    auto decoded = std::get<Answer>(decode_answer(answer));
    if (auto* found = std::get_if<T>(&decoded)) {
      spoil(*found);
      answer = encode(decoded);
    }
  };
}

class HostileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (std::uint64_t id = 1; id <= 500; ++id) {
      pair.here.hold(tcp_state(id));
      if (id % 50 != 0) pair.there.hold(tcp_state(id));
    }
  }
  void expect_refused(const std::function<void(std::string&)>& between) {
    const auto digest = pair.here.table->digest();
    const Findings found = pair.compare(true, {}, between);
    EXPECT_EQ(found.failure, "the other node's answer is not one to what it was asked");
    EXPECT_EQ(found.mended_here, 0u);
    EXPECT_EQ(pair.here.table->digest(), digest);
  }
  Pair pair;
};

TEST_F(HostileTest, AnswersOfTheWrongSize) {
  expect_refused(spoiled<Begun>([](Begun& begun) { begun.sums.pop_back(); }));
  expect_refused(spoiled<Looked>([](Looked& looked) { looked.sums.push_back({}); }));
  expect_refused(spoiled<Fetched>([](Fetched& fetched) { fetched.states.pop_back(); }));
}

TEST_F(HostileTest, AnswersToAnotherQuestion) {
  expect_refused([](std::string& answer) { answer = encode(Answer{Mended{}}); });
  expect_refused(spoiled<Fetched>([](Fetched& fetched) { fetched.states[0] = tcp_state(77'777); }));
  expect_refused(spoiled<Listed>([](Listed& listed) {
    for (std::uint64_t id = 1; id < 1000; ++id) listed.entries.push_back({{id, peer_creatorid}, 1});
  }));
  expect_refused(spoiled<Listed>([](Listed& listed) { listed.buckets = buckets_max; }));
  expect_refused(spoiled<Listed>([](Listed& listed) { listed.entries.push_back(listed.entries.front()); }));
}

TEST_F(HostileTest, AnswersThatAreNone) {
  for (const char* text : {"", "pfdv", "<html>", "pfdv\x01\x09"}) {
    const Findings found = pair.compare(true, {}, [text](std::string& answer) { answer = text; });
    EXPECT_TRUE(found.failure.starts_with("the other node's answer: ")) << found.failure;
  }
}

TEST_F(HostileTest, AnswersThatAreCutShort) {
  unsigned cut = 0;
  const Findings found = pair.compare(true, {}, [&](std::string& answer) {
    if (++cut == 3) answer.resize(answer.size() / 2);
  });
  EXPECT_EQ(found.failure, "the other node's answer: the answer is cut short, too long or out of range");
}

TEST_F(HostileTest, AVersionOfTheFuture) {
  const Findings found = pair.compare(true, {}, [](std::string& answer) { answer[4] = 9; });
  EXPECT_NE(found.failure.find("version 9"), std::string::npos) << found.failure;
}

/// All differ always: the work that this makes has an end.
TEST_F(HostileTest, ALiarMakesNoMoreWorkThanThereIs) {
  Pair large;
  for (std::uint64_t id = 1; id <= 8000; ++id) {
    large.here.hold(tcp_state(id));
    if (id % 50 != 0) large.there.hold(tcp_state(id));
  }
  unsigned lies = 0;
  const Findings found = large.compare(true, {}, spoiled<Narrowed>([&](Narrowed& narrowed) {
                                         for (Sum& sum : narrowed.sums) ++sum;
                                         ++lies;
                                       }));
  EXPECT_EQ(lies, 1u);
  EXPECT_LE(found.requests, 10u);
  EXPECT_EQ(found.suspects, 160u);
  EXPECT_TRUE(large.are_equal());
}

TEST_F(HostileTest, WhatALiarRepairsKeepsToTheRules) {
  // It claims an older window, and a state that has ended here.
  pair.here.hold(
      [] {
        wire::State state = tcp_state(7);
        state.src.seqlo += 5000;
        return state;
      }(),
      Message::upd);
  pair.here.end({8, peer_creatorid});
  Repair old{.state = tcp_state(7)}, ended{.state = tcp_state(8)}, nobody{.state = tcp_state(9, 0)};
  std::vector<Repair> all{old, ended, nobody};
  EXPECT_EQ(pair.here.ground().carry_out({}, all), "");
  EXPECT_EQ(all[0].outcome, Repair::Outcome::taken) << "its other direction is equal, and taken as such";
  EXPECT_EQ(all[1].outcome, Repair::Outcome::ended);
  EXPECT_EQ(all[2].outcome, Repair::Outcome::refused);
  EXPECT_EQ(pair.here.held({7, peer_creatorid})->hot.src.seqlo, tcp_state(7).src.seqlo + 5000);
  EXPECT_FALSE(pair.here.held({8, peer_creatorid}));
}

TEST_F(HostileTest, WhoAsksIsAnsweredWithinBounds) {
  Answerer& asked = *pair.there.answerer;
  const auto ask = [&](const Request& request) {
    return std::get<Answer>(decode_answer(asked.answer(encode(request), pair.now, 0)));
  };
  pair.pass(1s);
  EXPECT_TRUE(std::holds_alternative<Refused>(ask(Narrow{1, 8, {0}}))) << "before it began";
  ASSERT_TRUE(std::holds_alternative<Begun>(ask(Begin{1, 12})));
  EXPECT_TRUE(std::holds_alternative<Refused>(ask(Begin{2, 12}))) << "a walk a moment ago";
  EXPECT_TRUE(std::holds_alternative<Refused>(ask(Narrow{2, 8, {0}}))) << "another's";
  EXPECT_TRUE(std::holds_alternative<Refused>(ask(Narrow{1, 16, {0}}))) << "below the last level";
  EXPECT_TRUE(std::holds_alternative<Refused>(ask(List{1, {1U << 12}})));
  EXPECT_TRUE(std::holds_alternative<Refused>(ask(List{1, {5, 6, 5}})));
  for (unsigned i = 0; i < Answerer::lists_max - 2; ++i)
    EXPECT_TRUE(std::holds_alternative<Listed>(ask(List{1, {5}}))) << i;
  while (std::holds_alternative<Listed>(ask(List{1, {5}}))) {
  }
  EXPECT_TRUE(std::holds_alternative<Refused>(ask(List{1, {5}}))) << "enough";
  EXPECT_TRUE(std::holds_alternative<Refused>(std::get<Answer>(decode_answer(asked.answer("nonsense", pair.now, 0)))));
  pair.pass(Answerer::kept);
  asked.tick(pair.now);
  EXPECT_TRUE(std::holds_alternative<Refused>(ask(Narrow{1, 8, {0}}))) << "forgotten";
}

TEST_F(HostileTest, ABucketOfTooManyIsRefusedWithinBounds) {
  Pair large{60'000};
  for (std::uint64_t id = 1; id <= 50'000; ++id) large.there.hold(tcp_state(id));
  std::size_t taken = 0;
  // 2^8 buckets of some 195.
  std::vector<std::uint32_t> buckets;
  for (std::uint32_t i = 0; i < 256; ++i) buckets.push_back(255 - i);
  const auto some = list_buckets(large.there.table->reader(), 1, 8, buckets, 1000, taken);
  ASSERT_TRUE(some);
  EXPECT_GE(taken, 3u);
  EXPECT_LE(some->size(), 1000u);
  for (const Entry& entry : *some) EXPECT_GE(bucket_of(entry.id, 1, 8), 256 - taken);
  std::size_t all = 0;
  EXPECT_EQ(list_buckets(large.there.table->reader(), 1, 8, buckets, 100'000, all)->size(), 50'000u);
  EXPECT_EQ(all, 256u);
  EXPECT_FALSE(list_buckets(large.there.table->reader(), 1, 8, buckets, 10, taken));
}

TEST(MessageTest, EverythingReadsAsItWasWritten) {
  wire::State state = tcp_state(1);
  state.tag = wire::TagName{"tag"};
  state.rtableid = {-1, 3};
  state.stack_af = wire::Family::inet6;
  const std::vector<Answer> answers{
      Begun{wire::Family::inet6, {{0xfd}}, 1000, 5, {1, 2, ~Sum{0}}},
      Narrowed{{7}},
      Listed{3, {{{1, 2}, 3}}},
      Looked{{Sum{4}, std::nullopt}},
      Fetched{{state, std::nullopt}},
      Mended{{Repair::Outcome::taken, Repair::Outcome::refused}},
      Refused{"why"},
  };
  for (const Answer& answer : answers) EXPECT_EQ(std::get<Answer>(decode_answer(encode(answer))), answer);
  const std::vector<Request> requests{Begin{9, 20}, Narrow{9, 16, {65'535}}, List{9, {1}}, Look{{{1, 2}}},
                                      Fetch{{}, {{3, 4}}}};
  for (const Request& request : requests) {
    const auto read = std::get<Request>(decode_request(encode(request)));
    EXPECT_EQ(encode(read), encode(request));
    EXPECT_EQ(read.index(), request.index());
  }
  const Mend mend{{{10, 0, 0, 1}}, {{.state = state}, {.kind = Repair::Kind::ended, .state = {.id = {5, 6}}}}};
  const auto read = std::get<Mend>(std::get<Request>(decode_request(encode(Request{mend}))));
  EXPECT_EQ(read.from, mend.from);
  ASSERT_EQ(read.repairs.size(), 2u);
  EXPECT_EQ(read.repairs[0].state, state);
  EXPECT_EQ(read.repairs[1].kind, Repair::Kind::ended);
  EXPECT_EQ(read.repairs[1].state.id, (wire::StateId{5, 6}));
}

TEST(MessageTest, EveryPrefixIsRefused) {
  const std::string whole = encode(Request{Mend{{}, {{.state = tcp_state(1)}}}});
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_TRUE(std::holds_alternative<std::string>(decode_request(std::string_view{whole}.substr(0, size)))) << size;
  EXPECT_TRUE(std::holds_alternative<std::string>(decode_request(whole + "x")));
}

TEST(MessageTest, WhatIsOutOfRangeIsRefused) {
  const auto refuses = [](wire::State state) {
    return std::holds_alternative<std::string>(decode_request(encode(Request{Mend{{}, {{.state = state}}}})));
  };
  wire::State state = tcp_state(1);
  EXPECT_FALSE(refuses(state));
  state.id.creatorid = 0;
  EXPECT_TRUE(refuses(state));
  state = tcp_state(1);
  state.af = wire::Family{5};
  EXPECT_TRUE(refuses(state));
  state = tcp_state(1);
  state.src.state = 99;
  EXPECT_TRUE(refuses(state));
  state = tcp_state(1);
  state.timeout = pftm_max;
  EXPECT_TRUE(refuses(state));
  for (const std::uint8_t bits : {std::uint8_t{0}, std::uint8_t{7}, std::uint8_t{21}})
    EXPECT_TRUE(std::holds_alternative<std::string>(decode_request(encode(Request{Begin{1, bits}}))));
}

}  // namespace
}  // namespace pfsync::engine::divergence
