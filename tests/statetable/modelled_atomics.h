#pragma once

// The table's own sources, compiled with atomics that remember every store: included before them, by the compiler's
// option. What they include of the standard library comes first, so that it keeps the real ones.
#include <emmintrin.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace pfsync::statetable::model {

/// A load or a store in the sources. `value` is the real word: what the writer has stored last.
[[nodiscard]] std::uint64_t load(const void* where, std::uint64_t value, std::memory_order order,
                                 const std::source_location& site) noexcept;
void store(const void* where, std::uint64_t before, std::uint64_t value, std::memory_order order,
           const std::source_location& site) noexcept;

/// What std::atomic and std::atomic_ref do for the table, on a word that others share.
template <class T>
class Word {
 public:
  explicit Word(T& word) noexcept : word_{word} {}
  [[nodiscard]] T load(std::memory_order order,
                       const std::source_location& site = std::source_location::current()) const noexcept {
    return static_cast<T>(model::load(&word_, static_cast<std::uint64_t>(word_), order, site));
  }
  void store(T value, std::memory_order order,
             const std::source_location& site = std::source_location::current()) const noexcept {
    model::store(&word_, static_cast<std::uint64_t>(word_), static_cast<std::uint64_t>(value), order, site);
    word_ = value;
  }

 private:
  T& word_;
};

}  // namespace pfsync::statetable::model

// The sources say std::, so this is where theirs must stand.
namespace std {

template <class T>
class modelled_ref : public pfsync::statetable::model::Word<T> {
 public:
  explicit modelled_ref(T& word) noexcept : pfsync::statetable::model::Word<T>{word} {}
};

template <class T>
class modelled_atomic {
 public:
  constexpr modelled_atomic() noexcept = default;
  constexpr modelled_atomic(T value) noexcept : value_{value} {}
  [[nodiscard]] T load(memory_order order, const source_location& site = source_location::current()) const noexcept {
    return pfsync::statetable::model::Word<T>{value_}.load(order, site);
  }
  void store(T value, memory_order order, const source_location& site = source_location::current()) noexcept {
    pfsync::statetable::model::Word<T>{value_}.store(value, order, site);
  }

 private:
  mutable T value_{};
};

}  // namespace std

#define atomic modelled_atomic
#define atomic_ref modelled_ref
