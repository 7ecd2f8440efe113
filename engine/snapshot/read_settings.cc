#include "engine/snapshot/read_settings.h"

#include <filesystem>

namespace pfsync::engine::snapshot {

std::optional<Settings> read_settings(ConfigSection& file, const std::string& state_dir) {
  auto section = file.section("snapshot");
  if (!section) return std::nullopt;
  constexpr std::int64_t day_s = 86'400, rate_max = 1'000'000'000;
  Settings settings{.path = (std::filesystem::path{state_dir} / "states.snapshot").string()};
  section->file_into(settings.path, "path");
  if (settings.path.ends_with('/'))
    section->fail("path", "\"" + settings.path + "\" is a folder: give a file's name in it");
  section->number_into(settings.interval_s, "interval_s", 1, day_s);
  settings.at_exit = section->flag("at_exit").value_or(settings.at_exit);
  section->number_into(settings.states_per_s, "states_per_s", 0, rate_max);
  section->finish();
  return settings;
}

}  // namespace pfsync::engine::snapshot
