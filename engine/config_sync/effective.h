#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/config/config.h"
#include "engine/config_sync/revision.h"
#include "engine/config_sync/sections.h"

namespace pfsync::engine::config_sync {

/// What stands beside the file and counts with it.
struct Kept {
  std::optional<Identity> identity{};
  std::optional<Stored> shared{};  ///< of the other node, or rolled back to
  std::optional<Stored> compat{};  ///< virtual addresses of a pfSense or OPNsense primary
};

/// A configuration in force, and what was transformed for it.
struct Effective {
  Config config;
  std::vector<std::string> notes;
};
/// The file's text with these sections in the place of its own, and those of `compat` besides; checked as a file is.
/// Whether a link speaks to peers or to a group is each file's own, since it takes a restart: where the other node's
/// sections (`transform`) would change that, the file's own peers stay. Pure but for the files that it names.
[[nodiscard]] std::variant<Effective, Problem> combine(std::string_view toml, const std::string& file,
                                                       const Sections* shared, bool transform,
                                                       const std::string* compat);

/// Why another node's sections cannot be taken by a process whose file is this: they speak to peers and it to a group,
/// or the other way round.
[[nodiscard]] std::optional<Problem> check_peers(std::string_view toml, const std::string& file,
                                                 const Sections& theirs);

/// Which of what is kept counts, for a file: a secondary's shared part comes from the store, a primary's only while it
/// is rolled back from what the file says, or was a secondary's and the file says nothing new since. What is kept and
/// does no longer fit the file is left out, with a warning; or, `running`, a sentence. `running`: the role of the
/// process that goes on; under another one in the file, which waits for a restart, what is kept counts as it is.
[[nodiscard]] std::variant<Config, std::string> in_force(std::string_view toml, const std::string& file,
                                                         const Kept& kept, std::optional<Role> running = std::nullopt);
/// Whether the store's revision counts instead of what this file of a primary says.
[[nodiscard]] bool is_rolled_back(const Stored& stored, std::string_view toml, const std::string& file);

/// Whether the store of a node that is primary now holds what the former primary pushed, and the shared part of the
/// file is the one that it had as a secondary's: then it has no say yet.
[[nodiscard]] bool is_promoted(const Stored& stored, const Identity& identity, std::string_view toml,
                               const std::string& file);
struct Promoted {
  Sections sections;
  std::string text;  ///< the same as TOML, for the file
};
/// The former primary's sections in terms of this node: its own addresses and names. Skews are as they were given,
/// since this node's are no longer the higher ones.
[[nodiscard]] std::variant<Promoted, Problem> promote(std::string_view toml, const std::string& file,
                                                      const Sections& theirs);

/// The configuration to start with: the file, and what the store holds for it. A commit that the last process did not
/// see confirmed is rolled back first.
[[nodiscard]] ConfigResult load_effective(const std::filesystem::path& file);

/// Folders below state_dir.
[[nodiscard]] std::filesystem::path store_folder(const Config& config);
[[nodiscard]] std::filesystem::path compat_folder(const Config& config);

}  // namespace pfsync::engine::config_sync
