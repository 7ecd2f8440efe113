#include "statetable/names.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <random>

#include "statetable/hash.h"

namespace pfsync::statetable {
namespace {

constexpr std::size_t places = 8192;  // twice the names, so that a search always meets an empty place
static_assert(places >= 2 * names_max);

/// names[id] is written before a place with `id` is published, and never again.
std::array<wire::TagName, names_max + 1> names;
std::array<std::atomic<std::uint16_t>, places> index;
std::atomic<std::uint32_t> taken{0};

/// The process's own, so that nobody can choose names whose searches begin at one place. Drawn before the data path
/// runs.
const std::uint64_t seed = std::random_device{}();
std::size_t place_of(const wire::TagName& name) noexcept {
  return XXH3_64bits_withSeed(name.chars.data(), name.chars.size(), seed) % places;
}

}  // namespace

NameId intern(const wire::TagName& name) noexcept {
  if (name.empty()) return NameId::none;
  std::uint16_t mine = 0;
  for (std::size_t place = place_of(name);; place = (place + 1) % places) {
    // Acquire: pairs with the release below, so that the name is there.
    std::uint16_t id = index[place].load(std::memory_order_acquire);
    if (id == 0) {
      if (mine == 0) {
        // The look before the count keeps a flood of new names from wrapping it.
        if (taken.load(std::memory_order_relaxed) >= names_max) return NameId::none;
        const std::uint32_t number = taken.fetch_add(1, std::memory_order_relaxed) + 1;
        if (number > names_max) return NameId::none;
        mine = static_cast<std::uint16_t>(number);
        names[mine] = name;
      }
      if (index[place].compare_exchange_strong(id, mine, std::memory_order_release, std::memory_order_acquire))
        return NameId{mine};
      // Another thread took the place, perhaps for the same name; then one number is lost for good.
    }
    if (names[id] == name) return NameId{id};
  }
}

namespace {

wire::TagName widened(const wire::InterfaceName& name) noexcept {
  wire::TagName wide;
  std::copy(name.chars.begin(), name.chars.end(), wide.chars.begin());
  return wide;
}

/// States of one interface come in a row.
struct Last {
  wire::InterfaceName name{};
  NameId id = NameId::none;
};
thread_local Last last;

/// As `number` says, of a name that is not the last one.
template <class F>
NameId number_of(const wire::InterfaceName& name, F&& number) noexcept {
  if (name.empty()) return NameId::none;
  if (last.id != NameId::none && last.name == name) return last.id;
  const NameId id = number(widened(name));
  if (id != NameId::none) last = {name, id};
  return id;
}

}  // namespace

NameId intern(const wire::InterfaceName& name) noexcept {
  return number_of(name, [](const wire::TagName& wide) { return intern(wide); });
}

NameId known(const wire::InterfaceName& name) noexcept {
  return number_of(name, [](const wire::TagName& wide) {
    for (std::size_t place = place_of(wide);; place = (place + 1) % places) {
      // Acquire: as in intern.
      const NameId id{index[place].load(std::memory_order_acquire)};
      if (id == NameId::none || name_of(id) == wide) return id;
    }
  });
}

const wire::TagName& name_of(NameId id) noexcept { return names[static_cast<std::size_t>(id)]; }

wire::InterfaceName interface_of(NameId id) noexcept {
  wire::InterfaceName name;
  std::memcpy(name.chars.data(), name_of(id).chars.data(), name.chars.size());
  return name;
}

}  // namespace pfsync::statetable
