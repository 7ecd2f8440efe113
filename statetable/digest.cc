#include "statetable/digest.h"

#include <tbb/blocked_range.h>
#include <tbb/parallel_reduce.h>

#include <algorithm>
#include <cstring>
#include <mutex>

#include "statetable/shard.h"
#include "statetable/table.h"
#include "wire/be.h"
#include "wire/limits.h"

namespace pfsync::statetable {
namespace {

/// The bytes that two nodes must agree on, without padding: what every dialect carries of a connection, and
/// the second family of af-to, without which a dialect does not carry the state at all.
struct DigestedPeer {
  wire::Be32 seqlo, seqhi, seqdiff;
  wire::Be16 max_win, mss;
  std::uint8_t state, wscale;
};
struct DigestedKey {
  std::array<std::array<std::uint8_t, 16>, 2> addr;
  std::array<wire::Be16, 2> port;
};
struct Digested {
  wire::Be64 id;
  wire::Be32 creatorid;
  DigestedPeer src, dst;
  std::array<DigestedKey, 2> key;
  std::uint8_t af, stack_af, proto, direction, timeout;
};
static_assert(alignof(Digested) == 1);

DigestedPeer digested(const wire::Peer& peer) noexcept {
  return {wire::Be32{peer.seqlo},
          wire::Be32{peer.seqhi},
          wire::Be32{peer.seqdiff},
          wire::Be16{peer.max_win},
          wire::Be16{peer.mss},
          peer.state,
          peer.wscale};
}

DigestedKey digested(const wire::Key& key) noexcept {
  return {{key.addr[0].bytes, key.addr[1].bytes}, {wire::Be16{key.port[0]}, wire::Be16{key.port[1]}}};
}

/// Of the two halves that an entry has, or twice of the state that has both.
template <class Hot, class Cold>
Digest content_digest(const Hot& hot, const Cold& cold) noexcept {
  const Digested bytes{wire::Be64{hot.id.id},
                       wire::Be32{hot.id.creatorid},
                       digested(hot.src),
                       digested(hot.dst),
                       {digested(cold.key[0]), digested(cold.key[1])},
                       static_cast<std::uint8_t>(hot.af),
                       static_cast<std::uint8_t>(cold.stack_af),
                       hot.proto,
                       static_cast<std::uint8_t>(hot.direction),
                       wire::common_timeout(hot.timeout)};  // OpenBSD has no SCTP timeouts
  const Hash128 hash = content_hash(&bytes, sizeof(bytes));
  return {hash.low, hash.high, 1};
}

/// Sums modulo 2^64: unlike exclusive or, a state counted twice does not vanish.
Digest operator+(const Digest& a, const Digest& b) noexcept {
  return {a.low + b.low, a.high + b.high, a.states + b.states};
}

Digest digest_of_block(const Shard& shard, std::size_t block) noexcept {
  Digest sum;
  Snapshot entry;
  const std::size_t end = std::min((block + 1) * Shard::block_slots, shard.touched.load(std::memory_order_acquire));
  for (std::size_t local = block * Shard::block_slots; local < end; ++local)
    if (shard.read(local, entry)) sum = sum + digest_of(entry);
  return sum;
}

}  // namespace

Digest digest_of(const Snapshot& entry) noexcept { return content_digest(entry.hot, entry.cold); }
Digest digest_of(const wire::State& state) noexcept { return content_digest(state, state); }

Digest Table::digest() const {
  const std::lock_guard guard{digests_guard_};
  digests_.resize(shards_.size());
  Digest total;
  for (std::size_t i = 0; i < shards_.size(); ++i) {
    const Shard& shard = *shards_[i];
    const std::size_t touched = shard.touched.load(std::memory_order_acquire);
    std::vector<Digest>& blocks = digests_[i];
    blocks.resize((touched + Shard::block_slots - 1) / Shard::block_slots);
    total = total + tbb::parallel_reduce(
                        tbb::blocked_range<std::size_t>{0, blocks.size(), 16}, Digest{},
                        [&](const tbb::blocked_range<std::size_t>& range, Digest sum) {
                          for (std::size_t block = range.begin(); block != range.end(); ++block) {
                            // Acquire: whoever set it wrote the entry, and `touched`, before. A change from here on
                            // sets it again.
                            if (shard.changed[block].exchange(false, std::memory_order_acq_rel))
                              blocks[block] = digest_of_block(shard, block);
                            sum = sum + blocks[block];
                          }
                          return sum;
                        },
                        [](const Digest& a, const Digest& b) { return a + b; });
  }
  return total;
}

}  // namespace pfsync::statetable
