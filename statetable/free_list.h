#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "statetable/layout.h"

namespace pfsync::statetable {

/// Numbers of free items, kept in the memory of free items: fourteen in each that serves as a node, so that a
/// chain is followed, and waited for, once in fifteen. For the writer; items are written as readers may look.
template <class Item>
class FreeList {
 public:
  static constexpr std::uint32_t none = 0xffffffff;

  explicit FreeList(Item* items = nullptr) noexcept : items_{items} {}

  void push(std::uint32_t item) noexcept {
    if (top_.count < top_.items.size()) {
      top_.items[top_.count++] = item;
      return;
    }
    std::array<Word, node_words> words;
    std::memcpy(words.data(), &top_, sizeof top_);
    for (std::size_t i = 0; i < node_words; ++i) put(items_[item].words[i], words[i]);
    top_.next = item;
    top_.count = 0;
  }

  /// `none` when there is no free item. `fetch(item)` is called for items that will be taken soon.
  template <class F>
  [[nodiscard]] std::uint32_t pop(F&& fetch) noexcept {
    if (top_.count > 0) {
      if (top_.count == fetch_next_at && top_.next != none) fetch(top_.next);
      return top_.items[--top_.count];
    }
    if (top_.next == none) return none;
    const std::uint32_t item = top_.next;
    std::array<Word, node_words> words;
    for (std::size_t i = 0; i < node_words; ++i) words[i] = items_[item].words[i];
    std::memcpy(static_cast<void*>(&top_), words.data(), sizeof top_);
    for (std::uint32_t i = 0; i < top_.count; ++i) fetch(top_.items[i]);
    return item;
  }

 private:
  struct Node {
    std::uint32_t next = none;
    std::uint32_t count = 0;
    std::array<std::uint32_t, 14> items{};
  };
  static constexpr std::size_t node_words = sizeof(Node) / sizeof(Word);
  static constexpr std::uint32_t fetch_next_at = 8;
  static_assert(node_words <= std::tuple_size_v<decltype(Item::words)>);

  Item* items_;
  Node top_;
};

}  // namespace pfsync::statetable
