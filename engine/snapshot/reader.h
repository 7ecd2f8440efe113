#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/snapshot/columns.h"
#include "engine/snapshot/format.h"

namespace pfsync::engine::snapshot {

/// Where bytes come from.
class Source {
 public:
  virtual ~Source() = default;
  /// As many bytes as there are up to the size of `into`: fewer only at the end. nullopt: they cannot be read, and
  /// error() says why.
  [[nodiscard]] virtual std::optional<std::size_t> read(std::span<std::uint8_t> into) = 0;
  [[nodiscard]] virtual std::string error() const = 0;
  /// To the first byte again; false as above.
  [[nodiscard]] virtual bool rewind() = 0;
};

/// What is said of a file that never was a snapshot, and so may be somebody's.
inline constexpr std::string_view foreign = "is no snapshot of pfsyncd";

/// A snapshot's bytes → states. Every byte is hostile: sizes are bounded before memory is taken or anything is
/// unpacked, a block is believed only with its hash, the whole only with its trailer. Memory: one block.
class Reader {
 public:
  explicit Reader(Source& source);

  /// Reads the front. Nullopt, or why this is no snapshot that can be read: a clause for behind "the snapshot FILE".
  [[nodiscard]] std::optional<std::string> begin();
  [[nodiscard]] const Header& header() const noexcept { return header_; }

  /// The states of the next block; empty at the end that the trailer confirms. Good until the next call. Or a clause,
  /// as above; then nothing more may be asked.
  [[nodiscard]] std::variant<std::span<const KeptState>, std::string> next();
  [[nodiscard]] const Totals& totals() const noexcept { return totals_; }

 private:
  [[nodiscard]] std::optional<std::string> fill(std::size_t bytes);
  [[nodiscard]] std::variant<std::span<const KeptState>, std::string> read_block();
  [[nodiscard]] std::optional<std::string> read_trailer();

  Source& source_;
  Header header_;
  Totals totals_;
  Hash128 chain_{};
  std::vector<std::uint8_t> in_, columns_;
  std::vector<KeptState> states_;
};

/// Reads all of a snapshot, and gives what its trailer confirms; or a clause, as Reader does. Leaves the source at its
/// end.
[[nodiscard]] std::variant<Totals, std::string> check(Source& source);

}  // namespace pfsync::engine::snapshot
