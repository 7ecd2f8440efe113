#pragma once

#include <cstddef>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

namespace pfsync::engine {

/// A list of objects each of which stays where it is, so that one list can take over objects of another without
/// touching them. Only emplace_back and resize take memory.
template <class T>
class Placed {
 public:
  template <class Value>
  class Iterator {
   public:
    using difference_type = std::ptrdiff_t;
    using value_type = Value;
    Iterator() = default;
    explicit Iterator(const std::unique_ptr<T>* at) : at_{at} {}
    Value& operator*() const noexcept { return **at_; }
    Iterator& operator++() noexcept {
      ++at_;
      return *this;
    }
    Iterator operator++(int) noexcept { return Iterator{at_++}; }
    friend bool operator==(const Iterator&, const Iterator&) noexcept = default;

   private:
    const std::unique_ptr<T>* at_ = nullptr;
  };

  template <class... Arguments>
  T& emplace_back(Arguments&&... arguments) {
    return *items_.emplace_back(std::make_unique<T>(std::forward<Arguments>(arguments)...));
  }
  /// A place for an object that another list still has.
  void emplace_empty() { items_.emplace_back(); }
  /// Takes an object of `other` into an empty place, and leaves that one empty.
  void take(std::size_t place, Placed& other, std::size_t from) noexcept {
    items_[place] = std::move(other.items_[from]);
  }
  [[nodiscard]] bool is_empty_at(std::size_t place) const noexcept { return items_[place] == nullptr; }

  [[nodiscard]] T& operator[](std::size_t i) noexcept { return *items_[i]; }
  [[nodiscard]] const T& operator[](std::size_t i) const noexcept { return *items_[i]; }
  [[nodiscard]] std::size_t size() const noexcept { return items_.size(); }
  [[nodiscard]] Iterator<T> begin() noexcept { return Iterator<T>{items_.data()}; }
  [[nodiscard]] Iterator<T> end() noexcept { return Iterator<T>{items_.data() + items_.size()}; }
  [[nodiscard]] Iterator<const T> begin() const noexcept { return Iterator<const T>{items_.data()}; }
  [[nodiscard]] Iterator<const T> end() const noexcept { return Iterator<const T>{items_.data() + items_.size()}; }

 private:
  std::vector<std::unique_ptr<T>> items_;
};

}  // namespace pfsync::engine
