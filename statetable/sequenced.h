#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
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
  /// For the writer only: the value's first member, without the rest.
  template <class M>
  [[nodiscard]] M own_first() const noexcept {
    static_assert(std::is_standard_layout_v<T> && sizeof(M) <= sizeof(T));
    M member;
    std::memcpy(static_cast<void*>(&member), words_.data(), sizeof(M));
    return member;
  }
  // Both directions go word by word between the value itself and memory, without a copy on the way: a copy
  // is made of wide loads, which would have to wait until the narrow stores before them have left the core.
  void store(const T& value) noexcept {
    const auto* from = reinterpret_cast<const std::byte*>(&value);
    for (std::size_t i = 0; i < words_.size(); ++i) {
      std::uint64_t word = 0;
      std::memcpy(&word, from + 8 * i, bytes_of(i));
      std::atomic_ref<std::uint64_t>{words_[i]}.store(word, std::memory_order_release);
    }
  }
  /// For readers: possibly torn until the sequence word has confirmed it.
  void load(T& value) const noexcept {
    auto* to = reinterpret_cast<std::byte*>(&value);
    for (std::size_t i = 0; i < words_.size(); ++i) {
      const auto word =
          std::atomic_ref<std::uint64_t>{const_cast<std::uint64_t&>(words_[i])}.load(std::memory_order_acquire);
      std::memcpy(to + 8 * i, &word, bytes_of(i));
    }
  }

 private:
  using Words = std::array<std::uint64_t, (sizeof(T) + 7) / 8>;
  [[nodiscard]] static constexpr std::size_t bytes_of(std::size_t word) noexcept {
    return std::min<std::size_t>(8, sizeof(T) - 8 * word);
  }
  alignas(8) Words words_{};
};

}  // namespace pfsync::statetable
