#include "engine/control/memory.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

namespace pfsync::engine {
namespace {

constexpr std::uint64_t unlimited = std::numeric_limits<std::uint64_t>::max();

/// The number that a file consists of; nullopt when it is not there, or says "max".
std::optional<std::uint64_t> number_in(const std::filesystem::path& file) {
  std::ifstream in{file};
  std::uint64_t value = 0;
  if (in >> value) return value;
  return std::nullopt;
}

/// The number behind a word at the start of a line.
std::optional<std::uint64_t> number_after(const std::filesystem::path& file, const std::string& word) {
  std::ifstream in{file};
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(word)) continue;
    return std::strtoull(line.c_str() + word.size(), nullptr, 10);
  }
  return std::nullopt;
}

/// What is left below a limit; pages of files that nobody holds can be had back.
std::uint64_t left(std::uint64_t limit, std::uint64_t used, std::uint64_t reclaimable) {
  const std::uint64_t held = used - std::min(used, reclaimable);
  return limit - std::min(limit, held);
}

/// The least that is left in a group and the groups above it.
std::uint64_t left_in_groups(const std::filesystem::path& mount, std::filesystem::path group, const char* limit_name,
                             const char* used_name, const char* reclaimable_word) {
  std::uint64_t least = unlimited;
  for (;; group = group.parent_path()) {
    const auto folder = mount / group.relative_path();
    const auto limit = number_in(folder / limit_name);
    const auto used = number_in(folder / used_name);
    if (limit && used)
      least = std::min(least, left(*limit, *used, number_after(folder / "memory.stat", reclaimable_word).value_or(0)));
    if (!group.has_relative_path()) return least;
  }
}

}  // namespace

std::uint64_t available_memory(const std::filesystem::path& root) {
  std::uint64_t least = unlimited;
  if (const auto kib = number_after(root / "proc/meminfo", "MemAvailable:")) least = *kib * 1024;
  // What ulimit -v leaves of the address space, for the process itself only.
  if (rlimit space; root == "/" && getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY)
    if (const auto pages = number_in(root / "proc/self/statm"))
      least = std::min(least, left(space.rlim_cur, *pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)), 0));
  std::ifstream groups{root / "proc/self/cgroup"};
  for (std::string line; std::getline(groups, line);) {
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::filesystem::path group = line.substr(second + 1);
    if (controllers.empty())
      least = std::min(least,
                       left_in_groups(root / "sys/fs/cgroup", group, "memory.max", "memory.current", "inactive_file "));
    else if (controllers == "memory")
      least = std::min(least, left_in_groups(root / "sys/fs/cgroup/memory", group, "memory.limit_in_bytes",
                                             "memory.usage_in_bytes", "total_inactive_file "));
  }
  return least;
}

}  // namespace pfsync::engine
