#include "engine/dpdk/log.h"

#include <poll.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdlib>
#include <memory>
#include <string>

#include "engine/dpdk/log_level.h"

namespace pfsync::engine::dpdk {
namespace {

/// "<6>"
class Priority final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm& /*time*/, spdlog::memory_buf_t& out) override {
    // By spdlog's levels: trace, debug, info, warn, err, critical, off. Source: syslog(3).
    constexpr std::array<char, 7> priorities{'7', '7', '6', '4', '3', '2', '6'};
    for (const char c : {'<', priorities.at(static_cast<std::size_t>(message.level)), '>'}) out.push_back(c);
  }
  [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<Priority>(); }
};

std::unique_ptr<spdlog::formatter> formatter() {
  auto made = std::make_unique<spdlog::pattern_formatter>();
  if (writes_to_journal())
    made->add_flag<Priority>('*').set_pattern("%*%v");
  else
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%e %l: %v");
  return made;
}

/// Whether it takes a piece of PIPE_BUF bytes without waiting for a reader, or fails at once. A terminal that is
/// stopped and a pipe that nobody reads do not.
bool takes_more(std::FILE* out) {
  pollfd file{.fd = fileno(out), .events = POLLOUT, .revents = 0};
  return poll(&file, 1, 0) != 0;
}

}  // namespace

bool BoundedSink::write(const spdlog::details::log_msg& message) {
  spdlog::memory_buf_t line;
  formatter_->format(message, line);
  for (std::size_t at = 0; at < line.size(); at += PIPE_BUF) {
    if (!takes_more(out_)) return false;
    std::fwrite(line.data() + at, 1, std::min<std::size_t>(line.size() - at, PIPE_BUF), out_);
  }
  return true;
}

void BoundedSink::sink_it_(const spdlog::details::log_msg& message) {
  const statetable::Instant now{std::chrono::duration_cast<statetable::Duration>(message.time.time_since_epoch())};
  if (!(message.level < spdlog::level::err ? lines_ : errors_).take(now)) {
    ++left_out_;
    return;
  }
  const auto say = [&](const std::string& words) {
    return write({message.time, message.source, message.logger_name, spdlog::level::warn, words});
  };
  if (left_out_ > 0 &&
      say(std::to_string(left_out_) + " lines of the log were left out: too many at once, or nobody read them"))
    left_out_ = 0;
  // Whoever logs has more to do than to wait for a reader: to serve bulk updates, for one.
  if (left_out_ > 0 || !write(message)) ++left_out_;
}

bool writes_to_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");  // DEVICE:INODE of what the journal reads from
  struct stat about {};
  if (stream == nullptr || fstat(STDERR_FILENO, &about) != 0) return false;
  return std::to_string(about.st_dev) + ":" + std::to_string(about.st_ino) == stream;
}

void open_log(Config::LogLevel level) {
  auto sink = std::make_shared<BoundedSink>(stderr);
  auto logger = std::make_shared<spdlog::logger>("pfsyncd", std::move(sink));
  logger->set_formatter(formatter());
  logger->flush_on(spdlog::level::trace);
  spdlog::set_default_logger(std::move(logger));
  set_log_level(level);
}

}  // namespace pfsync::engine::dpdk
