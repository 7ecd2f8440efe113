#include "engine/http/audit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>

#include "engine/http/words.h"

namespace pfsync::engine::http {
namespace {

std::mutex all_files;  ///< of this process: who adds to a file must not do so while another one renames it

std::string now_text() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm parts{};
  gmtime_r(&now.tv_sec, &parts);
  std::array<char, 32> room{};
  const std::size_t size = std::strftime(room.data(), room.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  std::string ms = std::to_string(now.tv_nsec / 1'000'000);
  return std::string{room.data(), size} + "." + std::string(3 - ms.size(), '0') + ms + "Z";
}

bool names_a_secret(std::string_view key) {
  constexpr std::array<std::string_view, 5> words{"password", "secret", "token", "csrf", "pass"};
  const std::string small = lower(key);
  return small == "key" || std::any_of(words.begin(), words.end(),
                                       [&](std::string_view word) { return small.find(word) != std::string::npos; });
}

}  // namespace

nlohmann::ordered_json masked(const nlohmann::ordered_json& json) {
  nlohmann::ordered_json copy = json;
  if (!copy.is_structured()) return copy;
  for (auto it = copy.begin(); it != copy.end(); ++it)
    *it = copy.is_object() && names_a_secret(it.key()) ? nlohmann::ordered_json("***") : masked(*it);
  return copy;
}

AuditFile::~AuditFile() {
  if (fd_ >= 0) close(fd_);
}

bool AuditFile::open() {
  struct stat named {
  }, opened{};
  if (fd_ >= 0 && stat(file_.c_str(), &named) == 0 && fstat(fd_, &opened) == 0 && named.st_ino == opened.st_ino &&
      named.st_dev == opened.st_dev) {
    size_ = static_cast<std::size_t>(opened.st_size);
    return true;
  }
  // The first time, or it is FILE.1 by now.
  if (fd_ >= 0) close(fd_);
  std::error_code error;
  std::filesystem::create_directories(file_.parent_path(), error);
  fd_ = ::open(file_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  struct stat there {};
  if (fd_ < 0 || fstat(fd_, &there) != 0) return false;
  size_ = static_cast<std::size_t>(there.st_size);
  return true;
}

void AuditFile::rotate() {
  close(fd_);
  fd_ = -1;
  const auto old = [this](unsigned number) { return file_.string() + "." + std::to_string(number); };
  std::error_code error;
  for (unsigned number = kept_; number > 1; --number) std::filesystem::rename(old(number - 1), old(number), error);
  std::filesystem::rename(file_, old(1), error);
}

bool AuditFile::record(const nlohmann::ordered_json& entry) {
  nlohmann::ordered_json line{{"time", now_text()}};
  line.update(entry);
  const std::string text = line.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  const std::lock_guard lock{all_files};
  if (!open()) return false;
  if (size_ > 0 && size_ + text.size() > bytes_max_) {
    rotate();
    if (!open()) return false;
  }
  // In one call: what is added to a file from two sides does not mix.
  const ssize_t written = write(fd_, text.data(), text.size());
  if (written > 0) size_ += static_cast<std::size_t>(written);
  return written == static_cast<ssize_t>(text.size());
}

}  // namespace pfsync::engine::http
