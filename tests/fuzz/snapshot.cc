// A snapshot's file, twice: as it is, and with every hash made good, so that what lies behind them is met too. It is
// refused with a clause, or gives as many states as its end says, each in the form that packets give; and what is valid
// of them can be written again and reads the same.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "engine/snapshot/restore.h"
#include "engine/snapshot/walk.h"
#include "tests/engine/snapshot/snapshot_memory.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/mutate.h"

namespace pfsync::fuzz {
namespace {

using namespace engine::snapshot;

void check_state(const engine::KeptState& kept) {
  const wire::State& state = kept.state;
  check(state.ifname.chars.back() == '\0' && state.tag.chars.back() == '\0', "names are ended");
  check(state.af <= wire::Family::inet6 && state.stack_af <= wire::Family::inet6 && state.rt_af <= wire::Family::inet6,
        "families are known ones");
  check(state.stack_af != state.af || state.af == wire::Family::none,
        "the family behind a translation says what is new");
  if (state.af != wire::Family::inet) return;
  const auto& bytes = state.key[wire::wire_side].addr[0].bytes;
  check(std::all_of(bytes.begin() + 4, bytes.end(), [](auto byte) { return byte == 0; }),
        "IPv4 addresses have 4 bytes");
}

std::vector<engine::KeptState> read_all(std::span<const std::uint8_t> bytes) {
  MemorySource source{bytes};
  Reader reader{source};
  std::vector<engine::KeptState> all;
  if (const auto why = reader.begin()) {
    check(!why->empty(), "a refusal says why");
    return all;
  }
  while (true) {
    const auto block = reader.next();
    if (const auto* why = std::get_if<std::string>(&block)) {
      check(!why->empty(), "a refusal says why");
      return all;
    }
    const auto states = std::get<std::span<const engine::KeptState>>(block);
    if (states.empty()) break;
    check(states.size() <= block_states_max, "a block is bounded");
    std::for_each(states.begin(), states.end(), check_state);
    all.insert(all.end(), states.begin(), states.end());
  }
  check(reader.totals().states == all.size(), "the end says how many there are");
  return all;
}

void check_restored(std::span<const std::uint8_t> bytes) {
  constexpr std::size_t states_max = 8;
  auto table = std::move(std::get<0>(
      statetable::Table::create({.states_max = states_max, .shard_bits = 1, .hash_seed = 7, .by_connection = true})));
  engine::PartitionedSession node{
      engine::SessionConfig{
          .creatorid = 1, .ids_queued_max = 16, .removed_max = 16, .tdbs_max = 16, .request_bulk = false},
      *table};
  MemorySource source{bytes};
  const auto made = restore(source, node, 1'700'000'100, engine::Instant{} + std::chrono::seconds{1000});
  const auto* restoration = std::get_if<Restoration>(&made);
  if (restoration == nullptr) return check(table->size() == 0, "what is refused enters nothing");
  check(table->size() <= states_max, "no more than the table may hold");
  const auto& told = restoration->states;
  check(told.entered + told.expired + told.invalid + told.refused + told.beyond == restoration->totals.states,
        "every state is accounted for");
  check(!sentence_of(*restoration).empty(), "it is told");
}

/// As a hostile hand would: sizes as they stand there, hashes that fit.
std::vector<std::uint8_t> with_good_hashes(std::vector<std::uint8_t> bytes) {
  const auto hash_at = [&](std::size_t from, std::size_t at) {
    const Hash128 hash = statetable::content_hash(bytes.data() + from, at - from);
    std::vector<std::uint8_t> put;
    Put{put}.hash(hash);
    std::copy(put.begin(), put.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at));
    return hash;
  };
  if (bytes.size() < header_bytes) return bytes;
  Hash128 chain = hash_at(0, header_bytes - hash_bytes);
  std::size_t at = header_bytes;
  while (at + block_head_bytes + hash_bytes <= bytes.size()) {
    Take take{std::span{bytes}.subspan(at)};
    if (take.number<std::uint32_t>() != block_mark) break;
    static_cast<void>(take.number<std::uint64_t>());
    const std::size_t hashed = block_head_bytes + take.number<std::uint32_t>();
    if (at + hashed + hash_bytes > bytes.size()) return bytes;
    chain = chained(chain, hash_at(at, at + hashed));
    at += hashed + hash_bytes;
  }
  if (at + trailer_bytes > bytes.size()) return bytes;
  std::vector<std::uint8_t> put;
  Put{put}.hash(chain);
  std::copy(put.begin(), put.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at + trailer_bytes - 2 * hash_bytes));
  hash_at(at, at + trailer_bytes - hash_bytes);
  return bytes;
}

void check_all(std::span<const std::uint8_t> bytes) {
  const std::vector<engine::KeptState> states = read_all(bytes);
  check_restored(bytes);
  if (!states.empty()) check(read_all(written(states)) == states, "what was read can be written and reads the same");
}

/// Header, blocks and trailer.
std::vector<Input> parts_of(const Input& file) {
  std::vector<Input> parts;
  std::size_t at = 0;
  const auto take = [&](std::size_t bytes) {
    bytes = std::min(bytes, file.size() - at);
    const auto from = file.begin() + static_cast<std::ptrdiff_t>(at);
    parts.emplace_back(from, from + static_cast<std::ptrdiff_t>(bytes));
    at += bytes;
  };
  take(header_bytes);
  while (at + block_head_bytes <= file.size()) {
    Take head{std::span{file}.subspan(at)};
    if (head.number<std::uint32_t>() != block_mark) break;
    static_cast<void>(head.number<std::uint64_t>());
    take(block_head_bytes + head.number<std::uint32_t>() + hash_bytes);
  }
  take(file.size());
  return parts;
}

}  // namespace
}  // namespace pfsync::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<std::uint8_t> bytes{data, data + size};
  pfsync::fuzz::check_all(bytes);
  const auto made_good = pfsync::fuzz::with_good_hashes(bytes);
  if (made_good != bytes) pfsync::fuzz::check_all(made_good);
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  using namespace pfsync;
  return fuzz::mutated_pieces(data, size, max_size, seed, fuzz::parts_of, [](const std::vector<fuzz::Input>& parts) {
    return fuzz::with_good_hashes(fuzz::joined(parts));
  });
}
