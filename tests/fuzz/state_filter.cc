// The words of a filter of states: they are taken with every value in its range, or refused in one sentence; and
// matching a state never depends on what is outside it.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "engine/control/state_filter.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/mutate.h"

namespace pfsync::fuzz {
namespace {

using engine::StateFilter;

/// A state with the filter's own values fits, unless two of its ends contradict each other.
statetable::Snapshot model_of(const StateFilter& filter) {
  statetable::Snapshot state;
  state.hot.id = {filter.id.value_or(1), filter.creatorid.value_or(2)};
  state.hot.proto = filter.proto.value_or(wire::ipproto::tcp);
  state.hot.af = wire::Family::inet;
  state.hot.direction = wire::Direction::out;
  state.cold.ifname = filter.interface;
  if (filter.ends_count == 0) return state;
  const StateFilter::End& end = filter.ends[0];
  if (end.family != wire::Family::none) state.hot.af = end.family;
  for (wire::Key& key : state.cold.key) {
    key.addr.fill(end.address);
    key.port.fill(end.port_high);
  }
  return state;
}

}  // namespace
}  // namespace pfsync::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace pfsync;
  const std::string_view text{reinterpret_cast<const char*>(data), size};
  const auto parsed = engine::parse_state_filter(text);
  if (const auto* why = std::get_if<std::string>(&parsed)) {
    fuzz::check(fuzz::is_one_line(*why), "a refusal is one line without control characters");
    return 0;
  }
  const auto& filter = std::get<engine::StateFilter>(parsed);
  fuzz::check(filter.ends_count <= engine::StateFilter::ends_max, "ends are bounded");
  bool ports = false;
  for (std::size_t i = 0; i < filter.ends_count; ++i) {
    const auto& end = filter.ends[i];
    fuzz::check(end.family != wire::Family::none || end.has_ports, "an end says something");
    fuzz::check(end.bits <= (end.family == wire::Family::inet6 ? 128u : 32u), "a prefix fits its address");
    fuzz::check(end.port_low <= end.port_high, "ports are in order");
    ports = ports || end.has_ports;
  }
  const auto model = fuzz::model_of(filter);
  const std::uint8_t proto = model.hot.proto;
  const bool can_have_ports =
      proto == wire::ipproto::tcp || proto == wire::ipproto::udp || proto == wire::ipproto::sctp;
  if (filter.ends_count <= 1)
    fuzz::check(filter.matches(model) == (!ports || can_have_ports), "its own values fit a filter");
  if (filter.id) {
    auto other = model;
    ++other.hot.id.id;
    fuzz::check(!filter.matches(other), "another id does not fit");
  }
  fuzz::check(std::get<engine::StateFilter>(engine::parse_state_filter("")).is_empty(), "no words: no terms");
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  using namespace pfsync;
  return fuzz::mutated(data, size, max_size, seed, [](fuzz::Input& input, fuzz::Random& random) {
    fuzz::mutate_text(input, random, " =:-/,",
                      {"host ",      "net ",    "port ",    "src ", "dst ",      "proto tcp ",       "proto udp ",
                       "proto 132 ", "on em0 ", "creator ", "id ",  "10.0.0.1 ", "10.0.0.0/8 ",      "fd00::/64 ",
                       "fd00::1 ",   "80 ",     "1:65535 ", "0x1 ", "/33 ",      "255.255.255.255 ", "65536 "});
  });
}
