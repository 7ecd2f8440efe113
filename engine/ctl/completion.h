#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace pfsync::engine::ctl {

/// What may stand where the cursor is: commands, options, words of a filter. For the shell's completion, which asks
/// the program itself, so that it knows each command that there is.
struct Completion {
  std::vector<std::string> words;
  bool files = false;  ///< any file besides
};

/// `words`: those behind the program's name, the one at the cursor last, which may be empty.
[[nodiscard]] Completion complete(const CLI::App& app, const std::vector<std::string>& words);

}  // namespace pfsync::engine::ctl
