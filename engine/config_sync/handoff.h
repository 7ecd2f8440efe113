#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>

namespace pfsync::engine::config_sync {

/// One piece of work at a time, from any thread to the control thread, which alone may change the daemon.
class Handoff {
 public:
  /// From any thread but the control thread: waits until it is done. False: it was not begun in time, or closed; then
  /// it is not done later either.
  [[nodiscard]] bool run(const std::function<void()>& work, std::chrono::milliseconds patience) {
    std::unique_lock lock{mutex_};
    const auto until = std::chrono::steady_clock::now() + patience;
    if (!changed_.wait_until(lock, until, [this] { return state_ == State::free || closed_; }) || closed_) return false;
    work_ = &work;
    state_ = State::waiting;
    if (!changed_.wait_until(lock, until, [this] { return state_ != State::waiting || closed_; }) ||
        state_ == State::waiting) {
      state_ = State::free;
      changed_.notify_all();
      return false;
    }
    changed_.wait(lock, [this] { return state_ == State::done; });
    state_ = State::free;
    changed_.notify_all();
    return true;
  }

  /// On the control thread: does what waits.
  void serve() {
    std::unique_lock lock{mutex_};
    if (state_ != State::waiting) return;
    state_ = State::begun;
    lock.unlock();
    (*work_)();
    lock.lock();
    state_ = State::done;
    changed_.notify_all();
  }

  /// Wakes all who wait, and takes no more.
  void close() {
    const std::lock_guard lock{mutex_};
    closed_ = true;
    changed_.notify_all();
  }

 private:
  enum class State : unsigned char { free, waiting, begun, done };
  std::mutex mutex_;
  std::condition_variable changed_;
  const std::function<void()>* work_ = nullptr;
  State state_ = State::free;
  bool closed_ = false;
};

}  // namespace pfsync::engine::config_sync
