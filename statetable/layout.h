#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "statetable/entry.h"

/// How states lie in memory: 192 bytes for most, 320 for those with IPv6 addresses or fields that few states have.
/// All in words of 64 bits that one thread writes and any number read, each stored with release and loaded with
/// acquire (on x86-64 both are plain moves). Which words belong together is told by the sequence word.
namespace pfsync::statetable {

using Word = std::uint64_t;

inline void put(Word& word, Word value) noexcept { std::atomic_ref{word}.store(value, std::memory_order_release); }
[[nodiscard]] inline Word get(const Word& word) noexcept {
  return std::atomic_ref{const_cast<Word&>(word)}.load(std::memory_order_acquire);
}

template <std::size_t n>
inline void put_all(std::array<Word, n>& to, const std::array<Word, n>& from) noexcept {
  for (std::size_t i = 0; i < n; ++i) put(to[i], from[i]);
}
template <std::size_t n>
inline void get_all(const std::array<Word, n>& from, std::array<Word, n>& to) noexcept {
  for (std::size_t i = 0; i < n; ++i) to[i] = get(from[i]);
}

using PeerWords = std::array<Word, 4>;
static_assert(sizeof(wire::Peer) == sizeof(PeerWords) && offsetof(wire::Peer, seqlo) == 8 &&
              offsetof(wire::Peer, state) == 24);

/// One word of a peer. The bytes behind `wscale` are padding: zero in memory, so that equal peers have equal words.
/// A word at a time: an array of them is copied in wide loads, which would wait for the narrow store of the last.
template <std::size_t i>
[[nodiscard]] inline Word word_of(const wire::Peer& peer) noexcept {
  Word word;
  std::memcpy(&word, reinterpret_cast<const std::byte*>(&peer) + i * sizeof word, sizeof word);
  return i == 3 ? word & 0xffff : word;
}
inline void put_peer(PeerWords& to, const wire::Peer& peer) noexcept {
  put(to[0], word_of<0>(peer));
  put(to[1], word_of<1>(peer));
  put(to[2], word_of<2>(peer));
  put(to[3], word_of<3>(peer));
}
[[nodiscard]] inline bool is_same(const PeerWords& words, const wire::Peer& peer) noexcept {
  return ((words[0] ^ word_of<0>(peer)) | (words[1] ^ word_of<1>(peer)) | (words[2] ^ word_of<2>(peer)) |
          (words[3] ^ word_of<3>(peer))) == 0;
}
[[nodiscard]] inline PeerWords words_of(const wire::Peer& peer) noexcept {
  return {word_of<0>(peer), word_of<1>(peer), word_of<2>(peer), word_of<3>(peer)};
}
[[nodiscard]] inline wire::Peer peer_of(const PeerWords& words) noexcept {
  wire::Peer peer;
  std::memcpy(static_cast<void*>(&peer), words.data(), sizeof peer);
  return peer;
}

[[nodiscard]] constexpr Word pair_of(std::uint32_t low, std::uint32_t high) noexcept { return Word{high} << 32u | low; }
[[nodiscard]] constexpr std::uint32_t low_of(Word word) noexcept { return static_cast<std::uint32_t>(word); }
[[nodiscard]] constexpr std::uint32_t high_of(Word word) noexcept { return static_cast<std::uint32_t>(word >> 32u); }

/// What look-ups, updates and expiry touch, and in the room left some numbers that only inserts and full exports do.
struct alignas(128) HotEntry {
  Word id = 0;
  std::uint32_t creatorid = 0;
  std::uint32_t sequence = 0;  ///< odd while the entry is being changed
  PeerWords src{};
  Word times = 0;  ///< expire_at_s, heard_s
  Word meta = 0;   ///< state_flags 16, timeout 8, proto 8, from + 1 (0: not in use) 8, af 8, direction 8, log 8
  // The second cache line.
  PeerWords dst{};
  Word created_anchor = 0;
  Word nat_rule_rule = 0;
  Word names = 0;       ///< ifname 16, sync_flags 8, of the sides 8; extension 32
  Word connection = 0;  ///< where the index by connection has the wire side

  // For the writer, or on a copy.
  [[nodiscard]] bool is(wire::StateId other) const noexcept { return id == other.id && creatorid == other.creatorid; }
  [[nodiscard]] Seconds expire_at_s() const noexcept { return static_cast<Seconds>(low_of(times)); }
  [[nodiscard]] Seconds created_s() const noexcept { return static_cast<Seconds>(low_of(created_anchor)); }
  [[nodiscard]] Seconds heard_s() const noexcept { return static_cast<Seconds>(high_of(times)); }
  [[nodiscard]] std::uint16_t state_flags() const noexcept { return static_cast<std::uint16_t>(meta); }
  [[nodiscard]] std::uint8_t timeout() const noexcept { return static_cast<std::uint8_t>(meta >> 16u); }
  [[nodiscard]] std::uint8_t proto() const noexcept { return static_cast<std::uint8_t>(meta >> 24u); }
  [[nodiscard]] bool in_use() const noexcept { return (meta >> 32u & 0xffu) != 0; }
  /// Contract: in use.
  [[nodiscard]] std::uint8_t from() const noexcept { return static_cast<std::uint8_t>((meta >> 32u & 0xffu) - 1); }
  [[nodiscard]] wire::Family af() const noexcept { return static_cast<wire::Family>(meta >> 40u & 0xffu); }
  [[nodiscard]] wire::Direction direction() const noexcept { return static_cast<wire::Direction>(meta >> 48u & 0xffu); }
  [[nodiscard]] std::uint8_t log() const noexcept { return static_cast<std::uint8_t>(meta >> 56u); }
  [[nodiscard]] std::uint8_t src_level() const noexcept { return static_cast<std::uint8_t>(src[3]); }
  [[nodiscard]] std::uint8_t dst_level() const noexcept { return static_cast<std::uint8_t>(dst[3]); }
  [[nodiscard]] std::uint32_t src_seqlo() const noexcept { return low_of(src[1]); }
  [[nodiscard]] std::uint32_t src_seqhi() const noexcept { return high_of(src[1]); }
  [[nodiscard]] std::uint32_t dst_seqlo() const noexcept { return low_of(dst[1]); }
  [[nodiscard]] std::uint32_t dst_seqhi() const noexcept { return high_of(dst[1]); }
  [[nodiscard]] std::uint32_t extension() const noexcept { return high_of(names); }
  [[nodiscard]] NameId interface() const noexcept { return NameId{static_cast<std::uint16_t>(names)}; }
  /// Whether the index by connection has the state, and whether it has each side apart.
  [[nodiscard]] bool is_indexed() const noexcept { return (names >> 24u & 1u) != 0; }
  [[nodiscard]] bool has_two_sides() const noexcept { return (names >> 25u & 1u) != 0; }
  void set_sides(bool two) noexcept { names |= Word{two ? 3u : 1u} << 24u; }

  [[nodiscard]] static Word meta_of(const HotState& hot) noexcept {
    return Word{hot.state_flags} | Word{hot.timeout} << 16u | Word{hot.proto} << 24u | Word{hot.from + 1u} << 32u |
           Word{static_cast<std::uint8_t>(hot.af)} << 40u | Word{static_cast<std::uint8_t>(hot.direction)} << 48u |
           Word{hot.log} << 56u;
  }
};
static_assert(sizeof(HotEntry) == 128 && offsetof(HotEntry, dst) == 64);

inline constexpr std::uint32_t no_extension = 0;

/// IPv4 keys, counters, and numbers that many states of newer dialects have.
struct alignas(64) ColdEntry {
  std::array<Word, 8>
      words{};  ///< packets 2, bytes 2, keys 3 (or with an extension the interface's name), small fields 1
};

/// Fields that few states have, and IPv6 keys.
struct Extension {
  std::array<wire::Key, 2> key{};
  wire::Address rt_addr{};
  std::array<std::int32_t, 2> rtableid{-1, -1};
  std::array<std::uint16_t, 2> rdomain{};
  std::uint16_t qid = 0;
  std::uint16_t pqid = 0;
  std::uint16_t dnpipe = 0;
  std::uint16_t dnrpipe = 0;
  NameId rt_ifname = NameId::none;
  std::array<std::uint8_t, 2> set_prio{};
  std::uint8_t rt = 0;
  std::uint8_t stack_proto = 0;
  wire::Family stack_af = wire::Family::none;
  wire::Family rt_af = wire::Family::none;
};
struct alignas(64) ExtensionEntry {
  std::array<Word, 16> words{};
};
static_assert(sizeof(Extension) <= sizeof(ExtensionEntry));

/// A state in the form that it has in memory; `extended` says whether `extension` is part of it.
struct Packed {
  HotEntry hot;
  ColdEntry cold;
  ExtensionEntry extension;
  bool extended = false;
};

/// `names` gets the number of the extension from the table, `sequence` is not touched.
void pack(const HotState& hot, const ColdState& cold, Packed& into) noexcept;

[[nodiscard]] HotState unpack_hot(const HotEntry& hot) noexcept;
[[nodiscard]] ColdState unpack_cold(const HotEntry& hot, const ColdEntry& cold,
                                    const ExtensionEntry* extension) noexcept;
/// As to_state of both, without the steps between. `extension` is null for a state without one.
void unpack_state(const HotEntry& hot, const ColdEntry& cold, const ExtensionEntry* extension, Seconds now_s,
                  wire::State& into) noexcept;

/// The interface alone, which CLR compares.
[[nodiscard]] wire::InterfaceName interface_of(const HotEntry& hot, const ColdEntry& cold) noexcept;

}  // namespace pfsync::statetable
