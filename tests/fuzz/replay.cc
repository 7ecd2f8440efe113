// A frame of a capture, of each kind of link: what it carries lies in it, and every packet can be printed.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <string>

#include "engine/replay/dump.h"
#include "engine/replay/link_layer.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/mend.h"
#include "tests/fuzz/mutate.h"

namespace pfsync::fuzz {
namespace {

using namespace engine::replay;

void check_text(wire::Bytes packet) {
  constexpr std::chrono::nanoseconds time{1'700'000'000'123'456'789};
  const std::string text = dump_text(time, packet);
  check(!text.empty() && text.ends_with('\n'), "a packet is printed in whole lines");
  check(std::all_of(text.begin(), text.end(), [](char c) { return c == '\n' || c == '\t' || (c >= ' ' && c < 0x7f); }),
        "nothing that a terminal obeys is printed");
}

void check_frame(LinkLayer link, wire::Bytes frame) {
  const auto packet = network_packet(link, frame);
  if (!packet) return;
  check(packet->data() >= frame.data() && packet->data() + packet->size() <= frame.data() + frame.size(),
        "a packet lies in its frame");
  if (claims_pfsync(*packet)) check_text(*packet);
}

}  // namespace
}  // namespace pfsync::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using pfsync::engine::replay::LinkLayer;
  for (const LinkLayer link : {LinkLayer::ethernet, LinkLayer::cooked_v1, LinkLayer::cooked_v2, LinkLayer::raw_ip})
    pfsync::fuzz::check_frame(link, {data, size});
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  using namespace pfsync;
  return fuzz::mutated(data, size, max_size, seed, [](fuzz::Input& input, fuzz::Random&) {
    fuzz::mutate_bytes(input);
    fuzz::mend(input);
  });
}
