#include "engine/snapshot/reader.h"

#include <fmt/format.h>
#include <lz4.h>

#include <algorithm>

namespace pfsync::engine::snapshot {
namespace {

constexpr const char* cut_short = "ends too early: it is cut short";

}  // namespace

Reader::Reader(Source& source) : source_{source}, states_(block_states_max) {
  in_.reserve(block_head_bytes + static_cast<std::size_t>(LZ4_COMPRESSBOUND(columns_bytes_max(block_states_max))) +
              hash_bytes);
  columns_.reserve(columns_bytes_max(block_states_max));
}

/// Appends so many bytes to in_.
std::optional<std::string> Reader::fill(std::size_t bytes) {
  const std::size_t at = in_.size();
  in_.resize(at + bytes);
  const auto read = source_.read(std::span{in_}.subspan(at));
  if (!read) return "cannot be read: " + source_.error();
  in_.resize(at + *read);
  if (*read < bytes) return cut_short;
  return std::nullopt;
}

std::optional<std::string> Reader::begin() {
  in_.clear();
  if (auto why = fill(magic.size())) {
    const bool may_be_ours = std::equal(in_.begin(), in_.end(), magic.begin());
    return may_be_ours ? why : std::optional<std::string>{foreign};
  }
  if (!std::equal(magic.begin(), magic.end(), in_.begin())) return std::string{foreign};
  if (auto why = fill(8)) return why;
  Take version{std::span{in_}.subspan(magic.size())};
  if (const auto number = version.number<std::uint32_t>(); number != format_version)
    return fmt::format("has format version {}, and this pfsyncd reads version {}", number, format_version);
  if (version.number<std::uint32_t>() != header_bytes) return "is damaged: the size of its header is another";
  if (auto why = fill(header_bytes - in_.size())) return why;
  const std::size_t hashed = header_bytes - hash_bytes;
  chain_ = statetable::content_hash(in_.data(), hashed);
  if (!is_same(Take{std::span{in_}.subspan(hashed)}.hash(), chain_))
    return "is damaged: the hash of its header is another";
  Take take{std::span{in_}.subspan(magic.size() + 8)};
  header_.written_at_s = take.number<std::int64_t>();
  header_.states = take.number<std::uint64_t>();
  header_.states_max = take.number<std::uint64_t>();
  header_.creatorid = take.number<std::uint32_t>();
  totals_ = {.bytes = header_bytes};
  return std::nullopt;
}

std::variant<std::span<const KeptState>, std::string> Reader::next() {
  in_.clear();
  if (auto why = fill(mark_bytes)) return *why;
  switch (Take{in_}.number<std::uint32_t>()) {
    case block_mark: return read_block();
    case trailer_mark:
      if (auto why = read_trailer()) return *why;
      return std::span<const KeptState>{};
    default: return fmt::format("is damaged: neither a block nor the end is at byte {}", totals_.bytes);
  }
}

std::variant<std::span<const KeptState>, std::string> Reader::read_block() {
  const auto damaged = [this](std::string_view why) {
    return fmt::format("is damaged in the block at byte {}: {}", totals_.bytes, why);
  };
  if (auto why = fill(block_head_bytes - mark_bytes)) return *why;
  Take take{std::span{in_}.subspan(mark_bytes)};
  const std::size_t states = take.number<std::uint32_t>();
  const std::size_t bytes = take.number<std::uint32_t>();
  const std::size_t stored = take.number<std::uint32_t>();
  if (states == 0 || states > block_states_max) return damaged("its number of states is out of range");
  if (bytes > columns_bytes_max(states) || stored > static_cast<std::size_t>(LZ4_COMPRESSBOUND(bytes)))
    return damaged("its size is out of range");
  if (auto why = fill(stored + hash_bytes)) return *why;
  const std::size_t hashed = block_head_bytes + stored;
  const Hash128 hash = statetable::content_hash(in_.data(), hashed);
  if (!is_same(Take{std::span{in_}.subspan(hashed)}.hash(), hash)) return damaged("its hash is another");
  columns_.resize(bytes);
  const int unpacked =
      LZ4_decompress_safe(reinterpret_cast<const char*>(in_.data() + block_head_bytes),
                          reinterpret_cast<char*>(columns_.data()), static_cast<int>(stored), static_cast<int>(bytes));
  if (unpacked < 0 || static_cast<std::size_t>(unpacked) != bytes) return damaged("it does not unpack to its size");
  const auto read = std::span{states_}.first(states);
  if (const auto why = read_columns(columns_, read)) return damaged(*why);
  chain_ = chained(chain_, hash);
  totals_.states += states;
  ++totals_.blocks;
  totals_.bytes += in_.size();
  return std::span<const KeptState>{read};
}

std::optional<std::string> Reader::read_trailer() {
  if (auto why = fill(trailer_bytes - mark_bytes)) return why;
  const std::size_t hashed = trailer_bytes - hash_bytes;
  if (!is_same(Take{std::span{in_}.subspan(hashed)}.hash(), statetable::content_hash(in_.data(), hashed)))
    return "is damaged: the hash of its end is another";
  Take take{std::span{in_}.subspan(mark_bytes + 4)};
  Totals told;
  told.states = take.number<std::uint64_t>();
  told.blocks = take.number<std::uint64_t>();
  told.bytes = take.number<std::uint64_t>();
  if (told != totals_ || !is_same(take.hash(), chain_))
    return "is damaged: its end tells of other blocks than it holds";
  in_.resize(1);
  const auto more = source_.read(in_);
  if (!more) return "cannot be read: " + source_.error();
  if (*more > 0) return "is damaged: it goes on behind its end";
  return std::nullopt;
}

std::variant<Totals, std::string> check(Source& source) {
  Reader reader{source};
  if (auto why = reader.begin()) return *why;
  while (true) {
    const auto block = reader.next();
    if (const auto* why = std::get_if<std::string>(&block)) return *why;
    if (std::get<std::span<const KeptState>>(block).empty()) return reader.totals();
  }
}

}  // namespace pfsync::engine::snapshot
