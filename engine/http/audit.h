#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace pfsync::engine::http {

/// Who did what, when, from where: JSON lines in a file that is only ever added to. At `bytes_max` it becomes FILE.1,
/// that FILE.2, and so on; `kept` old ones stay. Several of one process may add to one file. From any thread.
class AuditFile {
 public:
  explicit AuditFile(std::filesystem::path file, std::size_t bytes_max = std::size_t{1} << 20u, unsigned kept = 4)
      : file_{std::move(file)}, bytes_max_{bytes_max}, kept_{kept} {}
  ~AuditFile();
  AuditFile(const AuditFile&) = delete;
  AuditFile& operator=(const AuditFile&) = delete;

  /// Adds `time`. False: it could not be written.
  bool record(const nlohmann::ordered_json& entry);

 private:
  [[nodiscard]] bool open();
  void rotate();

  std::filesystem::path file_;
  std::size_t bytes_max_;
  unsigned kept_;
  int fd_ = -1;
  std::size_t size_ = 0;
};

/// The same with "***" for each text under a key that names a secret.
[[nodiscard]] nlohmann::ordered_json masked(const nlohmann::ordered_json& json);

}  // namespace pfsync::engine::http
