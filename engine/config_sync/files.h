#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace pfsync::engine::config_sync {

/// The steps that the store takes on a disk, one call each, so that a test can end the process at any of them. What
/// fails throws std::system_error.
class Files {
 public:
  virtual ~Files() = default;
  /// nullopt: there is no such file.
  [[nodiscard]] virtual std::optional<std::string> read(const std::string& name) = 0;
  /// The whole file, and on the disk when this returns; for its owner alone.
  virtual void write(const std::string& name, const std::string& bytes) = 0;
  virtual void rename(const std::string& from, const std::string& to) = 0;
  /// A second name; one that is there is replaced.
  virtual void link(const std::string& from, const std::string& to) = 0;
  /// No error when it is not there.
  virtual void remove(const std::string& name) = 0;
  /// Makes renames, links and removals last.
  virtual void sync_directory() = 0;
  [[nodiscard]] virtual std::vector<std::string> list() = 0;
};

/// A folder, made when the first file is written.
class DiskFiles final : public Files {
 public:
  explicit DiskFiles(std::filesystem::path folder) : folder_{std::move(folder)} {}
  [[nodiscard]] std::optional<std::string> read(const std::string& name) override;
  void write(const std::string& name, const std::string& bytes) override;
  void rename(const std::string& from, const std::string& to) override;
  void link(const std::string& from, const std::string& to) override;
  void remove(const std::string& name) override;
  void sync_directory() override;
  [[nodiscard]] std::vector<std::string> list() override;
  [[nodiscard]] std::filesystem::path path(const std::string& name) const { return folder_ / name; }

 private:
  std::filesystem::path folder_;
};

}  // namespace pfsync::engine::config_sync
