#pragma once

#include <string>

namespace pfsync::engine::replay {

/// A bar on standard error, for people who wait. It draws nothing unless standard error is a terminal.
class ProgressBar {
 public:
  ProgressBar(std::string label, bool wanted);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  /// `fraction`: 0 to 1. Redraws only when a visible step is reached.
  void show(double fraction);

 private:
  std::string label_;
  bool enabled_;
  int drawn_percent_ = -1;
};

}  // namespace pfsync::engine::replay
