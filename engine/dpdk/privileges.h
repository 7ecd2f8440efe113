#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <variant>

namespace pfsync::engine::dpdk {

/// Whom the daemon becomes once its ports are open.
struct Identity {
  std::string name;
  uid_t uid = 0;
  gid_t gid = 0;
};

/// By the system's own list, or one sentence.
[[nodiscard]] std::variant<Identity, std::string> find_identity(const std::string& user);

/// The folder and what root has in it becomes the user's, so that a daemon that was root's goes on as somebody else's.
/// Made when it is not there. Links are not followed, and what has several names is left alone. Throws
/// std::runtime_error with one sentence.
void give_folder(const std::filesystem::path& folder, const Identity& identity);

/// Every thread of the process becomes the user, with its groups, and can use no capability; the calling one, and those
/// that it starts, can use CAP_NET_BIND_SERVICE until end_privileges(), so that sockets can be made for ports below
/// 1024. Throws std::runtime_error with one sentence; the process must not go on then.
void become(const Identity& identity);

/// No thread has a capability, or a way back, from now on. Throws as become() does.
void end_privileges(const Identity& identity);

}  // namespace pfsync::engine::dpdk
