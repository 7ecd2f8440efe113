#include "engine/http/whole_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

namespace pfsync::engine::http {
namespace {

/// What root writes for a daemon that is somebody else is that one's: as the file before, or as its folder.
bool give_away(int fd, const std::filesystem::path& file) {
  struct stat about {};
  if (geteuid() != 0) return true;
  const std::filesystem::path folder = file.has_parent_path() ? file.parent_path() : ".";
  if (lstat(file.c_str(), &about) != 0 && stat(folder.c_str(), &about) != 0) return true;
  return fchown(fd, about.st_uid, about.st_gid) == 0;
}

}  // namespace

std::string write_whole(const std::filesystem::path& file, const std::string& text, mode_t mode) {
  const std::string temporary = file.string() + ".new";
  const auto failed = [&] {
    return file.string() + " cannot be written (" + std::generic_category().message(errno) + ")";
  };
  unlink(temporary.c_str());
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (fd < 0) return failed();
  const bool written =
      give_away(fd, file) && write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(fd) == 0;
  const bool closed = close(fd) == 0;
  if (!written || !closed || rename(temporary.c_str(), file.c_str()) != 0) return failed();
  return "";
}

}  // namespace pfsync::engine::http
