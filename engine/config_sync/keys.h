#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "engine/config_sync/client.h"
#include "engine/config_sync/files.h"

namespace pfsync::engine::config_sync {

/// This node's certificate and key for config_sync, made once: the other node knows the key for ever. Returns why not.
[[nodiscard]] std::string make_own_key(Files& files, const std::string& certificate, const std::string& key,
                                       const std::string& name);
/// Of a PEM file's first certificate.
[[nodiscard]] std::optional<KeyHash> key_of(const std::filesystem::path& certificate);

/// The paired node's key. Returns why it cannot be kept.
[[nodiscard]] std::string write_pin(Files& files, const KeyHash& key);
[[nodiscard]] std::optional<KeyHash> read_pin(Files& files);

}  // namespace pfsync::engine::config_sync
