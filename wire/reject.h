#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "wire/describes_each.h"

namespace pfsync::wire {

/// Why a received packet, section or message was refused. This one list is the value that parsers
/// return, the index of the counter, the word in logs and metrics, and what a test asserts.
/// The words of `netstat -s -p pfsync` come first; those it has no word for follow.
enum class Reject : std::uint8_t {
  badif,
  badttl,
  hdrops,
  badver,
  badauth,
  badact,
  badlen,
  badval,
  stale,
  badstate,
  badsum,
  badip,
  fragment,
  looped,
  badmac,
};

struct RejectInfo {
  Reject reject;
  std::string_view word;      ///< counter name, as in `netstat -s -p pfsync` where it exists there
  std::string_view sentence;  ///< what happened, for people
};

inline constexpr std::array reject_table{
    RejectInfo{Reject::badif, "badif", "packets from a source that is not an allowed peer"},
    RejectInfo{Reject::badttl, "badttl", "packets whose TTL or hop limit was not 255"},
    RejectInfo{Reject::hdrops, "hdrops", "packets shorter than the pfsync header"},
    RejectInfo{Reject::badver, "badver", "packets with an unknown pfsync header version"},
    RejectInfo{Reject::badauth, "badauth", "packets with a bad HMAC"},
    RejectInfo{Reject::badact, "badact", "packets with an action this version does not know"},
    RejectInfo{Reject::badlen, "badlen", "packets whose lengths do not agree"},
    RejectInfo{Reject::badval, "badval", "messages with a value out of range"},
    RejectInfo{Reject::stale, "stale", "updates older than the state held here"},
    RejectInfo{Reject::badstate, "badstate", "messages about a state that is unknown or refused"},
    RejectInfo{Reject::badsum, "badsum", "packets with a wrong IPv4 header checksum"},
    RejectInfo{Reject::badip, "badip", "frames with a malformed Ethernet or IP header"},
    RejectInfo{Reject::fragment, "fragment", "IP fragments: pfsync is never fragmented"},
    RejectInfo{Reject::looped, "looped", "own packets that came back"},
    RejectInfo{Reject::badmac, "badmac", "packets from an allowed address but not from its Ethernet address"},
};

inline constexpr std::size_t reject_count = reject_table.size();

static_assert(describes_each(reject_table, &RejectInfo::reject, Reject::badmac),
              "reject_table[i] must describe Reject(i), and every Reject");

[[nodiscard]] constexpr std::string_view word(Reject reject) noexcept {
  return reject_table[static_cast<std::size_t>(reject)].word;
}

}  // namespace pfsync::wire
