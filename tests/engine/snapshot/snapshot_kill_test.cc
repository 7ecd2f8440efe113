// A process that writes snapshots all the time is killed at random moments: what lies in the file afterwards is one of
// them, whole, and none older than the last that it had finished.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <random>
#include <thread>

#include "engine/snapshot/file.h"
#include "tests/engine/temporary_directory.h"

namespace pfsync::engine::snapshot {
namespace {

constexpr std::size_t states = 10'000;

/// What the writing process tells; it lies in memory that outlives it.
struct Told {
  std::atomic<std::uint32_t> begun{0}, finished{0}, files{0};
};

/// Every state bears the number of its snapshot.
bool write_one(const std::string& path, std::uint32_t number, Told& told) {
  SystemCalls calls;
  NewFile file{path, calls};
  if (!file.open()) return false;
  told.files.fetch_add(1);
  Writer writer{{.written_at_s = number, .states = states}, file};
  bool good = writer.begin();
  for (std::uint64_t id = 1; good && id <= states; ++id) {
    wire::State& state = writer.next().state;
    state = {};
    state.id = {id, number};
    state.rule = number;
    state.packets[0] = id * 0x9e3779b97f4a7c15;  // hardly to be compressed: the file takes many writes
    state.bytes[0] = id * 0xbf58476d1ce4e5b9;
    good = writer.keep();
  }
  return good && writer.finish() && file.commit();
}

[[noreturn]] void write_on(const std::string& path, Told& told) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (std::uint32_t number = told.begun + 1;; ++number) {
    told.begun = number;
    if (!write_one(path, number, told)) _exit(1);
    told.finished = number;
  }
}

/// The number that all states of the file bear; 0 and a failure when they do not.
std::uint32_t number_in(const std::string& path) {
  auto opened = OldFile::open(path);
  auto* file = std::get_if<std::unique_ptr<OldFile>>(&opened);
  if (file == nullptr) return 0;
  Reader reader{**file};
  if (const auto why = reader.begin()) {
    ADD_FAILURE() << *why;
    return 0;
  }
  const auto number = static_cast<std::uint32_t>(reader.header().written_at_s);
  while (true) {
    const auto block = reader.next();
    if (const auto* why = std::get_if<std::string>(&block)) {
      ADD_FAILURE() << *why;
      return 0;
    }
    const auto read = std::get<std::span<const KeptState>>(block);
    if (read.empty()) break;
    for (const KeptState& kept : read)
      if (kept.state.rule != number || kept.state.id.creatorid != number) {
        ADD_FAILURE() << "states of two snapshots in one";
        return 0;
      }
  }
  EXPECT_EQ(reader.totals().states, states);
  return number;
}

std::size_t rounds() {
  const char* const wanted = std::getenv("SNAPSHOT_KILLS");
  return wanted == nullptr ? 60 : std::strtoul(wanted, nullptr, 10);
}

TEST(SnapshotKill, TheFileIsTheOldOneOrTheNewOne) {
  test::TemporaryDirectory folder;
  const std::string path = folder.file("states.snapshot");
  void* const memory = mmap(nullptr, sizeof(Told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  Told& told = *new (memory) Told;
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random{seed};
  // As long as this machine takes for one: a kill comes amid the first, or the second, or the third.
  const auto began = std::chrono::steady_clock::now();
  told.begun = 1;
  ASSERT_TRUE(write_one(path, 1, told));
  told.finished = 1;
  const auto took = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - began);
  std::uniform_int_distribution<std::chrono::microseconds::rep> moment{0, took.count() * 5 / 2};
  std::size_t left_over = 0, replaced = 0;
  std::uint32_t before = 1;
  for (std::size_t round = 0; round < rounds() && !HasFailure(); ++round) {
    const std::uint32_t files = told.files;
    const pid_t writer = fork();
    ASSERT_GE(writer, 0);
    if (writer == 0) write_on(path, told);
    // The moment counts from the first file on, or a slow fork would have most of them before anything is written.
    while (told.files == files && waitpid(writer, nullptr, WNOHANG) == 0)
      std::this_thread::sleep_for(std::chrono::microseconds{50});
    std::this_thread::sleep_for(std::chrono::microseconds{moment(random)});
    kill(writer, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(writer, &status, 0), writer);
    ASSERT_TRUE(WIFSIGNALED(status)) << "it could not write";
    left_over += std::filesystem::exists(path + ".tmp") ? 1 : 0;
    const std::uint32_t number = number_in(path);
    EXPECT_GE(number, told.finished);
    EXPECT_LE(number, told.begun);
    EXPECT_GE(number, before);
    replaced += number > before ? 1 : 0;
    before = number;
  }
  RecordProperty("left_over", std::to_string(left_over));
  std::cout << rounds() << " kills: " << left_over << " amid the file, " << replaced << " after a new one; "
            << told.finished << " snapshots were finished\n";
  EXPECT_GT(left_over, 0u) << "no kill came while a file was being written: nothing was shown";
  EXPECT_GT(replaced, 0u) << "no snapshot was ever finished: nothing was shown";
  munmap(memory, sizeof(Told));
}

}  // namespace
}  // namespace pfsync::engine::snapshot
