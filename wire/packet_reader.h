#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "wire/bytes.h"
#include "wire/dialect.h"
#include "wire/messages.h"
#include "wire/reject.h"

namespace pfsync::wire {

/// One sub-header and its records. Borrowed: good for as long as the packet's bytes are.
struct Section {
  const Action* action = nullptr;
  std::uint16_t count = 0;
  std::uint16_t record_bytes = 0;  ///< stride; a newer sender's records may be longer than ours
  Bytes records{};

  /// The bytes of record `index`. Contract: index < count.
  [[nodiscard]] Bytes record(std::size_t index) const noexcept {
    return records.subspan(index * record_bytes, record_bytes);
  }
};

/// Walks the sections of one pfsync packet; copies nothing, allocates nothing.
/// Contract: every section that `next` yields lies wholly inside the packet. Sizes are checked here,
///           values are not (wire/convert.h reads them, engine/session/validity.h judges them).
/// Errors:   `reject()` after `next` returned false: hdrops, badver, badact, badlen. What was yielded
///           before stays valid: the kernels keep what they have applied, and so do we.
/// Differs:  a header.len below 20 is badlen (the kernel drops the packet without counting it); sections
///           end at header.len, not at the end of the packet; a section above 2048 bytes is accepted
///           (that limit is the kernel's mbuf helper, not the protocol).
/// Skips:    header version 6 tells the size of its records, so a section of an action that we do not know,
///           or with records too short for it, is stepped over, as OpenBSD does, and counted in `skipped()`.
/// Source:   FreeBSD sys/netpfil/pf/if_pfsync.c, pfsync_input(); OpenBSD sys/net/if_pfsync.c, pfsync_input().
class PacketReader {
 public:
  /// `payload` is everything that follows the IP header.
  explicit PacketReader(Bytes payload) noexcept;

  /// Fills `section` and returns true, or returns false at the end of the packet or at an error.
  [[nodiscard]] bool next(Section& section) noexcept;

  [[nodiscard]] std::optional<Reject> reject() const noexcept { return reject_; }
  /// Valid unless the reject is hdrops.
  [[nodiscard]] const Header& header() const noexcept { return header_; }
  /// The action number that a badact was about.
  [[nodiscard]] std::uint8_t unknown_action() const noexcept { return unknown_action_; }
  /// Sections stepped over so far.
  [[nodiscard]] std::size_t skipped() const noexcept { return skipped_; }

 private:
  bool stop(std::optional<Reject> why) noexcept;
  bool stop_at(std::uint8_t unknown_action) noexcept;

  Bytes payload_;
  Header header_{};
  std::size_t offset_ = sizeof(Header);
  std::size_t skipped_ = 0;
  std::size_t end_ = 0;  ///< no section reaches past this; 0 once the walk is over
  std::optional<Reject> reject_;
  std::uint8_t unknown_action_ = 0;
};

/// Whether a packet is whole and has compressed updates (UPD_C) and nothing else: what is lost with it comes again with
/// the next update of each state. `payload` as for PacketReader.
[[nodiscard]] bool has_only_updates(Bytes payload) noexcept;

}  // namespace pfsync::wire
