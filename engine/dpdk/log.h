#pragma once

#include <spdlog/sinks/base_sink.h>

#include <cstdint>
#include <cstdio>
#include <mutex>

#include "engine/config/config.h"
#include "engine/token_bucket.h"

namespace pfsync::engine::dpdk {

/// A log that nobody outside can fill a disk with: so many lines a second on average, and a burst of them at once; and
/// as many errors, which what is less than an error cannot keep away. Nobody waits for its reader: what a pipe or a
/// terminal does not take is left out. What is left out is counted in the next line that is written. Any thread.
class BoundedSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  static constexpr std::uint64_t lines_per_s = 2, burst = 500;

  /// `out`, without a buffer or flushed after each line, must outlive this.
  explicit BoundedSink(std::FILE* out) : out_{out} {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override;
  void flush_() override { std::fflush(out_); }
  /// Whether all of it was taken.
  bool write(const spdlog::details::log_msg& message);

  std::FILE* out_;
  TokenBucket lines_{lines_per_s, burst}, errors_{lines_per_s, burst};
  std::uint64_t left_out_ = 0;
};

/// Whether standard error goes to the journal.
[[nodiscard]] bool writes_to_journal();

/// Before the first line: standard error becomes the log's. Under the journal each line begins with its priority, as
/// sd-daemon(3) has it, and leaves time and name to it; elsewhere it begins with time and level.
void open_log(Config::LogLevel level);

}  // namespace pfsync::engine::dpdk
