#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "statetable/time.h"
#include "wire/bytes.h"

namespace pfsync::engine::replay {

/// The pfsync packets of a capture file, in memory: `--loop` plays them many times, and a file that
/// turns out to be truncated is refused before anything was printed. Other packets are only counted.
class Capture {
 public:
  struct Packet {
    statetable::Instant at;              ///< since the capture's first frame; never goes back
    std::chrono::nanoseconds unix_time;  ///< as the file has it
    std::size_t offset;
    std::size_t bytes;
    bool cut;  ///< the capture's snapshot length left out its end
  };
  /// 0 to 1: how much of the file has been read.
  using Progress = std::function<void(double)>;

  /// Reads a pcap or pcapng file with libpcap: Ethernet, Linux cooked v1 and v2, raw IP, VLAN tags.
  /// Errors: one clear sentence (no such file, not a capture, truncated, a link type that cannot be read).
  [[nodiscard]] static std::variant<Capture, std::string> load(const std::string& path, const Progress& progress = {});

  /// All frames of the file.
  [[nodiscard]] std::uint64_t frames() const noexcept { return frames_; }
  /// Frames whose end was not captured, whatever they carry.
  [[nodiscard]] std::uint64_t cut_frames() const noexcept { return cut_frames_; }
  /// From the first frame to the last.
  [[nodiscard]] statetable::Duration span() const noexcept { return span_; }
  [[nodiscard]] const std::vector<Packet>& packets() const noexcept { return packets_; }
  /// From the IP header on.
  [[nodiscard]] wire::Bytes bytes(const Packet& packet) const noexcept {
    return wire::Bytes{bytes_}.subspan(packet.offset, packet.bytes);
  }

 private:
  Capture() = default;

  std::uint64_t frames_ = 0;
  std::uint64_t cut_frames_ = 0;
  statetable::Duration span_{0};
  std::vector<Packet> packets_;
  std::vector<std::uint8_t> bytes_;
};

}  // namespace pfsync::engine::replay
