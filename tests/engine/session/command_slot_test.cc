#include "engine/session/command_slot.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace pfsync::engine {
namespace {

TEST(CommandSlot, CarriesOneCommandAndItsResult) {
  CommandSlot slot;
  EXPECT_FALSE(slot.take().has_value());
  EXPECT_FALSE(slot.serve([](const Command&) { return CommandResult{}; })) << "nothing waits";
  ASSERT_TRUE(slot.post({.kind = Command::Kind::kill, .id = {7, 9}}));
  EXPECT_FALSE(slot.post({.kind = Command::Kind::push})) << "the first has not been carried out";
  EXPECT_FALSE(slot.take().has_value());
  EXPECT_TRUE(slot.serve([](const Command& command) {
    EXPECT_EQ(command.kind, Command::Kind::kill);
    EXPECT_EQ(command.id, (wire::StateId{7, 9}));
    return CommandResult{true, 3};
  }));
  const auto result = slot.take();
  ASSERT_TRUE(result.has_value());
  EXPECT_TRUE(result->done);
  EXPECT_EQ(result->states, 3u);
  EXPECT_FALSE(slot.take().has_value()) << "once";
}

TEST(CommandSlot, AResultThatNobodyTookMakesRoom) {
  CommandSlot slot;
  ASSERT_TRUE(slot.post({}));
  slot.serve([](const Command&) { return CommandResult{true, 1}; });
  ASSERT_TRUE(slot.post({}));
  slot.serve([](const Command&) { return CommandResult{true, 2}; });
  EXPECT_EQ(slot.take()->states, 2u);
}

TEST(CommandSlot, WhatHasNotBegunCanBeTakenBack) {
  CommandSlot slot;
  EXPECT_FALSE(slot.withdraw()) << "nothing was posted";
  ASSERT_TRUE(slot.post({}));
  EXPECT_TRUE(slot.withdraw());
  EXPECT_FALSE(slot.serve([](const Command&) { return CommandResult{}; }));
  ASSERT_TRUE(slot.post({}));
  slot.serve([&](const Command&) {
    EXPECT_FALSE(slot.withdraw()) << "it has begun";
    EXPECT_FALSE(slot.post({}));
    return CommandResult{true, 5};
  });
  EXPECT_FALSE(slot.withdraw()) << "it is done";
  EXPECT_EQ(slot.take()->states, 5u);
}

/// An object changes hands and comes back: either side touches it only while it is its own.
TEST(CommandSlot, HandsObjectsOverAcrossThreads) {
  struct Swap final : LiveChange {
    explicit Swap(std::vector<std::uint64_t>& of) : target{&of} {}
    void take_place(Instant) noexcept override { target->swap(made); }
    std::vector<std::uint64_t>* target;
    std::vector<std::uint64_t> made;
  };
  constexpr std::uint64_t changes = 1'000;
  CommandSlot slot;
  std::vector<std::uint64_t> used{0, 0};
  std::atomic<bool> stop{false};
  std::uint64_t torn = 0;
  std::thread data_path{[&] {
    while (!stop.load(std::memory_order_relaxed)) {
      torn += used[0] == used[1] ? 0 : 1;
      const bool served = slot.serve([](const Command& command) {
        command.change->take_place({});
        return CommandResult{true, 0};
      });
      if (!served) std::this_thread::yield();
    }
  }};
  std::uint64_t made = 0, withdrawn = 0;
  for (std::uint64_t i = 1; i <= changes; ++i) {
    Swap swap{used};
    swap.made = {i, i};
    ASSERT_TRUE(slot.post({.kind = Command::Kind::change, .change = &swap}));
    if (i % 3 == 0 && slot.withdraw()) {
      ++withdrawn;
      continue;
    }
    while (!slot.take()) std::this_thread::yield();
    ++made;
    ASSERT_EQ(swap.made.size(), 2u) << "what was used before came back";
  }
  stop = true;
  data_path.join();
  EXPECT_EQ(torn, 0u);
  EXPECT_EQ(made + withdrawn, changes);
}

TEST(CommandSlot, WorksAcrossThreads) {
  constexpr std::uint64_t commands = 2'000;
  CommandSlot slot;
  std::thread data_path{[&] {
    for (std::uint64_t served = 0; served < commands;) {
      if (slot.serve([](const Command& command) { return CommandResult{true, command.id.id + 1}; }))
        ++served;
      else
        std::this_thread::yield();  // two spinning threads on one core would wait for its clock
    }
  }};
  std::uint64_t wrong = 0;
  for (std::uint64_t i = 0; i < commands; ++i) {
    wrong += slot.post({.kind = Command::Kind::kill, .id = {i, 1}}) ? 0 : 1;
    std::optional<CommandResult> result;
    while (!(result = slot.take())) std::this_thread::yield();
    wrong += result->states == i + 1 ? 0 : 1;
  }
  data_path.join();
  EXPECT_EQ(wrong, 0u);
}

}  // namespace
}  // namespace pfsync::engine
