#include "statetable/names.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>

#include "statetable/hash.h"

namespace pfsync::statetable {
namespace {

constexpr std::size_t places = 8192;  // twice the names, so that a search always meets an empty place
static_assert(places >= 2 * names_max);

/// names[id] is written before a place with `id` is published, and never again.
std::array<wire::TagName, names_max + 1> names;
std::array<std::atomic<std::uint16_t>, places> index;
std::atomic<std::uint32_t> taken{0};

}  // namespace

NameId intern(const wire::TagName& name) noexcept {
  if (name.empty()) return NameId::none;
  std::uint16_t mine = 0;
  for (std::size_t place = content_hash(name.chars.data(), name.chars.size()).low % places;;
       place = (place + 1) % places) {
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

NameId intern(const wire::InterfaceName& name) noexcept {
  if (name.empty()) return NameId::none;
  // States of one interface come in a row.
  thread_local struct {
    wire::InterfaceName name{};
    NameId id = NameId::none;
  } last;
  if (last.id != NameId::none && last.name == name) return last.id;
  wire::TagName wide;
  std::copy(name.chars.begin(), name.chars.end(), wide.chars.begin());
  const NameId id = intern(wide);
  if (id != NameId::none) last = {name, id};
  return id;
}

const wire::TagName& name_of(NameId id) noexcept { return names[static_cast<std::size_t>(id)]; }

wire::InterfaceName interface_of(NameId id) noexcept {
  wire::InterfaceName name;
  std::memcpy(name.chars.data(), name_of(id).chars.data(), name.chars.size());
  return name;
}

}  // namespace pfsync::statetable
