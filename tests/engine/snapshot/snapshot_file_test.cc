#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "engine/snapshot/file.h"
#include "tests/engine/snapshot/snapshot_memory.h"
#include "tests/engine/temporary_directory.h"
#include "tests/wire/random_state.h"

namespace pfsync::engine::snapshot {
namespace {

/// The system's, but for one that fails; and what was called, in order.
class Calls final : public SystemCalls {
 public:
  int open(const char* path, int flags, mode_t mode) override {
    return fails("open") ? -1 : SystemCalls::open(path, flags, mode);
  }
  int lock(int file) override { return fails("lock") ? -1 : SystemCalls::lock(file); }
  ssize_t write(int file, const void* bytes, std::size_t count) override {
    // A disk takes as much as it likes.
    return fails("write") ? -1 : SystemCalls::write(file, bytes, std::min<std::size_t>(count, 1000));
  }
  int sync(int file) override { return fails("sync") ? -1 : SystemCalls::sync(file); }
  int rename(const char* from, const char* to) override { return fails("rename") ? -1 : SystemCalls::rename(from, to); }
  int unlink(const char* path) override {
    called.emplace_back("unlink");
    return SystemCalls::unlink(path);
  }

  std::vector<std::string> called;
  std::size_t failing = ~std::size_t{0};  ///< which of the calls
  int error = 0;

 private:
  bool fails(const char* name) {
    called.emplace_back(name);
    errno = error;
    return called.size() - 1 == failing;
  }
};

class SnapshotFile : public ::testing::Test {
 protected:
  /// Empty when it went well.
  std::string put(const Bytes& bytes, SystemCalls& calls) {
    NewFile file{path, calls};
    return file.open() && file.write(bytes) && file.commit() ? "" : file.error();
  }
  std::string put(const Bytes& bytes) {
    SystemCalls calls;
    return put(bytes, calls);
  }
  [[nodiscard]] Bytes content(const std::string& of) const {
    std::ifstream file{of, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, std::istreambuf_iterator<char>{}};
  }
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& entry : std::filesystem::directory_iterator{std::filesystem::path{path}.parent_path()})
      all.push_back(entry.path().filename());
    return all;
  }

  test::TemporaryDirectory folder;
  std::string path = folder.file("states.snapshot");
  static constexpr std::size_t states = 30;
  Bytes first = written(std::vector<KeptState>(10)), second = written(some_states());

 private:
  /// Too much for one write.
  static std::vector<KeptState> some_states() {
    wire::test::Random random{1};
    std::vector<KeptState> all(states);
    for (KeptState& kept : all) kept.state = wire::test::random_state(random);
    return all;
  }
};

TEST_F(SnapshotFile, TakesThePlaceOfTheOldOneOnceItIsOnTheDisk) {
  ASSERT_EQ(put(first), "");
  Calls calls;
  ASSERT_EQ(put(second, calls), "");
  EXPECT_EQ(content(path), second);
  EXPECT_EQ(names(), std::vector<std::string>{"states.snapshot"});
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0600u);
  // Content before the name, the name before anybody is told.
  const std::vector<std::string> end{calls.called.end() - 5, calls.called.end()};
  EXPECT_EQ(end, (std::vector<std::string>{"write", "sync", "rename", "open", "sync"}));
}

TEST_F(SnapshotFile, WhateverFailsTheOldOneStaysAndNothingElse) {
  ASSERT_EQ(put(first), "");
  Calls all;
  ASSERT_EQ(put(second, all), "");
  ASSERT_EQ(put(first), "");
  ASSERT_GT(all.called.size(), 10u);
  for (std::size_t i = 0; i < all.called.size(); ++i) {
    Calls calls;
    calls.failing = i;
    calls.error = ENOSPC;
    const std::string why = put(second, calls);
    EXPECT_TRUE(why.starts_with("the snapshot could not be written: ")) << i << why;
    EXPECT_EQ(names(), std::vector<std::string>{"states.snapshot"}) << all.called[i] << i;
    // Behind the rename the new one is in place, and whole.
    const bool is_renamed = i + 2 >= all.called.size();
    EXPECT_EQ(content(path), is_renamed ? second : first) << all.called[i] << i;
    ASSERT_EQ(put(first), "");
  }
}

TEST_F(SnapshotFile, SaysWhatToDo) {
  const auto why = [&](int error) {
    Calls calls;
    calls.failing = 0;
    calls.error = error;
    return put(first, calls);
  };
  const std::string begin = "the snapshot could not be written: opening " + path + ".tmp: ";
  EXPECT_EQ(why(ENOSPC),
            begin + "No space left on device; free some space there, or give snapshot.path a place on another disk");
  EXPECT_EQ(why(EROFS), begin + "Read-only file system; give snapshot.path a place that may be written to");
  EXPECT_EQ(why(EACCES), begin + "Permission denied; let pfsyncd write there, or give snapshot.path another place");
  EXPECT_EQ(why(EIO), begin + "Input/output error; check the disk");
}

TEST_F(SnapshotFile, AFolderThatIsNotThere) {
  path = folder.file("none/states.snapshot");
  EXPECT_EQ(put(first), "the snapshot could not be written: opening " + path +
                            ".tmp: No such file or directory; make the folder, or give snapshot.path another place");
}

TEST_F(SnapshotFile, AFileThatMayNotGrowFurtherIsTakenAway) {
  ASSERT_EQ(put(first), "");
  struct rlimit before {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit small = before;
  small.rlim_cur = second.size() / 2;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string why = put(second);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(why.find("writing " + path + ".tmp: File too large"), std::string::npos) << why;
  EXPECT_EQ(content(path), first);
  EXPECT_EQ(names(), std::vector<std::string>{"states.snapshot"});
}

TEST_F(SnapshotFile, WritesOverWhatAKilledProcessLeft) {
  std::ofstream{path + ".tmp"} << std::string(100'000, 'x');
  ASSERT_EQ(put(first), "");
  EXPECT_EQ(content(path), first);
  EXPECT_EQ(names(), std::vector<std::string>{"states.snapshot"});
}

TEST_F(SnapshotFile, OfTwoWritersTheSecondIsRefused) {
  SystemCalls calls;
  NewFile one{path, calls};
  ASSERT_TRUE(one.open());
  ASSERT_TRUE(one.write(first));
  EXPECT_EQ(put(second), "the snapshot could not be written: another process is writing " + path +
                             ".tmp: give each its own snapshot.path");
  ASSERT_TRUE(one.commit());
  EXPECT_EQ(content(path), first);
}

TEST_F(SnapshotFile, NeverTakesThePlaceOfSomebodysFile) {
  std::ofstream{path} << "[link]\ndevice = \"eth1\"\n";
  EXPECT_EQ(put(first), "the snapshot could not be written: " + path +
                            " is there and no snapshot of pfsyncd: remove it, or give snapshot.path another place");
  EXPECT_EQ(content(path).size(), 23u);
  EXPECT_EQ(names(), std::vector<std::string>{"states.snapshot"});
  path = folder.file("folder");
  std::filesystem::create_directory(path);
  EXPECT_NE(put(first), "");
  // But of what a power cut left of one.
  path = folder.file("empty");
  std::ofstream{path}.flush();
  EXPECT_EQ(put(first), "");
}

TEST_F(SnapshotFile, ATemporaryNameThatIsNoFile) {
  ASSERT_EQ(mkfifo((path + ".tmp").c_str(), 0600), 0);
  EXPECT_EQ(put(first), "the snapshot could not be written: " + path + ".tmp is there and no file: remove it");
  std::filesystem::remove(path + ".tmp");
  std::filesystem::create_symlink(folder.file("elsewhere"), path + ".tmp");
  EXPECT_NE(put(first), "");
  EXPECT_FALSE(std::filesystem::exists(folder.file("elsewhere")));
}

TEST_F(SnapshotFile, IsReadAsItWasWritten) {
  ASSERT_TRUE(std::holds_alternative<std::monostate>(OldFile::open(path)));
  ASSERT_EQ(put(second), "");
  auto opened = OldFile::open(path);
  Source& source = *std::get<std::unique_ptr<OldFile>>(opened);
  for (int times = 0; times < 2; ++times) {
    const auto totals = check(source);
    ASSERT_TRUE(std::holds_alternative<Totals>(totals));
    EXPECT_EQ(std::get<Totals>(totals).states, states);
    EXPECT_TRUE(source.rewind());
  }
}

TEST_F(SnapshotFile, NothingButFilesIsRead) {
  for (const std::string& odd : {std::string{"/dev/zero"}, folder.file(".")})
    EXPECT_EQ(std::get<std::string>(OldFile::open(odd)), "is no file") << odd;
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(std::get<std::string>(OldFile::open(path)), "is no file");
}

}  // namespace
}  // namespace pfsync::engine::snapshot
