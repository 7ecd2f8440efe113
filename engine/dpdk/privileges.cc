#include "engine/dpdk/privileges.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <stdexcept>
#include <system_error>
#include <vector>

namespace pfsync::engine::dpdk {
namespace {

constexpr unsigned depth_max = 8;

[[noreturn]] void fail(const std::string& what, int error) {
  throw std::runtime_error{what + " (" + std::generic_category().message(error) + ")"};
}

struct CloseFolder {
  void operator()(DIR* folder) const noexcept { closedir(folder); }
};

/// Takes the descriptor. Only what is root's and has one name: whoever could write here before cannot have root give
/// away what is not in here.
void give(int fd, const Identity& identity, unsigned depth) {
  struct stat about {};
  const bool is_ours =
      fstat(fd, &about) == 0 && (S_ISDIR(about.st_mode) || (S_ISREG(about.st_mode) && about.st_nlink == 1));
  if (is_ours && about.st_uid == 0 && fchown(fd, identity.uid, identity.gid) != 0) {
    const int error = errno;
    close(fd);
    fail("a file of control.state_dir cannot become " + identity.name + "'s", error);
  }
  if (!is_ours || !S_ISDIR(about.st_mode) || depth == depth_max) {
    close(fd);
    return;
  }
  const std::unique_ptr<DIR, CloseFolder> folder{fdopendir(fd)};
  if (!folder) {
    close(fd);
    return;
  }
  while (const dirent* entry = readdir(folder.get())) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (const int inner = openat(fd, entry->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC); inner >= 0)
      give(inner, identity, depth + 1);
  }
}

/// Of the calling thread; the C library has no word for it.
void set_capabilities(std::uint32_t set) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
  data[0].effective = data[0].permitted = set;
  if (syscall(SYS_capset, &header, data.data()) != 0) fail("capabilities cannot be given up", errno);
}

}  // namespace

std::variant<Identity, std::string> find_identity(const std::string& user) {
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> texts(std::size_t{16} * 1024);
  const int error = getpwnam_r(user.c_str(), &entry, texts.data(), texts.size(), &found);
  if (found == nullptr)
    return "--user: there is no user " + user + " on this machine" +
           (error == 0 ? "" : " (" + std::generic_category().message(error) + ")") + ": name one that is, or make it";
  if (geteuid() != 0 && geteuid() != entry.pw_uid)
    return "--user: only root can become " + user + ": start pfsyncd as root or as " + user;
  return Identity{.name = user, .uid = entry.pw_uid, .gid = entry.pw_gid};
}

void give_folder(const std::filesystem::path& folder, const Identity& identity) {
  if (geteuid() != 0) return;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail("control.state_dir " + folder.string() + " cannot be opened", errno);
  give(fd, identity, 0);
}

void become(const Identity& identity) {
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (geteuid() != 0) return set_capabilities(0);
  // The C library does the next three in every thread, and with the effective user's change the kernel takes every
  // effective capability from each.
  if (initgroups(identity.name.c_str(), identity.gid) != 0 ||
      setresgid(identity.gid, identity.gid, identity.gid) != 0 || setresuid(identity.uid, identity.uid, 0) != 0)
    fail("--user: this process cannot become " + identity.name, errno);
  if (identity.uid != 0) set_capabilities(1u << CAP_NET_BIND_SERVICE);
}

void end_privileges(const Identity& identity) {
  // The saved user was the last that was root's: with it the kernel takes all that is left, from every thread.
  if (setresuid(identity.uid, identity.uid, identity.uid) != 0)
    fail("--user: this process cannot become " + identity.name, errno);
}

}  // namespace pfsync::engine::dpdk
