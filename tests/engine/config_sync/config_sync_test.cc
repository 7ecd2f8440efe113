// Both sides of configuration synchronization against each other, without a network or a clock; and pairing.
#include <gtest/gtest.h>

#include <utility>

#include "engine/config_sync/faults.h"
#include "engine/config_sync/pairing.h"
#include "engine/config_sync/receiver.h"
#include "engine/config_sync/sender.h"
#include "engine/config_sync/store.h"
#include "engine/xmlrpc/codec.h"
#include "tests/engine/config_sync/config_sync_store.h"

namespace pfsync::engine::config_sync {
namespace {

using std::chrono::seconds;
using test::MemoryFiles;
using test::put;
using test::revision;
using xmlrpc::Fault;
using xmlrpc::Value;

// --- both sides --------------------------------------------------------------------------------------

const std::string id_a(32, 'a'), id_b(32, 'b');

/// A secondary, whose daemon is a list of what was applied.
struct Secondary {
  explicit Secondary(Settings settings = {.role = Role::secondary}) : settings_{std::move(settings)} { start(); }
  void start() {
    store.emplace(files);
    static_cast<void>(store->load());
    receiver.emplace(settings_, Identity{.node_id = id_b}, *store,
                     Ground{.check = [this](const Sections&, std::vector<std::string>&) { return problem; },
                            .apply = [this](const Sections* sections) -> std::optional<std::string> {
                              if (!refusal.empty()) return refusal;
                              applied = sections == nullptr ? Sections{} : *sections;
                              ++applications;
                              return std::nullopt;
                            }},
                     audit);
  }
  Receiver::Answer call(const xmlrpc::Call& call, Instant now) {
    // Through the wire's form, as between two machines.
    const auto decoded = xmlrpc::decode_call(xmlrpc::encode_call(call.method, call.params));
    return receiver->call(std::get<xmlrpc::Call>(decoded), now, 100);
  }
  Settings settings_;
  MemoryFiles files;
  std::optional<Store> store;
  Audit audit;
  std::optional<Receiver> receiver;
  std::optional<Problem> problem;
  std::string refusal;
  Sections applied;
  int applications = 0;
};

/// A primary and the way to its secondary.
struct Pair {
  explicit Pair(Settings settings = {.role = Role::secondary}, unsigned confirm_s = 10)
      : secondary{std::move(settings)}, sender{id_a, "pfsyncd", confirm_s} {}

  [[nodiscard]] Value hello() const {
    return Value{
        Value::Struct{{"node_id", id_a}, {"cluster_id", "pfsyncd"}, {"proto", 1}, {"role", "primary"}, {"epoch", "1"}}};
  }
  /// One step. False: there is none now.
  bool step() {
    const Sender::Step step = sender.step(now);
    if (step == Sender::Step::none) return false;
    steps.push_back(step);
    if (step == Sender::Step::apply) {
      sender.applied(applies, now);
      return true;
    }
    if (!reachable || steps.size() == lost_at) {
      sender.done(step, Sender::Lost{"no answer"}, now);
      return true;
    }
    const Receiver::Answer answer = secondary.call(sender.call(step, hello()), now);
    if (const auto* fault = std::get_if<Fault>(&answer))
      sender.done(step, *fault, now);
    else
      sender.done(step, std::get<Value>(answer), now);
    return true;
  }
  void run() {
    for (int i = 0; i < 20 && step(); ++i) {
    }
  }
  void wait(std::chrono::milliseconds time) {
    now += time;
    secondary.receiver->tick(now, 100);
    run();
  }
  Secondary secondary;
  Sender sender;
  Instant now{};
  bool reachable = true, applies = true;
  std::size_t lost_at = 0;
  std::vector<Sender::Step> steps;
};

using Step = Sender::Step;

TEST(ConfigSync, TheOtherStagesThenWeApplyThenItCommits) {
  Pair pair;
  const Revision first = revision(1).revision;
  pair.sender.offer(first, false, pair.now);
  pair.run();
  EXPECT_EQ(pair.steps, (std::vector{Step::hello, Step::stage, Step::apply, Step::commit, Step::confirm}));
  EXPECT_TRUE(pair.sender.is_in_sync());
  EXPECT_EQ(pair.secondary.applied, first.sections);
  EXPECT_EQ(pair.secondary.store->current()->revision.digest(), first.digest());
  EXPECT_FALSE(pair.secondary.store->is_pending());
  pair.wait(Sender::check_every);
  EXPECT_EQ(pair.steps.size(), 6u) << "one hello finds both alike";
  EXPECT_EQ(pair.secondary.applications, 1);
}

TEST(ConfigSync, WithoutTheOtherThisNodeGoesAheadAndTriesAgain) {
  Pair pair;
  pair.reachable = false;
  pair.sender.offer(revision(1).revision, false, pair.now);
  pair.run();
  EXPECT_TRUE(pair.sender.is_applied());
  EXPECT_FALSE(pair.sender.is_in_sync());
  EXPECT_EQ(pair.sender.error(), "no answer");
  EXPECT_FALSE(pair.sender.has_alarm(pair.now));
  std::vector<seconds> waits;
  for (int i = 0; i < 9; ++i) {
    const Instant before = pair.now;
    pair.now = pair.sender.deadline();
    waits.push_back(std::chrono::duration_cast<seconds>(pair.now - before));
    pair.run();
  }
  EXPECT_EQ(waits, (std::vector<seconds>{seconds{1}, seconds{2}, seconds{4}, seconds{8}, seconds{16}, seconds{32},
                                         seconds{60}, seconds{60}, seconds{60}}));
  EXPECT_TRUE(pair.sender.has_alarm(pair.now));
  pair.reachable = true;
  pair.sender.link_up(pair.now);
  pair.run();
  EXPECT_TRUE(pair.sender.is_in_sync());
  EXPECT_FALSE(pair.sender.has_alarm(pair.now));
  EXPECT_EQ(pair.secondary.applications, 1);
}

TEST(ConfigSync, EachAnswerMayBeLost) {
  for (std::size_t lost = 1; lost <= 5; ++lost) {
    Pair pair;
    pair.lost_at = lost;
    pair.sender.offer(revision(1).revision, false, pair.now);
    pair.run();
    for (int i = 0; i < 30 && !pair.sender.is_in_sync(); ++i) pair.wait(seconds{1});
    // Longer than a confirmation is waited for: what both call in sync is there to stay.
    for (int i = 0; i < 16; ++i) {
      EXPECT_TRUE(pair.sender.is_in_sync()) << lost << " " << pair.sender.error();
      EXPECT_EQ(pair.secondary.applied, revision(1).revision.sections) << lost;
      EXPECT_FALSE(pair.secondary.store->is_pending()) << lost;
      pair.wait(seconds{1});
    }
    EXPECT_EQ(pair.secondary.applications, 1) << lost;
    EXPECT_EQ(pair.sender.pushes(), 1u) << lost;
  }
}

TEST(ConfigSync, APrimaryThatWasStartedAgainConfirmsWhatItsFormerSelfPushed) {
  Pair pair;
  pair.sender.offer(revision(1).revision, false, pair.now);
  for (int i = 0; i < 4; ++i) pair.step();  // hello, stage, apply, commit
  EXPECT_TRUE(pair.secondary.store->is_pending());
  pair.sender = Sender{id_a, "pfsyncd", 10};
  pair.sender.offer(revision(1).revision, true, pair.now);
  pair.steps.clear();
  pair.run();
  EXPECT_EQ(pair.steps, (std::vector{Step::hello, Step::confirm}));
  EXPECT_TRUE(pair.sender.is_in_sync());
  EXPECT_EQ(pair.sender.pushes(), 1u);
  pair.wait(seconds{11});
  EXPECT_EQ(pair.secondary.store->current()->revision.generation, 1u);
  EXPECT_EQ(pair.secondary.applications, 1);
}

TEST(ConfigSync, WhatIsNotConfirmedIsRolledBack) {
  Pair pair;
  pair.sender.offer(revision(1).revision, false, pair.now);
  pair.run();
  pair.sender.offer(revision(2, "{\"maxupd\":2}").revision, true, pair.now);
  for (int i = 0; i < 3; ++i) pair.step();  // hello, stage, commit
  EXPECT_TRUE(pair.secondary.receiver->is_pending());
  EXPECT_EQ(pair.secondary.applied.at("sync"), "{\"maxupd\":2}");
  pair.secondary.receiver->tick(pair.now + seconds{10}, 100);
  EXPECT_EQ(pair.secondary.applied.at("sync"), "{}");
  EXPECT_EQ(pair.secondary.store->current()->revision.generation, 1u);
  EXPECT_NE(pair.secondary.audit.records().back().sentence.find("rolled back generation 2"), std::string::npos);
}

TEST(ConfigSync, AStartBeforeTheConfirmationRollsBackToo) {
  Pair pair;
  pair.sender.offer(revision(1).revision, false, pair.now);
  for (int i = 0; i < 4; ++i) pair.step();  // hello, stage, apply, commit
  EXPECT_TRUE(pair.secondary.store->is_pending());
  pair.secondary.start();
  EXPECT_FALSE(pair.secondary.store->current());
  pair.run();  // the confirmation finds nothing
  pair.wait(seconds{2});
  EXPECT_TRUE(pair.sender.is_in_sync());
  EXPECT_EQ(pair.secondary.store->current()->revision.generation, 1u);
}

TEST(ConfigSync, WhatCannotBeAppliedThereIsNoConfigurationThere) {
  Pair pair;
  pair.secondary.refusal = "a port is not there";
  pair.sender.offer(revision(1).revision, false, pair.now);
  pair.run();
  EXPECT_EQ(pair.sender.error(), "the other node refused (130): a port is not there: rolled back");
  EXPECT_FALSE(pair.secondary.store->current());
  pair.secondary.refusal.clear();
  pair.wait(seconds{1});
  EXPECT_TRUE(pair.sender.is_in_sync());
}

TEST(ConfigSync, WhatCannotBeAppliedHereIsTakenBackThere) {
  Pair pair;
  pair.applies = false;
  pair.sender.offer(revision(1).revision, false, pair.now);
  pair.run();
  EXPECT_EQ(pair.steps, (std::vector{Step::hello, Step::stage, Step::apply, Step::abort}));
  EXPECT_FALSE(pair.secondary.receiver->is_staged());
  EXPECT_EQ(pair.secondary.applications, 0);
}

TEST(ConfigSync, WhatIsStagedExpires) {
  Pair pair;
  pair.sender.offer(revision(1).revision, true, pair.now);
  pair.step();
  pair.step();
  EXPECT_TRUE(pair.secondary.receiver->is_staged());
  pair.secondary.receiver->tick(pair.now + Receiver::staged_for, 100);
  EXPECT_FALSE(pair.secondary.receiver->is_staged());
  EXPECT_FALSE(pair.secondary.files.read("config.new"));
}

/// The refusal of a pushed revision by a secondary that has generation 5 of epoch 2 from node a.
std::int64_t code_of(const Revision& pushed, Settings settings = {.role = Role::secondary}) {
  Pair pair{std::move(settings)};
  Stored held = revision(5, "{}", 2);
  put(*pair.secondary.store, held);
  Sender sender{pushed.origin, "pfsyncd", 10};
  sender.offer(pushed, true, pair.now);
  const auto answer = pair.secondary.call(sender.call(Step::stage, {}), pair.now);
  const auto* fault = std::get_if<Fault>(&answer);
  return fault == nullptr ? 0 : fault->code;
}

TEST(ConfigSync, LoopsOldGenerationsAndSecondPrimariesAreRefused) {
  Revision next = revision(6, "{\"maxupd\":6}", 2).revision;
  EXPECT_EQ(code_of(next, {.role = Role::secondary}), 0);
  next.path = {id_b};
  EXPECT_EQ(code_of(next), fault::loop);
  Revision other = revision(1, "{\"maxupd\":6}", 2).revision;
  EXPECT_EQ(code_of(other), fault::stale_generation) << "a restored backup";
  other = revision(9, "{\"maxupd\":6}", 1).revision;
  EXPECT_EQ(code_of(other), fault::stale_generation) << "an older epoch";
  EXPECT_EQ(code_of(revision(5, "{}", 2).revision), 0) << "already applied";
  other = revision(9, "{\"maxupd\":6}", 2).revision;
  other.origin = std::string(32, 'c');
  EXPECT_EQ(code_of(other), fault::split);
  other.epoch = 3;
  EXPECT_EQ(code_of(other), 0) << "a node that was promoted";
  other.origin = id_b;
  EXPECT_EQ(code_of(other), fault::loop);
  EXPECT_EQ(code_of(next, {.role = Role::primary}), fault::split);
  EXPECT_EQ(code_of(next, {.role = Role::off}), fault::role_refused);
}

TEST(ConfigSync, OfTwoPrimariesTheLowerEpochStops) {
  for (const auto& [theirs, stops] : {std::pair{"7", true}, {"0", false}}) {
    Sender sender{id_a, "pfsyncd", 10};
    sender.offer(revision(1).revision, true, Instant{});
    EXPECT_EQ(sender.step(Instant{}), Step::hello);
    const Value hello{Value::Struct{
        {"node_id", id_b}, {"cluster_id", "pfsyncd"}, {"role", "primary"}, {"epoch", theirs}, {"digest", ""}}};
    sender.done(Step::hello, hello, Instant{});
    EXPECT_EQ(sender.is_split(), stops);
    EXPECT_EQ(sender.has_alarm(Instant{}), stops);
    EXPECT_TRUE(sender.error().starts_with("split (112)"));
    EXPECT_EQ(sender.step(Instant{}), Step::none);
  }
}

TEST(ConfigSync, AnotherPrimaryIsForgottenOnceItIsNone) {
  Secondary node{{.role = Role::primary}};
  const auto hello = [&](const char* role, Instant now) {
    const xmlrpc::Call call{
        "hasync.hello",
        {Value{Value::Struct{
            {"node_id", id_a}, {"cluster_id", "pfsyncd"}, {"proto", 1}, {"role", role}, {"epoch", "7"}}}}};
    EXPECT_TRUE(std::holds_alternative<Value>(node.call(call, now)));
  };
  const Instant begin{};
  hello("primary", begin);
  EXPECT_EQ(node.receiver->other_primary(), 7u);
  node.receiver->heard_secondary(std::string(32, 'c'));
  EXPECT_EQ(node.receiver->other_primary(), 7u) << "a third node is another";
  node.receiver->heard_secondary(id_a);
  EXPECT_FALSE(node.receiver->other_primary()) << "it answered as a secondary";
  hello("primary", begin);
  hello("primary", begin + Sender::retry_max);
  node.receiver->tick(begin + Receiver::other_primary_for, 100);
  EXPECT_EQ(node.receiver->other_primary(), 7u) << "it said so again";
  node.receiver->tick(begin + Sender::retry_max + Receiver::other_primary_for, 100);
  EXPECT_FALSE(node.receiver->other_primary()) << "it is silent since";
  hello("primary", begin);
  hello("secondary", begin);
  EXPECT_FALSE(node.receiver->other_primary());
}

TEST(ConfigSync, HelloTellsStrangersApart) {
  Secondary node;
  const auto greet = [&](const char* name, Value value) {
    Value::Struct hello{
        {"node_id", id_a}, {"cluster_id", "pfsyncd"}, {"proto", 1}, {"role", "primary"}, {"epoch", "1"}};
    for (auto& [key, old] : hello)
      if (key == name) old = std::move(value);
    const auto answer = node.call({"hasync.hello", {Value{std::move(hello)}}}, Instant{});
    const auto* fault = std::get_if<Fault>(&answer);
    return fault == nullptr ? 0 : static_cast<int>(fault->code);
  };
  EXPECT_EQ(greet("", {}), 0);
  EXPECT_EQ(greet("node_id", id_b), fault::loop);
  EXPECT_EQ(greet("cluster_id", "another"), fault::cluster_differs);
  EXPECT_EQ(greet("proto", 2), fault::protocol_version);
  EXPECT_EQ(greet("node_id", "short"), xmlrpc::fault_code::invalid_parameters);
}

TEST(ConfigSync, WhatSomebodyElseChangedIsReplacedOrRefused) {
  for (const bool strict : {false, true}) {
    Pair pair{{.role = Role::secondary, .strict = strict}};
    pair.sender.offer(revision(2).revision, true, pair.now);
    pair.step();                                                // hello: the other has nothing
    put(*pair.secondary.store, revision(1, "{\"maxupd\":9}"));  // and now it has
    pair.run();
    EXPECT_EQ(pair.sender.is_in_sync(), !strict);
    if (strict)
      EXPECT_NE(pair.sender.error().find("config_sync.strict"), std::string::npos);
    else
      EXPECT_EQ(pair.sender.warnings().size(), 1u);
  }
}

TEST(ConfigSync, OnlyOneAtATime) {
  Pair pair;
  pair.sender.offer(revision(1).revision, true, pair.now);
  for (int i = 0; i < 3; ++i) pair.step();  // committed, not confirmed
  Sender other{id_a, "pfsyncd", 10};
  other.offer(revision(2).revision, true, pair.now);
  const auto answer = pair.secondary.call(other.call(Step::stage, {}), pair.now);
  EXPECT_EQ(std::get<Fault>(answer).code, fault::busy);
}

TEST(ConfigSync, WhatAPushWouldChangeIsToldInWords) {
  Pair pair;
  const auto with = [](const char* carp) {
    Sections sections = revision(1).revision.sections;
    sections["carp"] = carp;
    return sections;
  };
  const char *one = R"([{"password":"a","vhid":1}])", *two = R"([{"password":"b","vhid":1},{"password":"c","vhid":2}])";
  Revision pushed = revision(1).revision;
  pushed.sections = with(one);
  pair.sender.offer(pushed, true, pair.now);
  pair.run();
  EXPECT_EQ(pair.sender.changes().size(), 5u) << "all is new";
  const auto ask = [&](const char* carp) {
    Value::Struct sections;
    for (const auto& [name, bytes] : with(carp)) sections.push_back({name, Value{Value::Binary{bytes}}});
    return pair.secondary.call({"hasync.digest", {Value{Value::Struct{{"sections", Value{std::move(sections)}}}}}},
                               pair.now);
  };
  const auto answer = ask(two);
  const Value& told = std::get<Value>(answer);
  ASSERT_EQ(told.find("diff")->as_map()->size(), 1u);
  EXPECT_EQ(told.find("diff")->find("carp")->as_text(), "vhid 1 (password changed); added vhid 2");
  EXPECT_TRUE(std::get<Value>(ask(one)).find("diff")->as_map()->empty());
  EXPECT_EQ(std::get<Fault>(ask("{")).code, fault::validation_failed);
  EXPECT_FALSE(pair.secondary.receiver->is_staged()) << "to ask changes nothing";
  pushed.generation = 2;
  pushed.sections = with(two);
  pair.sender.offer(pushed, true, pair.now);
  pair.run();
  EXPECT_EQ(pair.sender.changes(), std::vector<std::string>{"carp: vhid 1 (password changed); added vhid 2"});
}

TEST(ConfigSync, WhatTheValidatorSaysReachesThePrimary) {
  Pair pair;
  pair.secondary.problem = Problem{fault::validation_failed, "carp.interface: \"wan\" has no mapping on this node"};
  pair.sender.offer(revision(1).revision, false, pair.now);
  pair.run();
  EXPECT_EQ(pair.sender.error(), "the other node refused (120): carp.interface: \"wan\" has no mapping on this node");
  EXPECT_TRUE(pair.sender.is_applied());
  EXPECT_EQ(pair.secondary.audit.records().back().warning, true);
}

TEST(ConfigSync, NonsenseIsAFault) {
  Secondary node;
  for (const char* method : {"hasync.hello", "hasync.stage", "hasync.commit", "hasync.confirm", "hasync.abort",
                             "hasync.log", "hasync.unknown"})
    for (const std::vector<Value>& params : {std::vector<Value>{},
                                             {Value{1}},
                                             {Value{Value::Struct{}}},
                                             {Value{Value::Struct{{"txn", 1}, {"since", -1}}}}})
      EXPECT_TRUE(std::holds_alternative<Fault>(node.call({method, params}, Instant{}))) << method;
}

// --- pairing -----------------------------------------------------------------------------------------

KeyHash hash_of(std::uint8_t byte) {
  KeyHash hash;
  hash.fill(byte);
  return hash;
}

Value answer_of(const std::variant<Value, Fault>& answer) {
  if (const auto* fault = std::get_if<Fault>(&answer)) ADD_FAILURE() << fault->text;
  return std::holds_alternative<Value>(answer) ? std::get<Value>(answer) : Value{};
}

TEST(ConfigSyncPairing, BothConsolesShowOneCode) {
  Pairing a, b;
  a.open(hash_of(1), hash_of(11), Instant{});
  b.open(hash_of(2), hash_of(12), Instant{});
  EXPECT_EQ(a.committed(answer_of(b.asked(a.commit_call(), hash_of(1))), hash_of(2)), "");
  EXPECT_EQ(a.revealed(answer_of(b.asked(a.reveal_call(), hash_of(1))), hash_of(2)), "");
  EXPECT_EQ(a.code().size(), 11u);
  EXPECT_EQ(a.code(), b.code());
  EXPECT_FALSE(a.confirm("000 000 000"));
  EXPECT_EQ(a.confirm(a.code()), hash_of(2));
  EXPECT_EQ(b.confirm(b.code()), hash_of(1));
}

TEST(ConfigSyncPairing, AnAnswerThatIsLostIsGivenAgain) {
  Pairing a, b;
  a.open(hash_of(1), hash_of(11), Instant{});
  b.open(hash_of(2), hash_of(12), Instant{});
  for (const bool is_lost : {true, false}) {
    const auto answer = answer_of(b.asked(a.commit_call(), hash_of(1)));
    if (!is_lost) {
      EXPECT_EQ(a.committed(answer, hash_of(2)), "");
    }
  }
  static_cast<void>(answer_of(b.asked(a.reveal_call(), hash_of(1))));
  EXPECT_EQ(b.state(), Pairing::State::shown);
  EXPECT_TRUE(std::holds_alternative<Fault>(b.asked(a.reveal_call(), hash_of(3)))) << "another key's";
  EXPECT_TRUE(std::holds_alternative<Fault>(b.asked(a.commit_call(), hash_of(1))));
  EXPECT_EQ(b.confirm(b.code()), hash_of(1));  // whose operator does not wait
  EXPECT_EQ(a.revealed(answer_of(b.asked(a.reveal_call(), hash_of(1))), hash_of(2)), "");
  EXPECT_EQ(a.code(), b.code());
  EXPECT_EQ(a.confirm(a.code()), hash_of(2));
}

TEST(ConfigSyncPairing, SomebodyBetweenShowsTwoCodes) {
  Pairing a, b, to_a, to_b;  // the last two are his, with a key of his own
  a.open(hash_of(1), hash_of(11), Instant{});
  b.open(hash_of(2), hash_of(12), Instant{});
  to_a.open(hash_of(3), hash_of(12), Instant{});
  to_b.open(hash_of(3), hash_of(11), Instant{});
  EXPECT_EQ(a.committed(answer_of(to_a.asked(a.commit_call(), hash_of(1))), hash_of(3)), "");
  EXPECT_EQ(a.revealed(answer_of(to_a.asked(a.reveal_call(), hash_of(1))), hash_of(3)), "");
  EXPECT_EQ(to_b.committed(answer_of(b.asked(to_b.commit_call(), hash_of(3))), hash_of(2)), "");
  EXPECT_EQ(to_b.revealed(answer_of(b.asked(to_b.reveal_call(), hash_of(3))), hash_of(2)), "");
  EXPECT_NE(a.code(), b.code());
}

TEST(ConfigSyncPairing, AnotherNumberThanCommittedOrAnotherKeyEndsIt) {
  for (const int what : {0, 1}) {
    Pairing a, b, other;
    a.open(hash_of(1), hash_of(11), Instant{});
    other.open(hash_of(1), hash_of(13), Instant{});
    b.open(hash_of(2), hash_of(12), Instant{});
    EXPECT_TRUE(std::holds_alternative<Value>(b.asked(a.commit_call(), hash_of(1))));
    const auto call = what == 0 ? other.reveal_call() : a.reveal_call();
    EXPECT_TRUE(std::holds_alternative<Fault>(b.asked(call, hash_of(what == 0 ? 1 : 3))));
    EXPECT_EQ(b.state(), Pairing::State::failed);
    EXPECT_TRUE(std::holds_alternative<Fault>(b.asked(a.reveal_call(), hash_of(1)))) << "one try a window";
  }
}

TEST(ConfigSyncPairing, TheWindowCloses) {
  Pairing pairing;
  EXPECT_TRUE(std::holds_alternative<Fault>(pairing.asked({"hasync.pair", {}}, hash_of(1))));
  pairing.open(hash_of(1), hash_of(11), Instant{});
  pairing.tick(Instant{} + Pairing::window);
  EXPECT_FALSE(pairing.is_open());
}

}  // namespace
}  // namespace pfsync::engine::config_sync
