#pragma once

#include <cstdint>

namespace pfsync::engine::dpdk {

/// Whether a device takes frames and lets none go. A socket with a ring of frames (af_packet) gives its first frame to
/// the device again whenever that reports to have dropped it, and the others wait behind: a virtual device (veth,
/// macvlan) does so with one that is longer than its other end takes, for ever. Pure: looked at once a second.
/// Source: Linux net/packet/af_packet.c, tpacket_snd(); drivers/net/veth.c, veth_xmit(), which tells of drops
/// since 6.6, and in the older lines since September 2023.
class Standstill {
 public:
  /// Numbers that only grow.
  struct Counts {
    std::uint64_t given = 0;    ///< frames that the driver took
    std::uint64_t sent = 0;     ///< that the device sent, of anybody's
    std::uint64_t dropped = 0;  ///< that the device dropped instead
  };
  static constexpr unsigned looks_min = 3;

  /// What is so as of now. `given` is read before the others.
  bool look(const Counts& now) noexcept {
    const Counts before = before_;
    before_ = now;
    if (!has_looked_) {
      has_looked_ = true;
      return false;
    }
    const std::uint64_t given = now.given - before.given, sent = now.sent - before.sent;
    if (given == 0 && sent == 0) return is_still();  // nothing was to be sent
    // The machine itself may send a frame or two through the same device.
    constexpr std::uint64_t few = 8;
    const bool is_theirs = sent * few < given || (is_still() && sent < few);  // when its ring is full, nothing is given
    const bool lets_none_go = now.dropped > before.dropped && (sent == 0 || is_theirs);
    bad_ = lets_none_go ? bad_ + (bad_ < looks_min) : 0;
    return is_still();
  }
  [[nodiscard]] bool is_still() const noexcept { return bad_ >= looks_min; }

 private:
  Counts before_{};
  unsigned bad_ = 0;
  bool has_looked_ = false;
};

}  // namespace pfsync::engine::dpdk
