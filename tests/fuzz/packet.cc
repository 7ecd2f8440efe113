// A pfsync packet (what follows the IP header): walk it, read every message, write them all again.
#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>

#include "tests/fuzz/check.h"
#include "tests/wire/walk.h"

namespace pfsync::fuzz {
namespace {

using namespace wire;

/// Every section lies inside the packet, in order, and the walk ends in a documented way.
void check_sections(Bytes payload) {
  PacketReader reader{payload};
  Section section;
  const std::uint8_t* end = payload.data();
  while (reader.next(section)) {
    check(section.records.size() == std::size_t{section.count} * section.record_bytes, "a section has all its records");
    if (section.records.empty()) continue;
    check(section.records.data() >= end, "sections do not overlap");
    end = section.records.data() + section.records.size();
    check(end <= payload.data() + payload.size(), "sections lie inside the packet");
  }
  const auto reject = reader.reject();
  check(!reject || *reject == Reject::hdrops || *reject == Reject::badver || *reject == Reject::badact ||
            *reject == Reject::badlen,
        "a walk ends in a documented way");
}

/// Writes the messages into as many packets as they need, reads those, and expects the same messages.
void check_rewrite(const std::vector<test::ReadMessage>& messages) {
  std::array<std::uint8_t, 1480> room;
  std::size_t next = 0;
  while (next < messages.size()) {
    PacketWriter writer{Dialect::freebsd_1301, room};
    const std::size_t first = next;
    while (next < messages.size() && test::append(writer, messages[next])) ++next;
    check(next > first, "an empty packet takes any message");
    check(next == messages.size() || !writer.fits(messages[next].message), "append fails only where fits does");
    const std::size_t bytes = writer.finish();
    check(bytes <= room.size(), "a packet fits its room");
    const test::Walk again = test::walk(Bytes{room}.first(bytes));
    check(!again.reject && again.eof, "what we write is well formed");
    check(std::equal(again.messages.begin(), again.messages.end(), messages.begin() + static_cast<std::ptrdiff_t>(first),
                     messages.begin() + static_cast<std::ptrdiff_t>(next)),
          "what we write reads as what was written");
  }
}

void check_packet(Bytes payload) {
  check_sections(payload);
  check_rewrite(test::walk(payload).messages);
}

}  // namespace
}  // namespace pfsync::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace pfsync;
  fuzz::check_packet({data, size});
  if (size < sizeof(wire::Header) || size > 0xffff) return 0;
  // A mutation that changes the size nearly always ends at header.len: set it right and look behind it.
  // On the heap, with no byte to spare, so that AddressSanitizer sees the first byte read too far.
  const std::unique_ptr<std::uint8_t[]> corrected{new std::uint8_t[size]};
  std::copy_n(data, size, corrected.get());
  wire::store(wire::Room{corrected.get(), size}, offsetof(wire::Header, len), wire::Be16{static_cast<std::uint16_t>(size)});
  fuzz::check_packet({corrected.get(), size});
  return 0;
}
