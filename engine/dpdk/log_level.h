#pragma once

#include <spdlog/spdlog.h>

#include <array>
#include <cstddef>

#include "engine/config/config.h"

namespace pfsync::engine::dpdk {

inline void set_log_level(Config::LogLevel level) {
  constexpr std::array levels{spdlog::level::debug, spdlog::level::info, spdlog::level::warn, spdlog::level::err};
  spdlog::set_level(levels[static_cast<std::size_t>(level)]);
}

}  // namespace pfsync::engine::dpdk
