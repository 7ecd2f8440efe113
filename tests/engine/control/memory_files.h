#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/config_sync/files.h"

namespace pfsync::engine::config_sync::test {

/// A disk that costs no time.
class MemoryFiles final : public Files {
 public:
  std::optional<std::string> read(const std::string& name) override {
    const auto found = files_.find(name);
    return found == files_.end() ? std::nullopt : std::optional{found->second};
  }
  void write(const std::string& name, const std::string& bytes) override { files_[name] = bytes; }
  void rename(const std::string& from, const std::string& to) override {
    files_[to] = files_.at(from);
    files_.erase(from);
  }
  void link(const std::string& from, const std::string& to) override { files_[to] = files_.at(from); }
  void remove(const std::string& name) override { files_.erase(name); }
  void sync_directory() override {}
  std::vector<std::string> list() override {
    std::vector<std::string> names;
    for (const auto& [name, bytes] : files_) names.push_back(name);
    return names;
  }

 private:
  std::map<std::string, std::string> files_;
};

}  // namespace pfsync::engine::config_sync::test
