#include "engine/snapshot/keeper.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>

#include "tests/engine/session/session_fixture.h"
#include "tests/engine/snapshot/snapshot_memory.h"
#include "tests/engine/temporary_directory.h"

namespace pfsync::engine::snapshot {
namespace {

constexpr std::int64_t then_s = 1'700'000'000;
constexpr std::uint64_t states = 3000;  // several blocks, between which a writer can wait

/// A disk that is full as long as it is told to be.
class FullDisk final : public SystemCalls {
 public:
  ssize_t write(int file, const void* bytes, std::size_t count) override {
    if (!is_full.load()) return SystemCalls::write(file, bytes, count);
    errno = ENOSPC;
    return -1;
  }
  std::atomic<bool> is_full{false};
};

/// A disk that is slower than its user's patience: syncing lasts until somebody lets it end.
class SlowDisk final : public SystemCalls {
 public:
  int sync(int file) override {
    for (int i = 0; i < 6000 && calls_to_come.load() > 0; ++i) std::this_thread::sleep_for(10ms);
    return SystemCalls::sync(file);
  }
  std::atomic<int> calls_to_come{3};
};

class KeeperTest : public ::testing::Test {
 protected:
  KeeperTest() {
    for (std::uint64_t id = 1; id <= states; ++id)
      EXPECT_EQ(node.first().insert(tcp_state(id), t0), Session::Local::done);
  }
  Keeper& make(const std::optional<Settings>& wanted) {
    keeper.emplace(Keeper::Parts{.table = *table,
                                 .creatorid = own_creatorid,
                                 .now = [] { return t0; },
                                 .wall_s = [this] { return wall_s.load(); },
                                 .log =
                                     [this](Keeper::Severity severity, const std::string& sentence) {
                                       const std::lock_guard lock{guard};
                                       if (severity != Keeper::Severity::debug) sentences.push_back(sentence);
                                     },
                                 .calls = &disk},
                   wanted);
    return *keeper;
  }
  [[nodiscard]] std::vector<std::string> told() {
    const std::lock_guard lock{guard};
    return sentences;
  }
  /// With the patience that a busy machine needs.
  template <class F>
  [[nodiscard]] bool eventually(F&& holds) {
    for (int i = 0; i < 6000; ++i) {
      if (holds(keeper->status())) return true;
      std::this_thread::sleep_for(10ms);
    }
    return false;
  }
  [[nodiscard]] bool is_answered(std::optional<std::uint64_t> number) {
    return number && eventually([&](const Status& status) { return status.answered >= *number; });
  }
  [[nodiscard]] std::string file_is() const {
    auto opened = OldFile::open(settings.path);
    if (std::holds_alternative<std::monostate>(opened)) return "not there";
    if (const auto* why = std::get_if<std::string>(&opened)) return *why;
    const auto checked = check(*std::get<std::unique_ptr<OldFile>>(opened));
    const auto* why = std::get_if<std::string>(&checked);
    return why != nullptr ? *why : "whole";
  }

  test::TemporaryDirectory folder;
  Settings settings{.path = folder.file("deep/states.snapshot"), .interval_s = 86'400};
  std::unique_ptr<statetable::Table> table =
      std::move(std::get<0>(statetable::Table::create({.states_max = 5000, .shard_bits = 1, .hash_seed = 7})));
  PartitionedSession node{SessionConfig{.creatorid = own_creatorid, .request_bulk = false}, *table};
  FullDisk disk;
  std::atomic<std::int64_t> wall_s{then_s};
  std::mutex guard;
  std::vector<std::string> sentences;
  std::optional<Keeper> keeper;
};

TEST_F(KeeperTest, WritesWhenAsked) {
  make(settings).start();
  EXPECT_TRUE(is_answered(keeper->ask()));
  EXPECT_EQ(file_is(), "whole");
  const Status status = keeper->status();
  EXPECT_EQ(status.written, 1u);
  EXPECT_EQ(status.failures, 0u);
  EXPECT_EQ(status.error, "");
  ASSERT_TRUE(status.last);
  EXPECT_EQ(status.last->states, states);
  EXPECT_EQ(status.last->at_s, then_s);
  EXPECT_EQ(status.last->bytes, std::filesystem::file_size(settings.path));
  ASSERT_EQ(told().size(), 1u);
  EXPECT_TRUE(told()[0].starts_with("snapshot written: 3000 states, ")) << told()[0];
}

TEST_F(KeeperTest, WritesEveryInterval) {
  settings.interval_s = 1;
  make(settings).start();
  EXPECT_TRUE(eventually([](const Status& status) { return status.written >= 2; }));
  EXPECT_EQ(file_is(), "whole");
}

TEST_F(KeeperTest, WritesAtTheEnd) {
  make(settings).start();
  keeper->end();
  EXPECT_EQ(file_is(), "whole");
}

TEST_F(KeeperTest, DoesNotWriteAtTheEndWhenToldNotTo) {
  settings.at_exit = false;
  make(settings).start();
  keeper->end();
  EXPECT_EQ(file_is(), "not there");
}

TEST_F(KeeperTest, GivesUpTheOneUnderWayAtTheEnd) {
  settings.at_exit = false;
  settings.states_per_s = 1;  // most of an hour
  make(settings).start();
  ASSERT_TRUE(keeper->ask());
  EXPECT_TRUE(eventually([](const Status& status) { return status.is_writing; }));
  keeper->end();
  EXPECT_TRUE(std::filesystem::is_empty(folder.file("deep")));
  EXPECT_EQ(keeper->status().failures, 0u);
}

TEST_F(KeeperTest, WithoutSettingsThereIsNothing) {
  make(std::nullopt).start();
  EXPECT_FALSE(keeper->ask());
  keeper->set(settings);
  EXPECT_TRUE(is_answered(keeper->ask()));
  EXPECT_EQ(file_is(), "whole");
  keeper->set(std::nullopt);
  EXPECT_FALSE(keeper->ask());
  std::filesystem::remove(settings.path);
  keeper->end();
  EXPECT_EQ(file_is(), "not there");
}

TEST_F(KeeperTest, AFullDiskIsSaidOnceAndCountedEachTime) {
  settings.interval_s = 1;
  make(settings).start();
  EXPECT_TRUE(is_answered(keeper->ask()));
  disk.is_full = true;
  EXPECT_TRUE(eventually([](const Status& status) { return status.failures >= 2; }));
  EXPECT_EQ(keeper->status().error,
            "the snapshot could not be written: writing " + settings.path +
                ".tmp: No space left on device; free some space there, or give snapshot.path a place on another disk");
  EXPECT_EQ(told().size(), 2u);
  EXPECT_EQ(file_is(), "whole") << "the old one";
  disk.is_full = false;
  EXPECT_TRUE(eventually([](const Status& status) { return status.error.empty(); }));
  EXPECT_EQ(told().size(), 3u) << "that it goes on is told too";
}

TEST_F(KeeperTest, RestoresWhatItWrote) {
  make(settings).end();
  auto other = std::move(std::get<0>(statetable::Table::create({.states_max = 5000, .shard_bits = 1, .hash_seed = 9})));
  PartitionedSession next{SessionConfig{.creatorid = own_creatorid, .request_bulk = false}, *other};
  wall_s = then_s + 10;
  make(settings).restore(next);
  EXPECT_EQ(other->size(), states);
  EXPECT_EQ(other->digest(), table->digest());
  ASSERT_TRUE(keeper->status().restored);
  EXPECT_EQ(keeper->status().restored->passed_s, 10u);
  EXPECT_EQ(told().back(), "3000 of 3000 states restored from the snapshot of 10 s ago");
}

TEST_F(KeeperTest, StartsEmptyWithoutAFile) {
  make(settings).restore(node);
  EXPECT_EQ(told().back(), "there is no snapshot " + settings.path + " yet: the table begins empty");
}

TEST_F(KeeperTest, SetsAsideWhatItRefuses) {
  make(settings).end();
  std::filesystem::resize_file(settings.path, std::filesystem::file_size(settings.path) - 1);
  make(settings).restore(node);
  const std::string why =
      "the snapshot " + settings.path + " ends too early: it is cut short; it is kept as " + settings.path + ".refused";
  EXPECT_EQ(keeper->status().not_restored, why);
  EXPECT_EQ(told().back(), why + ": the table begins empty");
  EXPECT_EQ(file_is(), "not there");
  EXPECT_TRUE(std::filesystem::exists(settings.path + ".refused"));
}

TEST_F(KeeperTest, LeavesSomebodysFileAlone) {
  std::filesystem::create_directory(folder.file("deep"));
  std::ofstream{settings.path} << "somebody's";
  make(settings).restore(node);
  EXPECT_EQ(keeper->status().not_restored, "the snapshot " + settings.path + " is no snapshot of pfsyncd");
  keeper->end();
  EXPECT_EQ(std::filesystem::file_size(settings.path), 10u);
  EXPECT_NE(keeper->status().error, "");
}

/// Whoever watches over this node must hear that it goes on while a slow disk takes the last one.
TEST_F(KeeperTest, TheLastOneLeavesItsCallerFree) {
  SlowDisk slow;
  Keeper last{{.table = *table,
               .creatorid = own_creatorid,
               .now = [] { return t0; },
               .wall_s = [] { return then_s; },
               .log = [](Keeper::Severity, const std::string&) {},
               .calls = &slow},
              settings};
  last.start();
  last.end([&] { --slow.calls_to_come; });
  EXPECT_LE(slow.calls_to_come.load(), 0) << "it was called while the disk was slow";
  EXPECT_EQ(last.status().written, 1u);
  EXPECT_EQ(file_is(), "whole");
}

}  // namespace
}  // namespace pfsync::engine::snapshot
