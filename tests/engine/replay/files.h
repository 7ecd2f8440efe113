#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <variant>

#include "engine/replay/capture.h"

namespace pfsync::engine::replay {

/// A file under tests/captures.
inline std::string capture_path(const std::string& name) { return std::string{CAPTURE_DIR} + "/" + name; }

inline std::string text_of(const std::string& path) {
  std::ifstream in{path, std::ios::binary};
  EXPECT_TRUE(in.good()) << path;
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

/// A file that is gone after the test.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& bytes = {}) {
    std::string pattern = testing::TempDir() + "pfsync-replay-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error{"no directory for temporary files: " + pattern};
    directory_ = pattern;
    path_ = directory_ + "/capture.pcap";
    std::ofstream{path_, std::ios::binary} << bytes;
  }
  ~TemporaryFile() { std::filesystem::remove_all(directory_); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  std::string directory_;
  std::string path_;
};

inline Capture load(const std::string& path) {
  auto loaded = Capture::load(path);
  if (const auto* why = std::get_if<std::string>(&loaded)) throw std::runtime_error{*why};
  return std::get<Capture>(std::move(loaded));
}

/// What `load` refuses a file with; empty when it does not.
inline std::string refusal(const std::string& path) {
  auto loaded = Capture::load(path);
  const auto* why = std::get_if<std::string>(&loaded);
  return why != nullptr ? *why : std::string{};
}

}  // namespace pfsync::engine::replay
