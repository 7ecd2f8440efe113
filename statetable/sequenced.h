#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace pfsync::statetable {

/// A value in 64-bit words that one thread writes and any number read, word by word and atomically.
/// It says nothing of which words belong together: that is the sequence word's job (table.cc).
///
/// Each word is stored with release and loaded with acquire. On x86-64 both are plain moves. A reader
/// that loads a word of a newer version thereby sees the odd sequence word stored before it, so its
/// second look at the sequence word fails; no fence is needed, and ThreadSanitizer follows it.
/// Literature: H.-J. Boehm, "Can seqlocks get along with programming language memory models?", MSPC 2012.
template <class T>
  requires std::is_trivially_copyable_v<T>
class Sequenced {
 public:
  /// For the writer only.
  [[nodiscard]] T own() const noexcept {
    T value;
    std::memcpy(static_cast<void*>(&value), words_.data(), sizeof(T));
    return value;
  }
  void store(const T& value) noexcept {
    Words words{};
    std::memcpy(words.data(), static_cast<const void*>(&value), sizeof(T));
    for (std::size_t i = 0; i < words.size(); ++i)
      std::atomic_ref<std::uint64_t>{words_[i]}.store(words[i], std::memory_order_release);
  }
  /// For readers: possibly torn until the sequence word has confirmed it.
  [[nodiscard]] T load() const noexcept {
    Words words;
    for (std::size_t i = 0; i < words.size(); ++i)
      words[i] = std::atomic_ref<std::uint64_t>{const_cast<std::uint64_t&>(words_[i])}.load(std::memory_order_acquire);
    T value;
    std::memcpy(static_cast<void*>(&value), words.data(), sizeof(T));
    return value;
  }

 private:
  using Words = std::array<std::uint64_t, (sizeof(T) + 7) / 8>;
  alignas(8) Words words_{};
};

}  // namespace pfsync::statetable
