#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace pfsync::engine::replay {

/// A state as some program printed it in the layout of `pfctl -ss -vv`, near side first.
struct PrintedState {
  struct Side {
    std::string level;  ///< "ESTABLISHED", "MULTIPLE", "0"
    std::uint32_t seqlo = 0;
    std::uint32_t window = 0;  ///< seqhi - seqlo
    std::string scale;         ///< "wscale 10", or empty

    friend bool operator==(const Side&, const Side&) = default;
  };
  std::string proto;
  std::string flow;  ///< "10.2.0.254:64898 (10.1.0.100:47572) -> 10.2.0.100:8000"
  std::array<Side, 2> side;
  bool has_windows = false;
  std::uint32_t age_s = 0;
  std::uint32_t expires_s = 0;
  std::string rule;  ///< "rule 3", or what else stands behind the counters

  [[nodiscard]] bool goes_out() const { return flow.find(" -> ") != std::string::npos; }
};

/// States by "id: … creatorid: …".
using Account = std::map<std::string, PrintedState>;

/// Reads all states of a text; lines that belong to none are skipped. Fails the test on a line that
/// looks like a state's and cannot be read.
[[nodiscard]] Account parse_account(std::string_view text);

/// The part of a kernels' account that a node ("fw1", "fw2") gave.
[[nodiscard]] std::string section_of(const std::string& text, const std::string& node);

}  // namespace pfsync::engine::replay
