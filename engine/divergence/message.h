#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/session/repair.h"
#include "wire/state.h"

/// What two engines say to each other while they compare their tables: values ↔ bytes. Big-endian, lengths before what
/// they count. The bytes come from another node and are checked here, whole: sizes, ranges, nothing left over.
namespace pfsync::engine::divergence {

inline constexpr std::uint8_t protocol_version = 1;

/// What of one state is compared: half of its digest is enough between two nodes that trust each other.
using Sum = std::uint64_t;

struct Entry {
  wire::StateId id{};
  Sum sum = 0;
  friend bool operator==(const Entry&, const Entry&) = default;
};

// What one message may ask for; the answers are bounded thereby.
inline constexpr unsigned bucket_bits_min = 8, bucket_bits_max = 20, level_bits = 8;
inline constexpr std::size_t parents_max = 512;     ///< 1 MiB of sums
inline constexpr std::size_t buckets_max = 4096;    ///< listed
inline constexpr std::size_t entries_max = 16'384;  ///< of all buckets listed in one answer
inline constexpr std::size_t looks_max = 4096;
inline constexpr std::size_t fetched_max = 256;
inline constexpr std::size_t repairs_max = 128;
inline constexpr std::size_t request_bytes_max = std::size_t{128} * 1024;

/// Walk your table, and tell the sums of its 2^8 largest buckets.
struct Begin {
  std::uint64_t seed = 0;  ///< of the hash that puts states into buckets; also names what follows
  std::uint8_t bucket_bits = bucket_bits_min;
  friend bool operator==(const Begin&, const Begin&) = default;
};
struct Begun {
  wire::Family family = wire::Family::none;  ///< of its address on the sync network
  wire::Address address{};
  std::uint32_t delay_ms = 0;  ///< the longest that a change waits there before it is sent
  std::uint64_t states = 0;
  std::vector<Sum> sums;
  friend bool operator==(const Begun&, const Begun&) = default;
};

/// The sums of the children of buckets of a level, each 2^8 of the next level, or fewer at the last.
struct Narrow {
  std::uint64_t seed = 0;
  std::uint8_t bits = 0;  ///< of the parents
  std::vector<std::uint32_t> parents;
  friend bool operator==(const Narrow&, const Narrow&) = default;
};
struct Narrowed {
  std::vector<Sum> sums;
  friend bool operator==(const Narrowed&, const Narrowed&) = default;
};

/// All states of some of the smallest buckets.
struct List {
  std::uint64_t seed = 0;
  std::vector<std::uint32_t> buckets;
  friend bool operator==(const List&, const List&) = default;
};
struct Listed {
  std::uint32_t buckets = 0;  ///< the first so many of those asked for; at least one
  std::vector<Entry> entries;
  friend bool operator==(const Listed&, const Listed&) = default;
};

/// How these states are now.
struct Look {
  std::vector<wire::StateId> ids;
  friend bool operator==(const Look&, const Look&) = default;
};
struct Looked {
  std::vector<std::optional<Sum>> sums;
  friend bool operator==(const Looked&, const Looked&) = default;
};

/// The same in full, for the node with that address on the sync network, in whose words their interfaces are.
struct Fetch {
  wire::Address from{};
  std::vector<wire::StateId> ids;
  friend bool operator==(const Fetch&, const Fetch&) = default;
};
struct Fetched {
  std::vector<std::optional<wire::State>> states;
  friend bool operator==(const Fetched&, const Fetched&) = default;
};

/// Take these, from the node with that address on the sync network. The outcomes stand in their order.
struct Mend {
  wire::Address from{};
  std::vector<Repair> repairs;
};
struct Mended {
  std::vector<Repair::Outcome> outcomes;
  friend bool operator==(const Mended&, const Mended&) = default;
};

/// In place of any answer: one sentence.
struct Refused {
  std::string sentence;
  friend bool operator==(const Refused&, const Refused&) = default;
};

using Request = std::variant<Begin, Narrow, List, Look, Fetch, Mend>;
using Answer = std::variant<Begun, Narrowed, Listed, Looked, Fetched, Mended, Refused>;

/// Contract: nothing is larger than the limits above.
[[nodiscard]] std::string encode(const Request& request);
[[nodiscard]] std::string encode(const Answer& answer);

/// Or one sentence about what is wrong with the bytes.
[[nodiscard]] std::variant<Request, std::string> decode_request(std::string_view bytes);
[[nodiscard]] std::variant<Answer, std::string> decode_answer(std::string_view bytes);

}  // namespace pfsync::engine::divergence
