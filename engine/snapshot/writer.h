#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/snapshot/columns.h"
#include "engine/snapshot/format.h"

namespace pfsync::engine::snapshot {

/// Where bytes go.
class Sink {
 public:
  virtual ~Sink() = default;
  /// All of them, or false: why is the sink's to know.
  [[nodiscard]] virtual bool write(std::span<const std::uint8_t> bytes) = 0;
};

/// States → a snapshot's bytes: header, blocks, trailer, each written when it is whole. After a false of the sink
/// nothing more may be asked of it.
class Writer {
 public:
  Writer(const Header& header, Sink& sink);

  [[nodiscard]] bool begin();
  /// Room for the next state; good until the next call of anything.
  [[nodiscard]] KeptState& next() noexcept { return states_[count_]; }
  /// The state in next() is one of the snapshot's. False when a block that was full could not be written.
  [[nodiscard]] bool keep() { return ++count_ < block_states_max || write_block(); }
  /// Nothing waits for the rest of its block.
  [[nodiscard]] bool is_between_blocks() const noexcept { return count_ == 0; }
  [[nodiscard]] bool finish();

  /// Of all that was given to the sink.
  [[nodiscard]] std::uint64_t bytes() const noexcept { return totals_.bytes; }
  [[nodiscard]] std::uint64_t states() const noexcept { return totals_.states + count_; }

 private:
  [[nodiscard]] bool write_block();
  [[nodiscard]] bool write_out();

  Header header_;
  Sink& sink_;
  Totals totals_;
  Hash128 chain_{};
  std::vector<KeptState> states_;
  std::size_t count_ = 0;
  std::vector<std::uint8_t> columns_, out_;
};

}  // namespace pfsync::engine::snapshot
