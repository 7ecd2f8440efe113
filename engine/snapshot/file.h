#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>

#include "engine/snapshot/reader.h"
#include "engine/snapshot/writer.h"

namespace pfsync::engine::snapshot {

/// The system calls that a snapshot is written by, as open(2) and so on have them: -1 and errno. A test gives others.
class SystemCalls {
 public:
  virtual ~SystemCalls() = default;
  virtual int open(const char* path, int flags, mode_t mode);
  virtual int lock(int file);  ///< flock(2), exclusively and without waiting
  virtual ssize_t write(int file, const void* bytes, std::size_t count);
  virtual int sync(int file);  ///< fsync(2)
  virtual int close(int file);
  virtual int rename(const char* from, const char* to);
  virtual int unlink(const char* path);
};

/// A new snapshot on its way: written beside the old one, as PATH.tmp, and put in its place when it is whole and on the
/// disk, so that at any moment PATH is the old or the new one. What goes wrong on the way leaves the old one alone and
/// takes the new one away; a PATH.tmp that a killed process left is written over.
class NewFile final : public Sink {
 public:
  explicit NewFile(std::string path, SystemCalls& calls);
  ~NewFile() override;
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  [[nodiscard]] bool open();
  [[nodiscard]] bool write(std::span<const std::uint8_t> bytes) override;
  /// To the disk, into place, and its name to the disk too.
  [[nodiscard]] bool commit();
  /// Why the last call said false: one sentence for the operator.
  [[nodiscard]] const std::string& error() const noexcept { return error_; }

 private:
  [[nodiscard]] bool fail(std::string_view doing, const std::string& what);
  [[nodiscard]] bool sync_folder();
  void give_up() noexcept;

  std::string path_, temporary_, error_;
  SystemCalls& calls_;
  int file_ = -1;
  bool is_ours_ = false;  ///< the temporary file
};

/// A snapshot to be read.
class OldFile final : public Source {
 public:
  /// The file, nothing when there is none, or a clause for behind "the snapshot PATH".
  [[nodiscard]] static std::variant<std::unique_ptr<OldFile>, std::monostate, std::string> open(
      const std::string& path);
  ~OldFile() override;
  OldFile(const OldFile&) = delete;
  OldFile& operator=(const OldFile&) = delete;

  [[nodiscard]] std::optional<std::size_t> read(std::span<std::uint8_t> into) override;
  [[nodiscard]] std::string error() const override { return error_; }
  [[nodiscard]] bool rewind() override;

 private:
  explicit OldFile(int file) noexcept : file_{file} {}
  int file_;
  std::string error_;
};

/// Moves a snapshot that was refused out of the way, so that the next one does not take its place: to PATH.refused.
/// False, or whether there was a name to give it.
[[nodiscard]] bool set_aside(const std::string& path);

}  // namespace pfsync::engine::snapshot
