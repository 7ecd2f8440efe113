#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/config_sync/sections.h"

namespace pfsync::engine::config_sync {

/// One state of the shared configuration, and whose it is.
struct Revision {
  std::string origin;               ///< node_id of the node whose edit this is: 32 hex digits
  std::uint64_t epoch = 0;          ///< raised when a node becomes primary
  std::uint64_t generation = 0;     ///< raised by each edit
  std::vector<std::string> path{};  ///< node_ids that it went through
  Sections sections{};

  [[nodiscard]] std::string digest() const { return digest_of(sections); }
  friend bool operator==(const Revision&, const Revision&) = default;
};

/// A revision as the store keeps it.
struct Stored {
  Revision revision;
  std::string source;         ///< for people: "file", "push", "rollback to 7", "promotion", "firewall 10.0.0.1"
  std::int64_t time_s = 0;    ///< since 1970, when it was stored
  std::string file_digest{};  ///< file_digest_of() a primary's file that this revision overrules; empty: none
  friend bool operator==(const Stored&, const Stored&) = default;
};

/// One JSON object; and back, nullopt when it is damaged: the sections' digest is checked.
[[nodiscard]] std::string text_of(const Stored& stored);
[[nodiscard]] std::optional<Stored> parse_stored(std::string_view text);

/// This node, for ever.
struct Identity {
  std::string node_id;           ///< 32 hex digits, random
  std::uint64_t epoch = 0;       ///< of its last time as primary
  std::uint64_t generation = 0;  ///< the highest it ever gave away
  bool was_primary = false;      ///< at its last start
  std::string file_digest{};     ///< file_digest_of() its file when it was last read as a secondary's
  friend bool operator==(const Identity&, const Identity&) = default;
};
[[nodiscard]] std::string text_of(const Identity& identity);
[[nodiscard]] std::optional<Identity> parse_identity(std::string_view text);

[[nodiscard]] bool is_node_id(std::string_view text);
/// Decimal, nothing else.
[[nodiscard]] std::optional<std::uint64_t> parse_number(std::string_view text);

}  // namespace pfsync::engine::config_sync
