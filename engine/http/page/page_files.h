#pragma once

#include <span>
#include <string_view>

namespace pfsync::engine::http {

/// A file of the web page, as it is served. All views are of memory that lives as long as the process.
struct PageFile {
  std::string_view path;          ///< of the request: "/", "/page.css"
  std::string_view content_type;  ///< with its character set
  std::string_view bytes;
  std::string_view etag;  ///< of these bytes, with its quotation marks
};

/// All of them; nothing else belongs to the page, and none asks for anything but these and /api/.
[[nodiscard]] std::span<const PageFile> page_files() noexcept;

/// Null: the page has no such file.
[[nodiscard]] inline const PageFile* page_file(std::string_view path) noexcept {
  for (const PageFile& file : page_files())
    if (file.path == path) return &file;
  return nullptr;
}

}  // namespace pfsync::engine::http
