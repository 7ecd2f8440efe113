#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <queue>
#include <random>
#include <tuple>
#include <vector>

#include "statetable/time.h"
#include "tests/sim/chaos/marks.h"
#include "wire/address.h"
#include "wire/bytes.h"

namespace pfsync::sim::chaos {

using statetable::Duration;
using Frame = std::vector<std::uint8_t>;

/// What happens to frames on their way from one port to another.
struct Path {
  unsigned loss_percent = 0;
  Duration burst{};  ///< all are lost for so long, none for as long; zero: no bursts
  Duration jitter{};
  unsigned duplicate_percent = 0;
  unsigned corrupt_percent = 0;  ///< the check sequence does not fit: lost
  unsigned garble_percent = 0;   ///< it fits, and bytes are others
  std::size_t frame_max = 0;     ///< longer ones are lost; 0: none is too long
  bool cut = false;

  [[nodiscard]] bool is_clean() const {
    return loss_percent == 0 && burst == Duration::zero() && jitter < std::chrono::milliseconds{20} &&
           corrupt_percent == 0 && garble_percent == 0 && !cut;
  }
};

/// An Ethernet switch with the nodes' ports and a port for whoever else is there, which hears everything. Each node's
/// side of it learns by itself where an address is, as the switches of a network that falls in two do.
class Network {
 public:
  struct Delivery {
    Duration at;
    std::uint64_t order;  ///< breaks ties, so that a run does not depend on the heap
    std::size_t from, to;
    Frame frame;
    bool operator>(const Delivery& other) const { return std::tie(at, order) > std::tie(other.at, other.order); }
  };
  /// Told of a frame that was changed on its way: what it was, what it became.
  using OnGarbled = std::function<void(wire::Bytes, wire::Bytes)>;

  Network(std::size_t ports, std::uint64_t seed, Marks& marks);

  [[nodiscard]] Path& path(std::size_t from, std::size_t to) { return paths_[from * ports_ + to]; }
  [[nodiscard]] const Path& path(std::size_t from, std::size_t to) const { return paths_[from * ports_ + to]; }
  /// A cable in perfect order everywhere.
  void heal() { paths_.assign(ports_ * ports_, {}); }
  void on_garbled(OnGarbled told) { garbled_ = std::move(told); }

  void send(std::size_t from, wire::Bytes frame, Duration now);
  /// Whether something arrives until then.
  [[nodiscard]] bool has_until(Duration at) const { return !under_way_.empty() && under_way_.top().at <= at; }
  /// Contract: there is something.
  [[nodiscard]] Delivery take();
  [[nodiscard]] std::size_t in_flight() const { return under_way_.size(); }
  [[nodiscard]] std::uint64_t frames() const { return frames_; }

 private:
  void send_to(std::size_t from, std::size_t to, wire::Bytes frame, Duration now);
  [[nodiscard]] std::uint64_t below(std::uint64_t bound) { return random_() % bound; }
  [[nodiscard]] bool chance(unsigned percent) { return percent > 0 && below(100) < percent; }
  [[nodiscard]] Frame garble(wire::Bytes frame);

  std::size_t ports_;
  std::mt19937_64 random_;
  Marks& marks_;
  OnGarbled garbled_;
  std::vector<Path> paths_;
  std::vector<std::map<wire::MacAddress, std::size_t>> learned_;  ///< by each port's side
  std::vector<std::pair<Duration, std::uint64_t>> last_;          ///< what came last on each path
  std::priority_queue<Delivery, std::vector<Delivery>, std::greater<>> under_way_;
  std::uint64_t order_ = 0, frames_ = 0;
};

}  // namespace pfsync::sim::chaos
