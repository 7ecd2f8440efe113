#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>

#include "engine/divergence/answerer.h"

namespace pfsync::engine::divergence {

/// Both clocks of the node that a comparison needs: the engine's, from any thread.
using Now = std::function<Instant()>;

/// The answerer as threads of a listener reach it: one at a time, the others wait for a moment.
class Door {
 public:
  static constexpr std::chrono::seconds patience{5};

  Door(const OwnFacts& facts, const statetable::TableReader& reader, Ground ground, Now now)
      : answerer_{facts, reader, std::move(ground)}, now_{std::move(now)}, delay_ms_{facts.delay_ms} {}

  /// Of a caller whose key is known. Any thread but the control thread, which carries repairs out.
  [[nodiscard]] std::string answer(const std::string& request) {
    const Turn turn{*this, patience};
    if (!turn.has()) return encode(Answer{Refused{"another comparison keeps this node busy: try again"}});
    requests_.fetch_add(1, std::memory_order_relaxed);
    answerer_.set_delay(delay_ms_.load(std::memory_order_relaxed));
    const Instant now = now_();
    return answerer_.answer(request, now, statetable::to_seconds(now));
  }
  /// From the control thread, often; waits for nobody.
  void tick() {
    const Turn turn{*this, std::chrono::seconds{0}};
    if (turn.has()) answerer_.tick(now_());
  }
  void set_delay(std::uint32_t delay_ms) { delay_ms_.store(delay_ms, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t requests() const noexcept { return requests_.load(std::memory_order_relaxed); }

 private:
  /// While it lives the answerer is one caller's, if that came about in time.
  class Turn {
   public:
    Turn(Door& door, std::chrono::seconds wait) : door_{door} {
      std::unique_lock lock{door.mutex_};
      has_ = door.free_.wait_for(lock, wait, [&door] { return !door.is_taken_; });
      if (has_) door.is_taken_ = true;
    }
    ~Turn() {
      if (!has_) return;
      {
        const std::lock_guard lock{door_.mutex_};
        door_.is_taken_ = false;
      }
      door_.free_.notify_one();
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    [[nodiscard]] bool has() const noexcept { return has_; }

   private:
    Door& door_;
    bool has_ = false;
  };

  std::mutex mutex_;  // of the two below
  std::condition_variable free_;
  bool is_taken_ = false;
  Answerer answerer_;
  Now now_;
  std::atomic<std::uint32_t> delay_ms_;
  std::atomic<std::uint64_t> requests_{0};
};

}  // namespace pfsync::engine::divergence
