#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <optional>

namespace pfsync::engine::http {

using Json = nlohmann::ordered_json;

/// Control requests on their way from the threads of HTTP to the control thread, and the answers back. Bounded in
/// number; nobody waits for longer than he said.
class Mailbox {
 public:
  explicit Mailbox(std::size_t capacity) : capacity_{capacity} {}

  /// From any thread but the control thread. The answer, or nothing: too many wait, it did not come in time, or the
  /// mailbox is closed. What nobody waits for any more is not carried out, unless it was begun.
  [[nodiscard]] std::optional<Json> post(Json request, std::chrono::milliseconds patience);

  /// On the control thread: answers what waits, `most` at most, and begins none once `budget` is used up. Returns how
  /// many. What the handler throws is an answer that says so.
  std::size_t serve(const std::function<Json(const Json& request)>& handler, std::size_t most,
                    std::chrono::milliseconds budget);

  /// From any thread: wakes all who wait, with nothing, and takes no more.
  void close();

  /// Requests that the control thread has yet to begin.
  [[nodiscard]] std::size_t waiting() const;
  /// Requests that found it full, and those whose answer came late or not at all.
  [[nodiscard]] std::uint64_t refused() const;
  [[nodiscard]] std::uint64_t late() const;

 private:
  struct Call;
  const std::size_t capacity_;
  mutable std::mutex mutex_;
  std::condition_variable answered_;
  std::deque<std::shared_ptr<Call>> waiting_;
  bool closed_ = false;
  std::uint64_t refused_ = 0;
  std::uint64_t late_ = 0;
};

}  // namespace pfsync::engine::http
