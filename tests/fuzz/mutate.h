#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <string_view>
#include <utility>
#include <vector>

/// libFuzzer's own mutations of some bytes, in place; the new size. Without libFuzzer: replay_main.cc has some.
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);
/// Each target has one: changes an input as what it is, so that the change gets past the first look at it.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed);

namespace pfsync::fuzz {

using Input = std::vector<std::uint8_t>;

/// splitmix64: small, and each iteration can have its own stream. Source: Steele, Lea and Flood,
/// "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_{seed} {}
  std::uint64_t next() {
    state_ += 0x9e3779b97f4a7c15u;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30u)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27u)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31u);
  }
  std::size_t below(std::size_t bound) { return static_cast<std::size_t>(next() % bound); }
  std::uint8_t byte() { return static_cast<std::uint8_t>(next()); }
  bool one_in(std::size_t count) { return below(count) == 0; }

 private:
  std::uint64_t state_;
};

/// The fuzzer's own mutations, of a piece or of all.
inline void mutate_bytes(Input& bytes) {
  const std::size_t size = bytes.size();
  bytes.resize(size + 64);
  bytes.resize(LLVMFuzzerMutate(bytes.data(), size, bytes.size()));
}

/// Whole pieces: one twice, one gone, two in the other order, one changed inside.
inline void mutate_pieces(std::vector<Input>& pieces, Random& random) {
  if (pieces.empty()) return;
  const auto any = [&] { return pieces.begin() + static_cast<std::ptrdiff_t>(random.below(pieces.size())); };
  switch (random.below(6)) {
    case 0: {
      Input copy = *any();
      pieces.insert(any(), std::move(copy));
      break;
    }
    case 1: pieces.erase(any()); break;
    case 2: std::swap(*any(), *any()); break;
    case 3: {  // some in a row
      const auto from = any();
      const auto count =
          std::min<std::ptrdiff_t>(pieces.end() - from, 1 + static_cast<std::ptrdiff_t>(random.below(8)));
      std::vector<Input> row{from, from + count};
      pieces.insert(any(), row.begin(), row.end());
      break;
    }
    default: mutate_bytes(*any()); break;
  }
}

/// The events of a script, one a piece: a byte of set-up, then events of as many bytes as `bytes_at(input, at)` says,
/// which begin with their kind.
template <class F>
std::vector<Input> events_of(const Input& input, F&& bytes_at) {
  std::vector<Input> events;
  for (std::size_t at = 0; at < input.size();) {
    const std::size_t bytes = std::min(at == 0 ? 1 : bytes_at(input, at), input.size() - at);
    const auto from = input.begin() + static_cast<std::ptrdiff_t>(at);
    events.emplace_back(from, from + static_cast<std::ptrdiff_t>(bytes));
    at += bytes;
  }
  return events;
}

inline Input joined(const std::vector<Input>& pieces) {
  Input all;
  for (const Input& piece : pieces) all.insert(all.end(), piece.begin(), piece.end());
  return all;
}

/// A text's pieces: each goes up to one of `ends`, and with it.
inline std::vector<Input> split_text(const Input& text, std::string_view ends) {
  std::vector<Input> pieces(1);
  for (const std::uint8_t byte : text) {
    pieces.back().push_back(byte);
    if (ends.find(static_cast<char>(byte)) != std::string_view::npos) pieces.emplace_back();
  }
  if (pieces.back().empty()) pieces.pop_back();
  return pieces;
}

/// Pieces of a text as wholes, and words that the reader knows.
inline void mutate_text(Input& text, Random& random, std::string_view ends,
                        std::initializer_list<std::string_view> words) {
  std::vector<Input> pieces = split_text(text, ends);
  if (random.one_in(3)) {
    const std::string_view word = words.begin()[random.below(words.size())];
    const auto at = pieces.begin() + static_cast<std::ptrdiff_t>(random.below(pieces.size() + 1));
    if (at != pieces.end() && random.one_in(2))
      at->assign(word.begin(), word.end());
    else
      pieces.emplace(at, word.begin(), word.end());
  } else {
    mutate_pieces(pieces, random);
  }
  text = joined(pieces);
}

/// What a target's mutator does: mostly `change(input, random)`, else what any fuzzer does.
template <class Change>
std::size_t mutated(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed, Change&& change) {
  Random random{seed};
  if (random.one_in(3)) return LLVMFuzzerMutate(data, size, max_size);
  Input input{data, data + size};
  for (std::size_t times = 1 + random.below(3); times > 0; --times) change(input, random);
  const std::size_t bytes = std::min(input.size(), max_size);
  std::copy_n(input.begin(), bytes, data);
  return bytes;
}

/// The same of a target whose inputs are pieces in a row: `split(input)` has them, `join(pieces)` makes an input of
/// them.
template <class Split, class Join>
std::size_t mutated_pieces(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed, Split&& split,
                           Join&& join) {
  return mutated(data, size, max_size, seed, [&](Input& input, Random& random) {
    std::vector<Input> pieces = split(input);
    mutate_pieces(pieces, random);
    input = join(pieces);
  });
}
template <class Split>
std::size_t mutated_pieces(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed, Split&& split) {
  return mutated_pieces(data, size, max_size, seed, split, joined);
}

}  // namespace pfsync::fuzz
