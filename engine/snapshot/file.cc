#include "engine/snapshot/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

namespace pfsync::engine::snapshot {
namespace {

std::string reason(int error) { return std::generic_category().message(error); }

std::string advice(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT: return "free some space there, or give snapshot.path a place on another disk";
    case EFBIG: return "raise the limit on the size of files, or give snapshot.path a place on another file system";
    case EROFS: return "give snapshot.path a place that may be written to";
    case EACCES:
    case EPERM: return "let pfsyncd write there, or give snapshot.path another place";
    case ENOENT:
    case ENOTDIR: return "make the folder, or give snapshot.path another place";
    default: return "check the disk";
  }
}

std::string folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path{path}.parent_path().string();
  return folder.empty() ? "." : folder;
}

/// Whether what stands there may be replaced: a snapshot, an empty file, or nothing.
bool is_replaceable(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) return true;
  if (!S_ISREG(status.st_mode)) return false;
  if (status.st_size == 0) return true;
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (file < 0) return false;
  std::array<std::uint8_t, magic.size()> front{};
  const ssize_t read = ::read(file, front.data(), front.size());
  ::close(file);
  return read > 0 && std::equal(front.begin(), front.begin() + read, magic.begin());
}

}  // namespace

int SystemCalls::open(const char* path, int flags, mode_t mode) { return ::open(path, flags, mode); }
int SystemCalls::lock(int file) { return ::flock(file, LOCK_EX | LOCK_NB); }
ssize_t SystemCalls::write(int file, const void* bytes, std::size_t count) { return ::write(file, bytes, count); }
int SystemCalls::sync(int file) { return ::fsync(file); }
int SystemCalls::close(int file) { return ::close(file); }
int SystemCalls::rename(const char* from, const char* to) { return std::rename(from, to); }
int SystemCalls::unlink(const char* path) { return ::unlink(path); }

NewFile::NewFile(std::string path, SystemCalls& calls)
    : path_{std::move(path)}, temporary_{path_ + ".tmp"}, calls_{calls} {}

NewFile::~NewFile() { give_up(); }

void NewFile::give_up() noexcept {
  // Its name first: nobody else may get it while it is locked.
  if (is_ours_) calls_.unlink(temporary_.c_str());
  if (file_ >= 0) calls_.close(file_);
  is_ours_ = false;
  file_ = -1;
}

bool NewFile::fail(std::string_view doing, const std::string& what) {
  const int error = errno;
  error_ = fmt::format("the snapshot could not be written: {} {}: {}; {}", doing, what, reason(error), advice(error));
  give_up();
  return false;
}

bool NewFile::open() {
  if (!is_replaceable(path_)) {
    error_ = fmt::format(
        "the snapshot could not be written: {} is there and no snapshot of pfsyncd: remove it, or give snapshot.path "
        "another place",
        path_);
    return false;
  }
  file_ = calls_.open(temporary_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
  if (file_ < 0) return fail("opening", temporary_);
  const auto is_another = [this] {
    error_ =
        fmt::format("the snapshot could not be written: another process is writing {}: give each its own snapshot.path",
                    temporary_);
    give_up();
    return false;
  };
  if (calls_.lock(file_) != 0) {
    if (errno == EWOULDBLOCK) return is_another();
    is_ours_ = true;
    return fail("locking", temporary_);
  }
  // Who had the lock until now may have put this very file into place.
  struct stat opened {
  }, named{};
  if (::fstat(file_, &opened) != 0) return fail("looking at", temporary_);
  if (::lstat(temporary_.c_str(), &named) != 0 || opened.st_ino != named.st_ino || opened.st_dev != named.st_dev)
    return is_another();
  if (!S_ISREG(opened.st_mode)) {
    error_ = fmt::format("the snapshot could not be written: {} is there and no file: remove it", temporary_);
    give_up();
    return false;
  }
  is_ours_ = true;
  if (::ftruncate(file_, 0) != 0) return fail("emptying", temporary_);
  return true;
}

bool NewFile::write(std::span<const std::uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = calls_.write(file_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written == 0) errno = ENOSPC;
    if (written <= 0) return fail("writing", temporary_);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return true;
}

bool NewFile::sync_folder() {
  const std::string folder = folder_of(path_);
  const int file = calls_.open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (file < 0) return fail("opening", folder);
  const bool done = calls_.sync(file) == 0 || fail("syncing", folder);
  calls_.close(file);
  return done;
}

bool NewFile::commit() {
  if (calls_.sync(file_) != 0) return fail("syncing", temporary_);
  if (calls_.rename(temporary_.c_str(), path_.c_str()) != 0) return fail("renaming", temporary_);
  is_ours_ = false;
  // It will hardly be read again: its pages are worth more to others. What is refused here is no loss.
  static_cast<void>(::posix_fadvise(file_, 0, 0, POSIX_FADV_DONTNEED));
  // An error of close(2) tells nothing that fsync(2) did not.
  calls_.close(file_);
  file_ = -1;
  return sync_folder();
}

std::variant<std::unique_ptr<OldFile>, std::monostate, std::string> OldFile::open(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0 && errno == ENOENT) return std::monostate{};
  if (file < 0) return "cannot be opened: " + reason(errno);
  struct stat status {};
  if (::fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(file);
    return "is no file";
  }
  static_cast<void>(::posix_fadvise(file, 0, 0, POSIX_FADV_SEQUENTIAL));
  return std::unique_ptr<OldFile>{new OldFile{file}};
}

OldFile::~OldFile() { ::close(file_); }

std::optional<std::size_t> OldFile::read(std::span<std::uint8_t> into) {
  std::size_t count = 0;
  while (count < into.size()) {
    const ssize_t read = ::read(file_, into.data() + count, into.size() - count);
    if (read < 0 && errno == EINTR) continue;
    if (read < 0) {
      error_ = reason(errno);
      return std::nullopt;
    }
    if (read == 0) break;
    count += static_cast<std::size_t>(read);
  }
  return count;
}

bool OldFile::rewind() {
  if (::lseek(file_, 0, SEEK_SET) == 0) return true;
  error_ = reason(errno);
  return false;
}

bool set_aside(const std::string& path) { return std::rename(path.c_str(), (path + ".refused").c_str()) == 0; }

}  // namespace pfsync::engine::snapshot
