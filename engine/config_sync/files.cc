#include "engine/config_sync/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

namespace pfsync::engine::config_sync {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, int error = errno) {
  throw std::system_error{error, std::generic_category(), path.string()};
}

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

}  // namespace

std::optional<std::string> DiskFiles::read(const std::string& name) {
  const Descriptor file{open(path(name).c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0 && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  if (file.fd < 0) fail(path(name));
  std::string bytes;
  char room[16'384];
  for (;;) {
    const ssize_t got = ::read(file.fd, room, sizeof room);
    if (got < 0) fail(path(name));
    if (got == 0) return bytes;
    bytes.append(room, static_cast<std::size_t>(got));
  }
}

void DiskFiles::write(const std::string& name, const std::string& bytes) {
  std::filesystem::create_directories(folder_);
  if (chmod(folder_.c_str(), 0700) != 0) fail(folder_);
  Descriptor file{open(path(name).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
  if (file.fd < 0) fail(path(name));
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t written = ::write(file.fd, bytes.data() + done, bytes.size() - done);
    if (written < 0) fail(path(name));
    done += static_cast<std::size_t>(written);
  }
  if (fsync(file.fd) != 0) fail(path(name));
}

void DiskFiles::rename(const std::string& from, const std::string& to) {
  if (::rename(path(from).c_str(), path(to).c_str()) != 0) fail(path(to));
}

void DiskFiles::link(const std::string& from, const std::string& to) {
  remove(to);
  if (::link(path(from).c_str(), path(to).c_str()) != 0) fail(path(to));
}

void DiskFiles::remove(const std::string& name) {
  if (unlink(path(name).c_str()) != 0 && errno != ENOENT && errno != ENOTDIR) fail(path(name));
}

void DiskFiles::sync_directory() {
  const Descriptor folder{open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (folder.fd < 0 || fsync(folder.fd) != 0) fail(folder_);
}

std::vector<std::string> DiskFiles::list() {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator{folder_, error})
    names.push_back(entry.path().filename().string());
  return names;
}

}  // namespace pfsync::engine::config_sync
