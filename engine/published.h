#pragma once

#include <atomic>
#include <cstdint>

#include "statetable/sequenced.h"

namespace pfsync::engine {

/// The last version of a value that one thread writes and any may read whole. Neither waits for the other; a reader
/// whose copy was overtaken takes another.
template <class T>
class Published {
 public:
  void publish(const T& value) noexcept {
    const std::uint64_t before = sequence_.load(std::memory_order_relaxed);
    sequence_.store(before + 1, std::memory_order_relaxed);  // odd: the words are changing (see statetable/sequenced.h)
    words_.store(value);
    sequence_.store(before + 2, std::memory_order_release);
  }
  [[nodiscard]] T read() const noexcept {
    T value;
    for (;;) {
      const std::uint64_t before = sequence_.load(std::memory_order_acquire);
      words_.load(value);
      if (before % 2 == 0 && sequence_.load(std::memory_order_relaxed) == before) return value;
    }
  }

 private:
  std::atomic<std::uint64_t> sequence_{0};
  statetable::Sequenced<T> words_{};
};

}  // namespace pfsync::engine
