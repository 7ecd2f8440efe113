#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

/// What of a configuration two nodes have in common, in the one form that both digest.
namespace pfsync::engine::config_sync {

/// Whose a key of the file is.
enum class KeyClass : std::uint8_t {
  shared,       ///< copied
  transformed,  ///< copied, through what merge() does to it
  local         ///< never sent, refused when received
};
/// Of a dotted key as "carp.advskew". What is not listed is local.
[[nodiscard]] KeyClass class_of(std::string_view key);

/// Those of the keys that a reload names (Difference::restart) which are, or hold, what nodes share.
[[nodiscard]] std::vector<std::string> shared_among(const std::vector<std::string>& keys);
/// Whether one of them decides what a received configuration means here: it is read by the text that is at work, then,
/// until the restart.
[[nodiscard]] bool is_decisive(const std::vector<std::string>& keys);

/// Name → canonical JSON: sorted keys, UTF-8, no blanks, no floating point. The names: carp, peer, sync, timeouts, and
/// node, which tells the sender's addresses.
using Sections = std::map<std::string, std::string, std::less<>>;

/// Lower-case hex of SHA-256.
[[nodiscard]] std::string sha256_hex(std::string_view bytes);
/// Over the sorted names and the sections' digests.
[[nodiscard]] std::string digest_of(const Sections& sections);
[[nodiscard]] std::map<std::string, std::string> digests_of(const Sections& sections);

/// Of what an operator writes of them in a file: without `node`, which follows from the rest of it.
[[nodiscard]] std::string file_digest_of(Sections sections);

/// A refusal with the number that the other node is told (faults.h).
struct Problem {
  int code = 0;
  std::string sentence;
};

/// The shared sections of a file's text. Devices get their logical names, a password's file becomes the password. Or
/// one sentence.
[[nodiscard]] std::variant<Sections, std::string> extract(std::string_view toml, const std::string& file);

/// Whether these are sections that may be sent, in canonical form.
[[nodiscard]] std::optional<Problem> check_form(const Sections& sections);

/// A file in force: its own text with other sections in the place of its shared ones.
struct Merged {
  std::string toml;
  std::vector<std::string> notes;  ///< what was transformed, in words
};
struct MergeRequest {
  std::string_view toml;                ///< the file's own
  const Sections* shared = nullptr;     ///< in the place of the file's; already checked for form
  bool transform = true;                ///< they come from the other node
  bool keep_skew = false;               ///< and yet no skew becomes another
  const std::string* compat = nullptr;  ///< a canonical array of further [[carp]], in terms of this node
};
[[nodiscard]] std::variant<Merged, Problem> merge(const MergeRequest& request, const std::string& file);

/// What nodes share of a file's text, as TOML, with its passwords. The text has been read before.
[[nodiscard]] std::string shared_text(std::string_view toml);

/// Section → what differs, in words, without passwords. Sections that are equal are left out.
[[nodiscard]] std::map<std::string, std::string> differences(const Sections& before, const Sections& after);

}  // namespace pfsync::engine::config_sync
