// What a process that was restricted can no longer do, each tried in a child of its own: there is no way back.
#include "engine/dpdk/system_calls.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <functional>
#include <thread>

namespace pfsync::engine::dpdk {
namespace {

constexpr int not_restricted = 77;

/// How a child ends that is restricted and then returns what `does` returns; as wait(2) tells it.
int end_of(const std::function<int()>& does, std::optional<std::string> (*restrict)() = restrict_system_calls) {
  const pid_t child = fork();
  if (child == 0) {
    if (restrict()) _exit(not_restricted);
    _exit(does());
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return status;
}

class SystemCalls : public testing::Test {
 protected:
  void SetUp() override {
    if (WEXITSTATUS(end_of([] { return 0; })) == not_restricted) GTEST_SKIP() << "seccomp(2) cannot be had here";
  }
  /// It is refused, and the process goes on.
  static void expect_refused(const std::function<long()>& call,
                             std::optional<std::string> (*restrict)() = restrict_system_calls) {
    const int status = end_of(
        [&] {
          errno = 0;
          return call() == -1 ? errno : 0;
        },
        restrict);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), EPERM);
  }
  static void expect_the_end(const std::function<long()>& call) {
    const int status = end_of([&] { return call() == -1 ? 1 : 0; });
    ASSERT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);
    EXPECT_EQ(WTERMSIG(status), SIGSYS);
  }
};

long mapped(int protection) {
  void* at = mmap(nullptr, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return at == MAP_FAILED ? -1 : 0;
}

TEST_F(SystemCalls, NoOtherProgramIsStarted) {
  expect_the_end([] { return execl("/bin/true", "true", nullptr); });
  expect_refused([] { return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); });
  expect_the_end([] { return syscall(SYS_vfork); });
  expect_refused([] { return syscall(SYS_clone, CLONE_THREAD | CLONE_VM | CLONE_SIGHAND | CLONE_NEWNET, 0, 0, 0, 0); });
}

TEST_F(SystemCalls, NothingElseIsLookedInto) {
  expect_the_end([] { return ptrace(PTRACE_ATTACH, getppid(), nullptr, nullptr); });
  expect_the_end([] { return syscall(SYS_process_vm_readv, getppid(), nullptr, 0, nullptr, 0, 0); });
  expect_the_end([] { return syscall(SYS_bpf, 0, nullptr, 0); });
  expect_refused([] { return kill(getppid(), 0); });
  expect_refused([] { return syscall(SYS_tgkill, getppid(), getppid(), 0); });
  EXPECT_EQ(end_of([] { return static_cast<int>(syscall(SYS_tgkill, getpid(), gettid(), 0)); }), 0);
}

TEST_F(SystemCalls, NoMemoryBecomesExecutable) {
  expect_refused([] { return mapped(PROT_READ | PROT_EXEC); });
  expect_refused([] {
    void* at = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return mprotect(at, 4096, PROT_READ | PROT_EXEC);
  });
  EXPECT_EQ(end_of([] { return static_cast<int>(mapped(PROT_READ | PROT_WRITE)); }), 0);
}

TEST_F(SystemCalls, OnlySocketsOfUsualFamiliesAreMade) {
  expect_refused([] { return socket(AF_PACKET, SOCK_RAW, 0); });
  expect_refused([] { return socket(AF_VSOCK, SOCK_STREAM, 0); });
  expect_refused([] { return socket(AF_INET, SOCK_RAW, 255); });
  expect_refused([] { return socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, 255); });
  for (const int family : {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK})
    EXPECT_EQ(end_of([&] { return socket(family, SOCK_DGRAM, 0) == -1 && errno == EPERM; }), 0) << family;
}

TEST_F(SystemCalls, ThreadsGoOnAndBegin) {
  const int status = end_of([] {
    std::atomic<int> sum{0};
    std::thread{[&] { sum += 1; }}.join();
    return sum == 1 ? 0 : 1;
  });
  EXPECT_EQ(status, 0);
}

TEST_F(SystemCalls, ThreadsThatWereThereAreRestrictedToo) {
  const pid_t child = fork();
  if (child == 0) {
    std::atomic<bool> restricted{false};
    int mode = -1;
    std::thread before{[&] {
      while (!restricted) std::this_thread::yield();
      mode = prctl(PR_GET_SECCOMP);
    }};
    const bool failed = restrict_system_calls().has_value();
    restricted = true;
    before.join();
    _exit(!failed && mode == SECCOMP_MODE_FILTER ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(SystemCalls, ADataPathOpensNothing) {
  const auto both = +[]() -> std::optional<std::string> {
    if (auto why = restrict_system_calls()) return why;
    return restrict_data_path();
  };
  expect_refused([] { return open("/dev/null", O_RDONLY); }, both);
  expect_refused([] { return socket(AF_INET, SOCK_DGRAM, 0); }, both);
  expect_refused([] { return syscall(SYS_clone, CLONE_THREAD | CLONE_VM | CLONE_SIGHAND, 0, 0, 0, 0); }, both);
  EXPECT_EQ(end_of([] { return open("/dev/null", O_RDONLY) == -1; }), 0);
  EXPECT_EQ(end_of([] { return usleep(1) == -1; }, both), 0);
}

}  // namespace
}  // namespace pfsync::engine::dpdk
