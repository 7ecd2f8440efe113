#include "engine/control/memory.h"

#include <gtest/gtest.h>
#include <malloc.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <limits>

#include "engine/session/session.h"
#include "tests/under_sanitizer.h"

namespace pfsync::engine {
namespace {

constexpr std::uint64_t mib = 1 << 20;

/// A machine's /proc and /sys, as far as memory goes.
class Memory : public ::testing::Test {
 protected:
  Memory() : root_{std::filesystem::temp_directory_path() / ("memory_test." + std::to_string(getpid()))} {
    std::filesystem::remove_all(root_);
  }
  ~Memory() override { std::filesystem::remove_all(root_); }
  void write(const std::string& file, const std::string& text) const {
    std::filesystem::create_directories((root_ / file).parent_path());
    std::ofstream{root_ / file} << text;
  }
  std::filesystem::path root_;
};

TEST_F(Memory, IsWhatTheKernelCallsAvailable) {
  write("proc/meminfo", "MemTotal: 9000000 kB\nMemFree: 10 kB\nMemAvailable:    2048 kB\n");
  EXPECT_EQ(available_memory(root_), 2 * mib);
}

TEST_F(Memory, IsLessInAGroupWithALimit) {
  write("proc/meminfo", "MemAvailable: 1048576 kB\n");
  write("proc/self/cgroup", "0::/box/inner\n");
  write("sys/fs/cgroup/box/memory.max", "104857600\n");
  write("sys/fs/cgroup/box/memory.current", "41943040\n");
  write("sys/fs/cgroup/box/memory.stat", "anon 1\ninactive_file 10485760\n");
  write("sys/fs/cgroup/box/inner/memory.max", "max\n");
  write("sys/fs/cgroup/box/inner/memory.current", "1\n");
  EXPECT_EQ(available_memory(root_), 70 * mib) << "100 less 40 in use, 10 of which can be had back";
}

TEST_F(Memory, KnowsTheFirstVersionOfGroups) {
  write("proc/meminfo", "MemAvailable: 1048576 kB\n");
  write("proc/self/cgroup", "11:cpu,cpuacct:/\n7:memory:/box\n");
  write("sys/fs/cgroup/memory/box/memory.limit_in_bytes", "10485760\n");
  write("sys/fs/cgroup/memory/box/memory.usage_in_bytes", "20971520\n");
  EXPECT_EQ(available_memory(root_), 0u) << "above its limit";
}

TEST_F(Memory, IsUnlimitedWhereNobodySays) {
  EXPECT_EQ(available_memory(root_), std::numeric_limits<std::uint64_t>::max());
}

TEST(MemoryHere, IsMoreThanThisTestTakes) { EXPECT_GT(available_memory(), 1 * mib); }

/// From the begin of the program on, so that no large piece is one that an earlier test has given back, and none is
/// written to because MALLOC_PERTURB_ wants it, which meson sets for tests.
[[maybe_unused]] const int large_pieces_are_the_kernels = mallopt(M_MMAP_THRESHOLD, 1 << 20),
                           pieces_are_as_given = mallopt(M_PERTURB, 0);

/// Bytes that the kernel has given this process.
std::size_t resident() {
  std::size_t all = 0, in_memory = 0;
  std::ifstream{"/proc/self/statm"} >> all >> in_memory;
  return in_memory * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

/// So that nobody who sends states can make the process larger.
TEST(SessionMemory, IsTakenAtStartWhereTheTablesIs) {
  constexpr std::size_t peers = 8, states_max = 500'000;
  std::array<std::size_t, 2> taken{};
  for (const bool reserve : {false, true}) {
    auto made = statetable::Table::create({.states_max = states_max, .reserve = reserve});
    auto& table = std::get<std::unique_ptr<statetable::Table>>(made);
    SessionConfig config;
    config.peers = std::vector<PeerConfig>(peers);
    const std::size_t before = resident();
    Session session{config, *table};
    taken[reserve] = resident() - before;
  }
  // AddressSanitizer's memory is touched in any case.
  EXPECT_GE(taken[true], (under_sanitizer ? 0 : taken[false]) + peers * Outbox::memory_bytes(states_max) * 9 / 10);
}

}  // namespace
}  // namespace pfsync::engine
