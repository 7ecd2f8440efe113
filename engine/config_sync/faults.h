#pragma once

/// Why one node refuses another, as numbers of XML-RPC faults.
namespace pfsync::engine::config_sync::fault {

inline constexpr int not_authorised = 100;
inline constexpr int role_refused = 101;
inline constexpr int cluster_differs = 102;
inline constexpr int protocol_version = 103;
inline constexpr int loop = 110;
inline constexpr int stale_generation = 111;
inline constexpr int split = 112;
inline constexpr int validation_failed = 120;
inline constexpr int local_section = 121;
inline constexpr int too_large = 122;
inline constexpr int apply_failed = 130;
inline constexpr int busy = 140;

}  // namespace pfsync::engine::config_sync::fault
