#include "engine/session/interface_map.h"

#include <bit>

namespace pfsync::engine {
namespace {

constexpr wire::InterfaceName all_interfaces{"all"};

/// Names come from the operator, so that nobody can choose them to meet.
template <std::size_t places>
std::size_t place_of(const wire::InterfaceName& name) noexcept {
  static_assert(std::has_single_bit(places));
  const auto words = std::bit_cast<std::array<std::uint64_t, 2>>(name.chars);
  return static_cast<std::size_t>(((words[0] ^ std::rotl(words[1], 32)) * 0x9e3779b97f4a7c15u) >> 48u) % places;
}

bool is_the_same_everywhere(const wire::InterfaceName& name) noexcept { return name.empty() || name == all_interfaces; }

}  // namespace

void InterfaceMap::enter(Index& index, const wire::InterfaceName& name, std::size_t row) noexcept {
  std::size_t place = place_of<2 * rows_max>(name);
  while (index[place] != 0) place = (place + 1) % index.size();
  index[place] = static_cast<std::uint8_t>(row + 1);
}

InterfaceMap::Added InterfaceMap::add(const wire::InterfaceName& ours, const wire::InterfaceName& theirs) noexcept {
  if (of_ours(ours) != nullptr) return Added::ours_twice;
  if (of_theirs(theirs) != nullptr) return Added::theirs_twice;
  if (count_ == rows_max) return Added::full;
  rows_[count_] = {ours, theirs};
  enter(by_ours_, ours, count_);
  enter(by_theirs_, theirs, count_);
  ++count_;
  return Added::yes;
}

const InterfaceMap::Row* InterfaceMap::of_ours(const wire::InterfaceName& name) const noexcept {
  for (std::size_t place = place_of<2 * rows_max>(name); by_ours_[place] != 0; place = (place + 1) % by_ours_.size())
    if (const Row& row = rows_[by_ours_[place] - 1u]; row.ours == name) return &row;
  return nullptr;
}

const InterfaceMap::Row* InterfaceMap::of_theirs(const wire::InterfaceName& name) const noexcept {
  for (std::size_t place = place_of<2 * rows_max>(name); by_theirs_[place] != 0;
       place = (place + 1) % by_theirs_.size())
    if (const Row& row = rows_[by_theirs_[place] - 1u]; row.theirs == name) return &row;
  return nullptr;
}

void UnmappedNames::add(const wire::InterfaceName& name) noexcept {
  total_.add();
  const std::size_t size = size_.load(std::memory_order_relaxed);
  for (std::size_t i = 0; i < size; ++i)
    if (names_[i] == name) {
      counts_[i].add();
      return;
    }
  if (size == names_max) return;  // in the total alone
  names_[size] = name;
  counts_[size].add();
  size_.store(size + 1, std::memory_order_release);  // the name is there before
}

void UnmappedNames::clear() noexcept {
  size_.store(0, std::memory_order_relaxed);
  for (Counter& count : counts_) count.set(0);
  total_.set(0);
}

void InterfaceTranslator::set(const InterfaceMap& map) noexcept {
  if (map == map_) return;
  map_ = map;
  unmapped_in_.clear();
  unmapped_out_.clear();
}

void InterfaceTranslator::to_ours(wire::InterfaceName& name) noexcept {
  if (is_idle() || is_the_same_everywhere(name)) return;
  if (const InterfaceMap::Row* row = map_.of_theirs(name))
    name = row->ours;
  else
    unmapped_in_.add(name);
}

void InterfaceTranslator::to_theirs(wire::InterfaceName& name) noexcept {
  if (is_idle() || is_the_same_everywhere(name)) return;
  if (const InterfaceMap::Row* row = map_.of_ours(name))
    name = row->theirs;
  else
    unmapped_out_.add(name);
}

void InterfaceTranslator::to_ours(wire::State& received) noexcept {
  if (is_idle()) return;
  for (wire::InterfaceName* name : {&received.ifname, &received.rt_ifname, &received.orig_ifname}) to_ours(*name);
}

void InterfaceTranslator::to_theirs(wire::State& sent) noexcept {
  if (is_idle()) return;
  for (wire::InterfaceName* name : {&sent.ifname, &sent.rt_ifname, &sent.orig_ifname}) to_theirs(*name);
}

}  // namespace pfsync::engine
