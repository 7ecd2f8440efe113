#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>

namespace pfsync::engine::http {

/// Replaces the file as a whole, so that no reader and no loss of power meets half of it. Returns "" or
/// "FILE cannot be written (why)". Written by root, it belongs to whom it belonged, or its folder does.
[[nodiscard]] std::string write_whole(const std::filesystem::path& file, const std::string& text, mode_t mode);

}  // namespace pfsync::engine::http
