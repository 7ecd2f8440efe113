#include "engine/replay/progress_bar.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace pfsync::engine::replay {

constexpr int width = 40;

ProgressBar::ProgressBar(std::string label, bool wanted)
    : label_{std::move(label)}, enabled_{wanted && isatty(STDERR_FILENO) != 0} {}

ProgressBar::~ProgressBar() {
  if (drawn_percent_ >= 0) std::fprintf(stderr, "\r\033[K");  // what comes next starts on a clean line
}

void ProgressBar::show(double fraction) {
  if (!enabled_) return;
  const int percent = static_cast<int>(std::clamp(fraction, 0.0, 1.0) * 100);
  if (percent == drawn_percent_) return;
  drawn_percent_ = percent;
  const auto filled = static_cast<std::size_t>(percent * width / 100);
  const std::string bar = std::string(filled, '#') + std::string(width - filled, '.');
  std::fprintf(stderr, "\r%s [%s] %3d%%", label_.c_str(), bar.c_str(), percent);
  std::fflush(stderr);
}

}  // namespace pfsync::engine::replay
