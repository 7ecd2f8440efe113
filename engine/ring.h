#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <optional>

namespace pfsync::engine {

/// A bounded queue between two threads, one of which adds and one of which takes. Neither waits.
template <class T, std::size_t capacity>
class Ring {
 public:
  /// False when there is no room.
  [[nodiscard]] bool push(const T& item) noexcept {
    const std::size_t end = end_.load(std::memory_order_relaxed);
    if (end - begin_.load(std::memory_order_acquire) == capacity) return false;  // pairs with pop()'s release
    items_[end % capacity] = item;
    end_.store(end + 1, std::memory_order_release);  // pairs with pop()'s acquire
    return true;
  }
  [[nodiscard]] std::optional<T> pop() noexcept {
    const std::size_t begin = begin_.load(std::memory_order_relaxed);
    if (begin == end_.load(std::memory_order_acquire)) return std::nullopt;
    const T item = items_[begin % capacity];
    begin_.store(begin + 1, std::memory_order_release);
    return item;
  }

 private:
  alignas(64) std::atomic<std::size_t> begin_{0};
  alignas(64) std::atomic<std::size_t> end_{0};
  std::array<T, capacity> items_{};
};

}  // namespace pfsync::engine
