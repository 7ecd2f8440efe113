// The store of configurations, ended at each of its steps.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <system_error>

#include "engine/config_sync/files.h"
#include "engine/config_sync/store.h"
#include "tests/engine/config/config_text.h"
#include "tests/engine/config_sync/config_sync_store.h"
#include "tests/engine/temporary_directory.h"

namespace pfsync::engine::config_sync {
namespace {

using engine::test::replaced;
using engine::test::TemporaryDirectory;
using test::MemoryFiles;
using test::put;
using test::revision;

TEST(ConfigSyncStore, KeepsTheNewestAndTwentyBefore) {
  const TemporaryDirectory folder;
  DiskFiles files{folder.file("store")};
  Store store{files};
  EXPECT_TRUE(store.load().empty());
  for (std::uint64_t i = 1; i <= 30; ++i) put(store, revision(i));
  EXPECT_EQ(store.former().size(), Store::kept);
  EXPECT_EQ(store.former().front().generation, 29u);
  Store again{files};
  EXPECT_TRUE(again.load().empty());
  EXPECT_EQ(again.current(), revision(30));
  EXPECT_EQ(again.generation(12), revision(12));
  EXPECT_FALSE(again.generation(5));
}

TEST(ConfigSyncStore, WhatIsDamagedGivesWayToTheOneBefore) {
  const TemporaryDirectory folder;
  DiskFiles files{folder.file("store")};
  Store store{files};
  put(store, revision(1));
  put(store, revision(2));
  std::string text = files.read("config").value();
  files.write("config", replaced(text, "\"sync\": \"{}\"", "\"sync\": \"[]\""));
  Store again{files};
  EXPECT_EQ(again.load().size(), 1u);
  EXPECT_EQ(again.current(), revision(1));
  // For good: the next commit goes back to it, not to what is damaged.
  EXPECT_EQ(again.stage(revision(3)), "");
  EXPECT_EQ(again.commit(), "");
  EXPECT_EQ(again.roll_back(), "");
  EXPECT_EQ(again.current(), revision(1));
  Store third{files};
  EXPECT_TRUE(third.load().empty());
  EXPECT_EQ(third.current(), revision(1));
}

TEST(ConfigSyncStore, ARollBackToWhatIsDamagedGoesFurtherBack) {
  MemoryFiles files;
  Store store{files};
  put(store, revision(1));
  put(store, revision(2));
  EXPECT_EQ(store.stage(revision(3)), "");
  EXPECT_EQ(store.commit(), "");
  files.write("config.1.2", "damaged");
  EXPECT_NE(store.roll_back().find("generation 1 is in force"), std::string::npos);
  EXPECT_EQ(store.current(), revision(1));
}

TEST(ConfigSyncStore, TwoEpochsMayHaveOneGeneration) {
  MemoryFiles files;
  Store store{files};
  for (const std::uint64_t epoch : {1, 2})
    for (const std::uint64_t generation : {7, 8}) put(store, revision(generation, "{}", epoch));
  EXPECT_EQ(store.generation(7, 1), revision(7, "{}", 1));
  EXPECT_EQ(store.generation(7), revision(7, "{}", 2));
  EXPECT_EQ(store.generation(8, 1), revision(8, "{}", 1));
  EXPECT_EQ(store.generation(8), revision(8, "{}", 2));
  EXPECT_FALSE(store.generation(7, 3));
}

struct Crash {};

/// Ends the process, as it were, before, in the midst of, or behind the n-th step.
class CrashingFiles final : public Files {
 public:
  CrashingFiles(Files& under, int steps) : under_{under}, left_{steps} {}
  std::optional<std::string> read(const std::string& name) override { return under_.read(name); }
  std::vector<std::string> list() override { return under_.list(); }
  void write(const std::string& name, const std::string& bytes) override {
    step();
    if (left_ == 0) under_.write(name, "");
    step();
    if (left_ == 0) under_.write(name, bytes.substr(0, bytes.size() / 2));
    step();
    under_.write(name, bytes);
    step();
  }
  void rename(const std::string& from, const std::string& to) override {
    step();
    under_.rename(from, to);
    step();
  }
  void link(const std::string& from, const std::string& to) override {
    step();
    under_.remove(to);
    step();
    under_.link(from, to);
    step();
  }
  void remove(const std::string& name) override {
    step();
    under_.remove(name);
    step();
  }
  void sync_directory() override { step(); }
  [[nodiscard]] bool is_over() const { return left_ >= 0; }

 private:
  void step() {
    if (left_-- == 0) throw Crash{};
  }
  Files& under_;
  int left_;
};

/// Runs `doing` on copies of a store, ended at every step it takes; after each a start must find one of `whole`.
void crash_everywhere(const std::function<void(Store&)>& before, const std::function<void(Store&)>& doing,
                      const std::vector<std::optional<Stored>>& whole) {
  bool over = false;
  for (int steps = 0; !over; ++steps) {
    ASSERT_LT(steps, 200);
    MemoryFiles files;
    Store prepared{files};
    static_cast<void>(prepared.load());
    before(prepared);
    CrashingFiles crashing{files, steps};
    Store store{crashing};
    try {
      static_cast<void>(store.load());
      doing(store);
      over = crashing.is_over();
    } catch (const Crash&) {
    }
    for (int starts = 0; starts < 2; ++starts) {  // a second start finds what the first did
      Store after{files};
      static_cast<void>(after.load());
      EXPECT_TRUE(std::find(whole.begin(), whole.end(), after.current()) != whole.end()) << "ended at step " << steps;
      EXPECT_FALSE(files.read("pending")) << steps;
    }
    Store next{files};  // and the store works on
    static_cast<void>(next.load());
    put(next, revision(99));
    EXPECT_EQ(next.current(), revision(99));
  }
}

TEST(ConfigSyncStore, EndedAtAnyStepItHoldsOneWholeConfiguration) {
  const auto nothing = [](Store&) {};
  const auto two = [](Store& store) {
    put(store, revision(1));
    put(store, revision(2));
  };
  const auto push = [](Store& store) { put(store, revision(3, "{\"maxupd\":3}")); };
  crash_everywhere(nothing, push, {std::nullopt, revision(3, "{\"maxupd\":3}")});
  crash_everywhere(two, push, {revision(2), revision(3, "{\"maxupd\":3}")});
  crash_everywhere(two,
                   [](Store& store) {
                     static_cast<void>(store.stage(revision(3)));
                     static_cast<void>(store.commit());
                     static_cast<void>(store.roll_back());
                   },
                   {revision(2), revision(3)});
}

TEST(ConfigSyncStore, EndedWhileItRollsBackItRollsBackAgain) {
  crash_everywhere(
      [](Store& store) {
        put(store, revision(1));
        static_cast<void>(store.stage(revision(2)));
        static_cast<void>(store.commit());  // and never confirmed
      },
      [](Store&) {}, {revision(1)});
}

TEST(ConfigSyncStore, AFullDiskIsASentence) {
  class Full final : public Files {
    std::optional<std::string> read(const std::string&) override { return std::nullopt; }
    void write(const std::string&, const std::string&) override {
      throw std::system_error{ENOSPC, std::generic_category(), "/x/config.new"};
    }
    void rename(const std::string&, const std::string&) override {}
    void link(const std::string&, const std::string&) override {}
    void remove(const std::string&) override {}
    void sync_directory() override {}
    std::vector<std::string> list() override { return {}; }
  } files;
  Store store{files};
  EXPECT_NE(store.stage(revision(1)).find("No space left on device"), std::string::npos);
  EXPECT_NE(store.commit(), "");
}

}  // namespace
}  // namespace pfsync::engine::config_sync
