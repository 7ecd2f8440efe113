#include "engine/control/process.h"

#include <dirent.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

namespace pfsync::engine {
namespace {

using Json = nlohmann::ordered_json;

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

/// What stands behind the program's name, which may hold anything: field 3 of proc_pid_stat(5) and on. Empty:
/// unreadable.
std::vector<std::string> fields_of_stat() {
  std::ifstream file{"/proc/self/stat"};
  const std::string text{std::istreambuf_iterator<char>{file}, {}};
  const auto name_ends = text.rfind(')');
  if (name_ends == std::string::npos) return {};
  std::istringstream words{text.substr(name_ends + 1)};
  return {std::istream_iterator<std::string>{words}, {}};
}

Json open_files() {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder{opendir("/proc/self/fd"), closedir};
  if (!folder) return nullptr;
  int count = -1;  // the one that looks
  while (const dirent* entry = readdir(folder.get())) count += entry->d_name[0] != '.';
  return count;
}

}  // namespace

nlohmann::ordered_json process_json() {
  Json json = {{"resident_bytes", nullptr}, {"virtual_bytes", nullptr}, {"heap_bytes", nullptr},
               {"cpu_s", nullptr},          {"open_files", nullptr},    {"open_files_max", nullptr},
               {"threads", nullptr},        {"start_time_s", nullptr}};
  const struct mallinfo2 heap = mallinfo2();
  json["heap_bytes"] = heap.uordblks + heap.hblkhd;
  rusage used{};
  if (getrusage(RUSAGE_SELF, &used) == 0) json["cpu_s"] = seconds(used.ru_utime) + seconds(used.ru_stime);
  json["open_files"] = open_files();
  rlimit most{};
  if (getrlimit(RLIMIT_NOFILE, &most) == 0) json["open_files_max"] = most.rlim_cur;

  // By their numbers in the manual, of which the first two are left out.
  const std::vector<std::string> fields = fields_of_stat();
  const auto field = [&](std::size_t number) { return std::strtoull(fields[number - 3].c_str(), nullptr, 10); };
  constexpr std::size_t threads = 20, start_ticks = 22, virtual_bytes = 23, resident_pages = 24;
  if (fields.size() <= resident_pages - 3) return json;
  json["threads"] = field(threads);
  json["virtual_bytes"] = field(virtual_bytes);
  json["resident_bytes"] = field(resident_pages) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  timespec since_boot{};
  if (clock_gettime(CLOCK_BOOTTIME, &since_boot) != 0) return json;
  const double age_s = static_cast<double>(since_boot.tv_sec) + static_cast<double>(since_boot.tv_nsec) / 1e9 -
                       static_cast<double>(field(start_ticks)) / static_cast<double>(sysconf(_SC_CLK_TCK));
  const std::chrono::duration<double> wall = std::chrono::system_clock::now().time_since_epoch();
  json["start_time_s"] = wall.count() - age_s;
  return json;
}

}  // namespace pfsync::engine
