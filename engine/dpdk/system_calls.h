#pragma once

#include <optional>
#include <string>

namespace pfsync::engine::dpdk {

/// From now on the whole process can make only the system calls that a running daemon needs: no other program is
/// started, no memory becomes executable, no packet or raw socket is made, no process or kernel is looked into. What is
/// not needed fails with EPERM; what only an intruder asks for (execve, ptrace, mount, bpf and the like) ends the
/// process, and the service manager starts it again. Threads that are there and those to come; there is no way back.
/// Control thread, once everything is open. The reason when the kernel has no seccomp(2) for us; then
/// nothing has changed.
[[nodiscard]] std::optional<std::string> restrict_system_calls();

/// The calling thread, a data-path core, keeps of those only what a driver in user space, waiting and ending need: it
/// cannot open a file or a socket any more. As above, and after it.
[[nodiscard]] std::optional<std::string> restrict_data_path();

}  // namespace pfsync::engine::dpdk
