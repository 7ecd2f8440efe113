#pragma once

#include <chrono>
#include <string>

#include "wire/bytes.h"

namespace pfsync::engine::replay {

/// One frame in the manner of tcpdump's pfsync printer: a line with time, addresses and length, a line
/// for each section, a line for each message. A walk that ends early says where: the printed sections are
/// those that a receiver applies.
/// Units: `unix_time` is shown as UTC.
/// Source: FreeBSD contrib/tcpdump/print-pfsync.c.
[[nodiscard]] std::string dump_text(std::chrono::nanoseconds unix_time, wire::Bytes ip_packet);

}  // namespace pfsync::engine::replay
