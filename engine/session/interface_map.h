#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/counters.h"
#include "wire/state.h"

namespace pfsync::engine {

/// Which interface of a peer is which of ours: pf binds states to interfaces by name, and another machine's card may
/// have another one. Both directions; no name twice on a side.
class InterfaceMap {
 public:
  static constexpr std::size_t rows_max = 64;
  struct Row {
    wire::InterfaceName ours;
    wire::InterfaceName theirs;

    friend bool operator==(const Row&, const Row&) = default;
  };

  /// The same rows, in the same order.
  friend bool operator==(const InterfaceMap&, const InterfaceMap&) = default;

  enum class Added : std::uint8_t { yes, full, ours_twice, theirs_twice };
  /// Contract: neither name is empty.
  Added add(const wire::InterfaceName& ours, const wire::InterfaceName& theirs) noexcept;
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  [[nodiscard]] std::span<const Row> rows() const noexcept { return {rows_.data(), count_}; }

  /// The row with that name; null when there is none.
  [[nodiscard]] const Row* of_ours(const wire::InterfaceName& name) const noexcept;
  [[nodiscard]] const Row* of_theirs(const wire::InterfaceName& name) const noexcept;

 private:
  /// Row + 1 by hash, 0 for none; at most half full, so that a search always meets a 0.
  using Index = std::array<std::uint8_t, 2 * rows_max>;
  static void enter(Index& index, const wire::InterfaceName& name, std::size_t row) noexcept;

  std::array<Row, rows_max> rows_{};
  std::size_t count_ = 0;
  Index by_ours_{}, by_theirs_{};
};

/// Interface names that a map has no row for, and how often each was met; the first ones met are listed. One thread
/// adds, any reads.
class UnmappedNames {
 public:
  static constexpr std::size_t names_max = 32;

  void add(const wire::InterfaceName& name) noexcept;

  // Any thread:
  [[nodiscard]] std::uint64_t total() const noexcept { return total_.value(); }
  /// Names listed; they stay as they are.
  [[nodiscard]] std::size_t size() const noexcept { return size_.load(std::memory_order_acquire); }
  /// Contract: i < size().
  [[nodiscard]] const wire::InterfaceName& name(std::size_t i) const noexcept { return names_[i]; }
  [[nodiscard]] std::uint64_t count(std::size_t i) const noexcept { return counts_[i].value(); }
  /// Forgets all; no other thread reads.
  void clear() noexcept;

 private:
  std::array<wire::InterfaceName, names_max> names_{};  ///< each written before `size_` tells of it, and never again
  std::array<Counter, names_max> counts_;
  std::atomic<std::size_t> size_{0};
  Counter total_;
};

/// A map at work between us and one peer. Translates what has a row; the rest passes as it is, counted. The empty name
/// and "all", to which pf binds states that float, mean the same everywhere. One thread translates.
class InterfaceTranslator {
 public:
  explicit InterfaceTranslator(const InterfaceMap& map) noexcept : map_{map} {}

  /// Another map; what the former had no row for is forgotten. No other thread reads.
  void set(const InterfaceMap& map) noexcept;

  /// There is nothing to translate, nor to count.
  [[nodiscard]] bool is_idle() const noexcept { return map_.empty(); }
  void to_ours(wire::State& received) noexcept;
  void to_ours(wire::Clear& received) noexcept { to_ours(received.ifname); }
  void to_theirs(wire::State& sent) noexcept;
  void to_theirs(wire::Clear& sent) noexcept { to_theirs(sent.ifname); }

  // Any thread:
  [[nodiscard]] const InterfaceMap& map() const noexcept { return map_; }
  [[nodiscard]] const UnmappedNames& unmapped_in() const noexcept { return unmapped_in_; }
  [[nodiscard]] const UnmappedNames& unmapped_out() const noexcept { return unmapped_out_; }

 private:
  void to_ours(wire::InterfaceName& name) noexcept;
  void to_theirs(wire::InterfaceName& name) noexcept;

  InterfaceMap map_;
  UnmappedNames unmapped_in_, unmapped_out_;
};

}  // namespace pfsync::engine
