#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "engine/snapshot/reader.h"
#include "engine/snapshot/writer.h"

namespace pfsync::engine::snapshot {

using Bytes = std::vector<std::uint8_t>;

/// A file in memory.
class MemorySink final : public Sink {
 public:
  bool write(std::span<const std::uint8_t> more) override {
    bytes.insert(bytes.end(), more.begin(), more.end());
    return true;
  }
  Bytes bytes;
};

class MemorySource final : public Source {
 public:
  explicit MemorySource(std::span<const std::uint8_t> bytes) : bytes_{bytes} {}
  std::optional<std::size_t> read(std::span<std::uint8_t> into) override {
    const std::size_t count = std::min(into.size(), bytes_.size() - at_);
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(at_), count, into.begin());
    at_ += count;
    return count;
  }
  [[nodiscard]] std::string error() const override { return "memory does not fail"; }
  bool rewind() override {
    at_ = 0;
    return true;
  }

 private:
  std::span<const std::uint8_t> bytes_;
  std::size_t at_ = 0;
};

inline Bytes written(std::span<const KeptState> states, const Header& header = {.written_at_s = 1'700'000'000}) {
  MemorySink sink;
  Writer writer{header, sink};
  bool good = writer.begin();
  for (const KeptState& state : states) {
    writer.next() = state;
    good = good && writer.keep();
  }
  good = good && writer.finish();
  return good ? sink.bytes : Bytes{};
}

/// Why the bytes are no snapshot; empty: they are one.
inline std::string refusal(std::span<const std::uint8_t> bytes) {
  MemorySource source{bytes};
  const auto checked = check(source);
  const auto* why = std::get_if<std::string>(&checked);
  return why == nullptr ? "" : *why;
}

}  // namespace pfsync::engine::snapshot
