#include "engine/snapshot/writer.h"

#include <lz4.h>

namespace pfsync::engine::snapshot {

Writer::Writer(const Header& header, Sink& sink) : header_{header}, sink_{sink}, states_(block_states_max) {
  columns_.reserve(columns_bytes_max(block_states_max));
}

bool Writer::write_out() {
  totals_.bytes += out_.size();
  return sink_.write(out_);
}

bool Writer::begin() {
  out_.assign(magic.begin(), magic.end());
  Put put{out_};
  put.number(format_version).number(static_cast<std::uint32_t>(header_bytes));
  put.number(header_.written_at_s).number(header_.states).number(header_.states_max).number(header_.creatorid);
  put.number(std::uint32_t{0});
  chain_ = statetable::content_hash(out_.data(), out_.size());
  put.hash(chain_);
  return write_out();
}

bool Writer::write_block() {
  if (count_ == 0) return true;
  columns_.clear();
  write_columns(std::span{states_}.first(count_), columns_);
  const int most = LZ4_compressBound(static_cast<int>(columns_.size()));
  out_.resize(block_head_bytes + static_cast<std::size_t>(most));
  const int stored = LZ4_compress_default(reinterpret_cast<const char*>(columns_.data()),
                                          reinterpret_cast<char*>(out_.data() + block_head_bytes),
                                          static_cast<int>(columns_.size()), most);
  std::vector<std::uint8_t> head;
  Put{head}
      .number(block_mark)
      .number(static_cast<std::uint32_t>(count_))
      .number(static_cast<std::uint32_t>(columns_.size()))
      .number(static_cast<std::uint32_t>(stored));
  std::copy(head.begin(), head.end(), out_.begin());
  out_.resize(block_head_bytes + static_cast<std::size_t>(stored));
  const Hash128 hash = statetable::content_hash(out_.data(), out_.size());
  Put{out_}.hash(hash);
  chain_ = chained(chain_, hash);
  totals_.states += count_;
  ++totals_.blocks;
  count_ = 0;
  return write_out();
}

bool Writer::finish() {
  if (!write_block()) return false;
  out_.clear();
  Put put{out_};
  put.number(trailer_mark).number(std::uint32_t{0});
  put.number(totals_.states).number(totals_.blocks).number(totals_.bytes).hash(chain_);
  put.hash(statetable::content_hash(out_.data(), out_.size()));
  return write_out();
}

}  // namespace pfsync::engine::snapshot
