// A pfsync packet (what follows the IP header): walk it, read every message as the plain decoder does, write
// them all again in one of the dialects.
#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <memory>
#include <vector>

#include "tests/fuzz/check.h"
#include "tests/fuzz/mutate.h"
#include "tests/wire/plain_walk.h"
#include "tests/wire/walk.h"
#include "wire/fields.h"

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

/// Whether the dialect has words for the message at all.
bool can_say(Dialect dialect, const test::ReadMessage& read) {
  const auto* state = std::get_if<State>(&read.body);
  return find_action(dialect, read.message) != nullptr && (state == nullptr || is_expressible(*state, dialect));
}

/// Whether `again` is `read` without what the dialect loses, and nothing else.
bool is_said(Dialect dialect, const test::ReadMessage& read, const test::ReadMessage& again) {
  if (read == again) return true;
  if (read.message != again.message) return false;
  if (const auto* state = std::get_if<State>(&read.body))
    return differences(*state, std::get<State>(again.body)) == lost(*state, dialect);
  if (const auto* update = std::get_if<Update>(&read.body)) return lost(*update, dialect).has(Field::timeout);
  if (const auto* tdb = std::get_if<Tdb>(&read.body)) return !lost(*tdb, dialect).empty();
  return false;
}

/// Writes the messages into as many packets as they need, reads those, and expects the same messages.
void check_rewrite(Dialect dialect, const std::vector<test::ReadMessage>& messages) {
  std::array<std::uint8_t, 1480> room;
  std::size_t next = 0;
  while (next < messages.size()) {
    PacketWriter writer{dialect, room};
    const std::size_t first = next;
    while (next < messages.size() && test::append(writer, messages[next])) ++next;
    check(next > first, "an empty packet takes any message");
    check(next == messages.size() || !writer.fits(messages[next].message), "append fails only where fits does");
    const std::size_t bytes = writer.finish();
    check(bytes <= room.size(), "a packet fits its room");
    const test::Walk again = test::walk(Bytes{room}.first(bytes));
    check(!again.reject && again.eof == info(dialect).has_eof, "what we write is well formed");
    check(
        std::equal(again.messages.begin(), again.messages.end(), messages.begin() + static_cast<std::ptrdiff_t>(first),
                   messages.begin() + static_cast<std::ptrdiff_t>(next),
                   [dialect](const auto& said, const auto& read) { return is_said(dialect, read, said); }),
        "what we write reads as what was written");
  }
}

void check_packet(Bytes payload) {
  check_sections(payload);
  const test::Walk walked = test::walk(payload);
  const bool is_whole = !walked.reject && walked.skipped == 0;
  const auto is_update = [](const auto& read) { return read.message == Message::upd_c; };
  check(!has_only_updates(payload) || (is_whole && std::ranges::all_of(walked.messages, is_update)),
        "what is taken for compressed updates alone is whole, and nothing else");
  // The plain decoder is slow, and there are four dialects to write: the input's bytes choose, so that a
  // finding stays one.
  unsigned sum = 0;
  for (const std::uint8_t byte : payload) sum += byte;
  if (sum % 16 == 0) check(walked == test::plain_walk(payload), "both decoders read the same");
  const Dialect dialect = dialect_table[sum % dialect_table.size()].dialect;
  std::vector<test::ReadMessage> sayable;
  std::copy_if(walked.messages.begin(), walked.messages.end(), std::back_inserter(sayable),
               [dialect](const auto& read) { return can_say(dialect, read); });
  check_rewrite(dialect, sayable);
}

/// A packet whose sections, and records in them, are changed as wholes. Counts and the length are made right again.
void mutate_packet(Input& input, Random& random) {
  struct Part {
    Subheader head;
    std::vector<Input> records;
  };
  std::vector<Part> parts;
  PacketReader reader{input};
  for (Section section; reader.next(section);) {
    Part& part = parts.emplace_back();
    part.head = {section.action->number, static_cast<std::uint8_t>(section.record_bytes / 4), Be16{section.count}};
    for (std::size_t i = 0; i < section.count; ++i) {
      const Bytes record = section.record(i);
      part.records.emplace_back(record.begin(), record.end());
    }
  }
  if (parts.empty()) return mutate_bytes(input);
  Part& chosen = parts[random.below(parts.size())];
  switch (random.below(7)) {
    case 0: parts.push_back(Part{chosen}); break;
    case 1: std::swap(chosen, parts[random.below(parts.size())]); break;
    case 2: chosen.records.clear(); break;
    case 3: chosen.head.action = static_cast<std::uint8_t>(random.below(20)); break;
    case 4: chosen.head.len_words = random.byte(); break;
    default: mutate_pieces(chosen.records, random); break;
  }
  input.resize(sizeof(Header));
  for (const Part& part : parts) {
    Subheader head = part.head;
    if (!random.one_in(16)) head.count = Be16{static_cast<std::uint16_t>(part.records.size())};
    const std::size_t at = input.size();
    input.resize(at + sizeof head);
    store(Room{input}, at, head);
    const Input records = joined(part.records);
    input.insert(input.end(), records.begin(), records.end());
  }
  if (random.one_in(16)) input[0] = random.one_in(2) ? header_version_freebsd : header_version_openbsd;
  if (!random.one_in(16)) store(Room{input}, offsetof(Header, len), Be16{static_cast<std::uint16_t>(input.size())});
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
  wire::store(wire::Room{corrected.get(), size}, offsetof(wire::Header, len),
              wire::Be16{static_cast<std::uint16_t>(size)});
  fuzz::check_packet({corrected.get(), size});
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  using namespace pfsync;
  return fuzz::mutated(data, size, max_size, seed, fuzz::mutate_packet);
}
