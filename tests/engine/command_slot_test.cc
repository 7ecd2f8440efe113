#include "engine/command_slot.h"

#include <gtest/gtest.h>

#include <thread>

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
