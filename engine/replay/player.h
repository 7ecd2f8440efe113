#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/counters.h"
#include "engine/replay/capture.h"
#include "engine/session/session.h"
#include "statetable/table.h"
#include "wire/bytes.h"
#include "wire/state.h"

namespace pfsync::engine::replay {

struct PlayerConfig {
  std::size_t states_max = 1;
  bool expire = true;  ///< states time out on the capture's clock
};

/// Plays a capture into a passive node: the daemon's session and table, on the capture's clock. One
/// player plays the capture once. No I/O and no clock of its own.
class Player {
 public:
  /// The player, or one sentence that says why its table cannot be had. `capture` must outlive it.
  [[nodiscard]] static std::variant<std::unique_ptr<Player>, std::string> create(const Capture& capture,
                                                                                 const PlayerConfig& config);

  /// Packets that may be played in one burst from here: at most 64, and none in another second of the
  /// table's clock than the first, so that a burst changes no expiry. 0 at the end of the capture.
  [[nodiscard]] std::size_t burst() const noexcept;
  /// Plays the next `count` packets, after what fell due before them. Contract: count <= burst().
  void play(std::size_t count);
  /// Packets played so far.
  [[nodiscard]] std::size_t played() const noexcept { return next_; }
  /// Runs the clock on to the capture's last frame.
  void finish();

  [[nodiscard]] const Counters& counters() const noexcept { return session_.counters(); }
  /// All messages received so far, EOF included.
  [[nodiscard]] std::uint64_t messages() const noexcept;
  /// The table's states as of now, ordered by id, then creator.
  [[nodiscard]] std::vector<wire::State> states() const;

 private:
  static constexpr std::size_t burst_max = 64;

  Player(const Capture& capture, const PlayerConfig& config, std::unique_ptr<statetable::Table> table);
  /// The pfsync packet inside an IP packet; counts why not.
  [[nodiscard]] std::optional<wire::Bytes> admit(wire::Bytes ip_packet) noexcept;
  void advance(statetable::Instant to);

  const Capture* capture_;
  std::unique_ptr<statetable::Table> table_;
  Session session_;
  statetable::Instant now_{};
  std::size_t next_ = 0;
  std::vector<wire::Bytes> burst_;
};

/// States that share their connection key (interface, WIRE side, family, protocol, direction) with
/// another: two nodes made them for one connection, under ids of their own.
[[nodiscard]] std::size_t collisions(const std::vector<wire::State>& states);

}  // namespace pfsync::engine::replay
