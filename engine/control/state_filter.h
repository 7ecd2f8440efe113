#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "statetable/shard.h"
#include "wire/state.h"

namespace pfsync::engine {

/// Which states an operator means: those that fit every term. Matching is plain comparison: no allocation.
struct StateFilter {
  enum class Which : std::uint8_t { any, src, dst };  ///< src: the end that opened the connection
  /// One end of a connection, before or after translation.
  struct End {
    Which which = Which::any;
    wire::Family family = wire::Family::none;  ///< none: any address
    wire::Address address{};
    unsigned bits = 0;  ///< of `address` that count
    bool has_ports = false;
    std::uint16_t port_low = 0;  ///< of TCP, UDP and SCTP; what pf keeps there for ICMP is no port
    std::uint16_t port_high = 0xffff;
  };
  static constexpr std::size_t ends_max = 4;

  std::array<End, ends_max> ends{};
  std::size_t ends_count = 0;
  std::optional<std::uint8_t> proto{};
  wire::InterfaceName interface {};  ///< that the state is bound to, or was created on; empty: any
  std::optional<std::uint32_t> creatorid{};
  std::optional<std::uint64_t> id{};

  [[nodiscard]] bool is_empty() const noexcept {
    return ends_count == 0 && !proto && interface.empty() && !creatorid && !id;
  }
  /// The one state that can fit, when the filter names its whole identity.
  [[nodiscard]] std::optional<wire::StateId> identity() const noexcept {
    if (!id || !creatorid) return std::nullopt;
    return wire::StateId{*id, *creatorid};
  }
  [[nodiscard]] bool matches(const statetable::Snapshot& state) const noexcept;
};

/// The words of pfctl, pf.conf and tcpdump, in any order, each at most once but those of an end:
///   [src|dst] [host|net] ADDRESS[/BITS], [src|dst] port PORT[:PORT], ADDRESS:PORT, ADDRESS[PORT], proto NAME|NUMBER or
///   the name alone, on|interface NAME, creator HEX, id HEX[/HEX], and HEX/HEX alone.
/// Empty text is the empty filter, which every state fits. Or one sentence that names the word it stumbled over.
/// Source: FreeBSD sbin/pfctl/pfctl.8, -k and -s states.
[[nodiscard]] std::variant<StateFilter, std::string> parse_state_filter(std::string_view text);

}  // namespace pfsync::engine
