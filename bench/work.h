#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <vector>

#include "engine/session/merge.h"
#include "statetable/hash.h"
#include "statetable/table.h"
#include "wire/convert.h"
#include "wire/packet_writer.h"
#include "wire/state.h"

/// The work that every table of state_rate is given, and what the tables have in common.
namespace pfsync::bench {

using statetable::ColdEntry;
using statetable::ColdState;
using statetable::HotEntry;
using statetable::HotState;
using wire::Bytes;
using wire::StateId;

inline constexpr std::uint32_t creatorid = 0x22222222;
inline constexpr std::uint64_t hash_seed = 0x5ca1ab1e;
inline constexpr std::size_t packet_bytes = 1480;  ///< MTU 1500 less the IPv4 header
inline constexpr std::size_t burst_packets = 32;   ///< what one receive call of a port brings at most
inline constexpr std::size_t batch = 128;          ///< states entered or removed at once
inline constexpr std::size_t ahead = 64;           ///< how many operations earlier a line is fetched
inline constexpr std::size_t stage_size = 16;      ///< operations of one stage in a row
inline constexpr std::uint32_t no_position = 0xffffffff;

/// Kernels number states one after another; the high half is the time of boot.
[[nodiscard]] constexpr StateId id_of(std::uint64_t number) noexcept {
  return {0x6543210000000000u + number, creatorid};
}

inline void set_client(wire::Key& key, std::uint64_t number) noexcept {
  key.addr[1] = {{10, static_cast<std::uint8_t>(number >> 16u), static_cast<std::uint8_t>(number >> 8u),
                  static_cast<std::uint8_t>(number)}};
  key.port[1] = static_cast<std::uint16_t>(1024 + number);
}

[[nodiscard]] inline wire::State state_of(std::uint64_t number) noexcept {
  wire::State state;
  state.id = id_of(number);
  state.ifname = wire::InterfaceName{"vtnet0"};
  for (auto& key : state.key) {
    key.addr[0] = {{10, 2, 0, 100}};
    key.port = {443, 0};
    set_client(key, number);
  }
  state.src = {
      .seqlo = 1000, .seqhi = 66000, .max_win = 512, .mss = 1460, .state = wire::tcps::established, .wscale = 0x87};
  state.dst = {
      .seqlo = 5000, .seqhi = 70000, .max_win = 512, .mss = 1460, .state = wire::tcps::established, .wscale = 0x87};
  state.expire_s = 86400;
  state.af = wire::Family::inet;
  state.proto = wire::ipproto::tcp;
  state.direction = wire::Direction::out;
  state.timeout = 2;
  return state;
}

/// A state as values. Only id and client differ from one to the next, so that making one costs next to nothing.
struct Values {
  HotState hot;
  ColdState cold;
};
[[nodiscard]] inline Values prepared_values() noexcept {
  const wire::State state = state_of(0);
  const HotState hot{.id = state.id,
                     .src = state.src,
                     .dst = state.dst,
                     .expire_at_s = 86400,
                     .heard_s = 1,
                     .timeout = state.timeout,
                     .proto = state.proto,
                     .af = state.af,
                     .direction = state.direction,
                     .in_use = true};
  return {hot, statetable::cold_part(state)};
}

inline void set_number(Values& values, std::uint64_t number) noexcept {
  values.hot.id = id_of(number);
  for (auto& key : values.cold.key) set_client(key, number);
}

/// What the other tables hold of a state: the same 192 bytes as ours.
struct Body {
  HotEntry hot;
  ColdEntry cold;
};
[[nodiscard]] inline Body prepared_body() noexcept {
  const Values values = prepared_values();
  statetable::Packed packed;
  statetable::pack(values.hot, values.cold, packed);
  return {packed.hot, packed.cold};
}
[[nodiscard]] inline wire::State state_in(const Body& body) noexcept {
  wire::State state;
  statetable::unpack_state(body.hot, body.cold, nullptr, 1, state);
  return state;
}

/// What an update does to a state once it has been found, the same in every table: the merge, and a change that
/// readers see wholly or not at all.
[[nodiscard]] inline bool renewal_of(const HotEntry& held, const wire::Update& update,
                                     statetable::Renewal& renewal) noexcept {
  const engine::MergeResult merged = engine::judge(held, update);
  renewal = {.src = merged.src_stale ? nullptr : &update.src,
             .dst = merged.dst_stale ? nullptr : &update.dst,
             .timeout = update.timeout,
             .expire_at_s = 86401,
             .heard_s = 2};
  return !merged.all_stale();
}
inline void apply_to(HotEntry& held, const wire::Update& update) noexcept {
  statetable::Renewal renewal;
  if (renewal_of(held, update, renewal)) statetable::renew(held, renewal);
}

/// Three stages of `count` operations, each stage `ahead` operations before the next: what one fetches has that
/// long to arrive.
template <class First, class Second, class Third>
inline void staged(std::size_t count, First&& first, Second&& second, Third&& third) noexcept {
  const auto some = [count](std::size_t begin, auto&& stage) {
    for (std::size_t i = begin; i < std::min(begin + stage_size, count); ++i) stage(i);
  };
  for (std::size_t begin = 0; begin < count + 2 * ahead; begin += stage_size) {
    some(begin, first);
    if (begin >= ahead) some(begin - ahead, second);
    if (begin >= 2 * ahead) some(begin - 2 * ahead, third);
  }
}

/// Uniform numbers below a bound, without a pattern that a prefetcher could follow. Source: Steele, Lea
/// and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014 (splitmix64).
class Uniform {
 public:
  explicit Uniform(std::uint64_t bound) noexcept : bound_{bound} {}
  std::uint64_t next() noexcept {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30u)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27u)) * 0x94d049bb133111ebu;
    return ((z >> 32u) * bound_) >> 32u;
  }

 private:
  std::uint64_t bound_;
  std::uint64_t state_ = 1;
};

/// Numbers below a bound of which few come often: number k with a probability in proportion to 1 / (k + 1), then spread
/// over the table. Drawn before, a million of them, so that drawing costs a table under test the same little.
class Zipf {
 public:
  explicit Zipf(std::uint64_t bound) {
    std::vector<double> sums(bound);
    double sum = 0;
    for (std::uint64_t k = 0; k < bound; ++k) sums[k] = sum += 1.0 / static_cast<double>(k + 1);
    Uniform fraction{std::uint64_t{1} << 32u};
    drawn_.reserve(std::size_t{1} << 20u);
    while (drawn_.size() < drawn_.capacity()) {
      const double at = static_cast<double>(fraction.next()) * 0x1p-32 * sum;
      const auto rank = static_cast<std::uint64_t>(std::lower_bound(sums.begin(), sums.end(), at) - sums.begin());
      drawn_.push_back(static_cast<std::uint32_t>(rank * 2654435761u % bound));
    }
  }
  std::uint64_t next() noexcept { return drawn_[at_++ & (drawn_.size() - 1)]; }

 private:
  std::vector<std::uint32_t> drawn_;
  std::size_t at_ = 0;
};

/// A burst of full UPD_C packets, given new ids before each use: the same small cost for every table.
class UpdateBurst {
 public:
  UpdateBurst() {
    const wire::State state = state_of(0);
    for (auto& packet : packets_) {
      wire::PacketWriter writer{wire::Dialect::freebsd_1301, packet};
      while (writer.append_update({state.id, state.src, state.dst, state.timeout})) {
      }
      views_.emplace_back(packet.data(), writer.finish());
      for (std::size_t at = first_record; at + sizeof(wire::UpdCRecord) <= views_.back().size();
           at += sizeof(wire::UpdCRecord))
        records_.push_back(wire::Room{packet}.subspan(at, sizeof(wire::UpdCRecord)));
    }
    for (const wire::Room record : records_) readable_.emplace_back(record);
  }
  template <class Numbers>
  void renew(Numbers& numbers) noexcept {
    for (const wire::Room record : records_) wire::store(record, 0, wire::Be64{id_of(numbers.next()).id});
  }
  [[nodiscard]] std::span<const Bytes> records() const noexcept { return readable_; }
  [[nodiscard]] std::span<const Bytes> packets() const noexcept { return views_; }

 private:
  static constexpr std::size_t first_record = sizeof(wire::Header) + sizeof(wire::Subheader);
  std::array<std::array<std::uint8_t, packet_bytes>, burst_packets> packets_{};
  std::vector<Bytes> views_;
  std::vector<wire::Room> records_;
  std::vector<Bytes> readable_;
};

[[nodiscard]] inline wire::Update read_update(Bytes record) noexcept {
  return wire::read_update(wire::Layout::common, record);
}
[[nodiscard]] inline StateId read_id(Bytes record) noexcept {
  return wire::read_id(wire::Message::upd_c, wire::Layout::common, record);
}

/// States into full packets, one after another in the same room, as a bulk update's frames are.
class Encoder {
 public:
  static constexpr std::size_t states_a_packet = 6;

  void append(std::span<const wire::State> states) noexcept {
    while (!states.empty()) {
      states = states.subspan(writer_.append_states(wire::Message::upd, states));
      if (states.empty()) return;
      bytes_ += writer_.finish();
      writer_ = wire::PacketWriter{wire::Dialect::freebsd_1301, room_};
    }
  }
  [[nodiscard]] std::uint64_t bytes() noexcept { return bytes_ + writer_.finish(); }

 private:
  std::array<std::uint8_t, packet_bytes> room_{};
  wire::PacketWriter writer_{wire::Dialect::freebsd_1301, room_};
  std::uint64_t bytes_ = 0;
};

/// Zeroed memory on 2 MiB pages where the kernel gives them, for every table alike.
template <class T>
class HugeArray {
 public:
  explicit HugeArray(std::size_t count) : count_{count} {
    memory_ = mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory_ == MAP_FAILED) throw std::bad_alloc{};
    madvise(memory_, bytes(), MADV_HUGEPAGE);
  }
  ~HugeArray() { munmap(memory_, bytes()); }
  HugeArray(const HugeArray&) = delete;
  HugeArray& operator=(const HugeArray&) = delete;
  T& operator[](std::size_t i) noexcept { return static_cast<T*>(memory_)[i]; }
  [[nodiscard]] std::size_t size() const noexcept { return count_; }

 private:
  [[nodiscard]] std::size_t bytes() const noexcept { return ((count_ * sizeof(T) >> 21u) + 1) << 21u; }
  void* memory_;
  std::size_t count_;
};

}  // namespace pfsync::bench
