#include "engine/control/process.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <fstream>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "tests/under_sanitizer.h"

namespace pfsync::engine {
namespace {

TEST(Process, TellsOfItself) {
  const auto told = process_json();
  for (const auto& [word, value] : told.items()) EXPECT_TRUE(value.is_number()) << word;
  EXPECT_GT(told["resident_bytes"], 100'000);
  EXPECT_GT(told["virtual_bytes"], told["resident_bytes"]);
  EXPECT_GE(told["open_files"], 3);
  EXPECT_GT(told["open_files_max"], told["open_files"]);
  EXPECT_GE(told["cpu_s"], 0.0);
  const double now = std::chrono::duration<double>{std::chrono::system_clock::now().time_since_epoch()}.count();
  EXPECT_LE(told["start_time_s"], now);
  EXPECT_GT(told["start_time_s"], now - 24 * 3600) << "no test takes a day";
}

TEST(Process, HeapIsWhatIsNotGivenBack) {
  if (under_sanitizer) GTEST_SKIP() << "a sanitizer's malloc keeps no such account";
  const auto heap = [] { return process_json()["heap_bytes"].get<std::int64_t>(); };
  static_cast<void>(heap());  // what the first call keeps
  const std::int64_t before = heap();
  {
    std::vector<std::vector<char>> blocks;
    for (int i = 0; i < 100; ++i) blocks.emplace_back(1000);
    EXPECT_GE(heap() - before, 100'000);
    blocks.emplace_back(8'000'000);  // that malloc maps by itself
    EXPECT_GE(heap() - before, 8'100'000);
  }
  EXPECT_LT(heap() - before, 10'000);
}

TEST(Process, CountsFilesAndThreads) {
  std::thread{[] {}}.join();  // a sanitizer begins its own with the first
  const auto before = process_json();
  const std::ifstream file{"/proc/self/stat"};
  std::promise<void> done;
  std::thread other{[until = done.get_future()]() mutable { until.wait(); }};
  const auto with = process_json();
  EXPECT_EQ(with["open_files"].get<int>(), before["open_files"].get<int>() + 1);
  EXPECT_EQ(with["threads"].get<int>(), before["threads"].get<int>() + 1);
  done.set_value();
  other.join();
}

}  // namespace
}  // namespace pfsync::engine
