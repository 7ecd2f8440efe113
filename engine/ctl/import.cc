#include "engine/ctl/import.h"

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <optional>
#include <system_error>

#include "engine/import/translate.h"

namespace pfsync::engine::ctl {
namespace {

/// At most one byte more than is taken, so that what is too large shows.
std::optional<std::string> bytes_of(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    errno = EISDIR;
    return std::nullopt;
  }
  std::ifstream in{path, std::ios::binary};
  if (!in) return std::nullopt;
  std::string bytes;
  bytes.resize(imports::file_bytes_max + 1);
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<std::size_t>(in.gcount()));
  if (in.bad()) return std::nullopt;
  return bytes;
}

}  // namespace

std::string check_device_pair(const std::string& pair) {
  const std::size_t equals = pair.find('=');
  return equals == std::string::npos || equals == 0 || equals + 1 == pair.size()
             ? "write it as igb1=eth2: the firewall's name of the interface, and this machine's"
             : "";
}

std::variant<Json, std::string> import_files(const ImportOptions& options) {
  std::vector<imports::Source> files;
  for (const std::string& path : options.files) {
    errno = 0;
    auto bytes = bytes_of(path);
    if (!bytes)
      return path + " cannot be read (" + std::generic_category().message(errno == 0 ? EIO : errno) +
             "): give the path of a file of the firewall's";
    files.push_back({path, std::move(*bytes)});
  }
  imports::Choice choice{.address = options.address};
  for (const std::string& pair : options.devices)
    choice.devices.insert_or_assign(pair.substr(0, pair.find('=')), pair.substr(pair.find('=') + 1));
  const auto result = imports::translate(files, choice);
  if (const auto* why = std::get_if<std::string>(&result)) return *why;
  const auto& imported = std::get<imports::Imported>(result);
  return Json{{"ok", true}, {"toml", imported.toml}, {"notes", imported.notes}};
}

}  // namespace pfsync::engine::ctl
