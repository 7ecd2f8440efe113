// Drives any fuzz target without libFuzzer: the committed corpus first, then mutations of it, half of them by the
// target's own mutator, that depend on the seed alone. usage: NAME CORPUS_DIR ITERATIONS [SEED [ONLY_THIS_ITERATION]]
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "tests/fuzz/mutate.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

// So that a sanitizer's finding reaches on_abort() below. A reserved name: ASan looks it up.
extern "C" const char* __asan_default_options() { return "abort_on_error=1"; }

namespace {

using pfsync::fuzz::Input;
using pfsync::fuzz::Random;

constexpr std::size_t input_bytes_max = 2048;

char what_runs[256] = "nothing yet";

void on_abort(int) {
  const char* parts[] = {"stopped at ", what_runs, "\n"};
  for (const char* part : parts)
    if (write(STDERR_FILENO, part, std::strlen(part)) < 0) break;
  std::signal(SIGABRT, SIG_DFL);
  std::abort();
}

/// Runs an input from a heap copy with no byte to spare, so that reading too far is seen.
void run(const Input& input) {
  const std::unique_ptr<std::uint8_t[]> exact{new std::uint8_t[input.size()]};
  std::copy(input.begin(), input.end(), exact.get());
  LLVMFuzzerTestOneInput(exact.get(), input.size());
}

void flip_bit(Input& input, Random& random) {
  const std::size_t bit = random.below(8 * input.size());
  input[bit / 8] = static_cast<std::uint8_t>(input[bit / 8] ^ (1u << (bit % 8)));
}

/// Lengths and counts are 16 bits wide: the values at their edges are worth more than random ones.
void set_word(Input& input, Random& random) {
  constexpr std::uint16_t edges[] = {0, 1, 2, 3, 19, 20, 24, 40, 242, 255, 256, 0x7fff, 0x8000, 0xfffe, 0xffff};
  if (input.size() < 2) return;
  const std::size_t at = random.below(input.size() - 1);
  const std::uint16_t word =
      random.below(4) == 0 ? static_cast<std::uint16_t>(input.size()) : edges[random.below(std::size(edges))];
  input[at] = static_cast<std::uint8_t>(word >> 8u);
  input[at + 1] = static_cast<std::uint8_t>(word);
}

void insert_bytes(Input& input, Random& random) {
  const auto at = static_cast<std::ptrdiff_t>(random.below(input.size() + 1));
  input.insert(input.begin() + at, 1 + random.below(16), random.byte());
}

void erase_bytes(Input& input, Random& random) {
  const std::size_t at = random.below(input.size());
  const std::size_t count = 1 + random.below(std::min<std::size_t>(16, input.size() - at));
  const auto first = input.begin() + static_cast<std::ptrdiff_t>(at);
  input.erase(first, first + static_cast<std::ptrdiff_t>(count));
}

void splice(Input& input, const Input& other, Random& random) {
  input.resize(random.below(input.size() + 1));
  const auto from = other.begin() + static_cast<std::ptrdiff_t>(random.below(other.size() + 1));
  input.insert(input.end(), from, other.end());
}

Input random_bytes(Random& random) {
  Input input(random.below(400));
  for (std::uint8_t& byte : input) byte = random.byte();
  return input;
}

/// One step of what any fuzzer does.
void step(Input& input, Random& random) {
  switch (random.below(7)) {
    case 0:
    case 1: flip_bit(input, random); break;
    case 2: input[random.below(input.size())] = random.byte(); break;
    case 3: set_word(input, random); break;
    case 4: input.resize(random.below(input.size())); break;
    case 5: insert_bytes(input, random); break;
    default: erase_bytes(input, random); break;
  }
}

/// For LLVMFuzzerMutate, which is handed none.
Random* now_random = nullptr;

Input mutate(const std::vector<Input>& corpus, Random& random) {
  if (random.below(16) == 0) return random_bytes(random);
  Input input = corpus[random.below(corpus.size())];
  if (random.below(2) == 0) {
    now_random = &random;
    const std::size_t size = std::min(input.size(), input_bytes_max);
    input.resize(input_bytes_max);
    input.resize(LLVMFuzzerCustomMutator(input.data(), size, input.size(), static_cast<unsigned>(random.next())));
    return input;
  }
  for (std::size_t steps = 1 + random.below(4); steps > 0 && !input.empty(); --steps) {
    if (random.below(8) == 0)
      splice(input, corpus[random.below(corpus.size())], random);
    else
      step(input, random);
  }
  if (input.size() > input_bytes_max) input.resize(input_bytes_max);
  return input;
}

std::vector<Input> replay_corpus(const char* directory) {
  std::vector<std::filesystem::path> paths;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator{directory, error}) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());  // the file system's order differs between machines
  std::vector<Input> corpus;
  for (const auto& path : paths) {
    std::ifstream file{path, std::ios::binary};
    corpus.emplace_back(std::istreambuf_iterator<char>{file}, std::istreambuf_iterator<char>{});
    std::snprintf(what_runs, sizeof what_runs, "corpus file %s", path.filename().c_str());
    run(corpus.back());
  }
  return corpus;
}

}  // namespace

std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size) {
  Input input{data, data + size};
  if (input.empty())
    input = random_bytes(*now_random);
  else
    step(input, *now_random);
  const std::size_t bytes = std::min(input.size(), max_size);
  std::copy_n(input.begin(), bytes, data);
  return bytes;
}

int main(int argc, char** argv) {
  if (argc < 3 || argc > 5) {
    std::fprintf(stderr, "usage: %s CORPUS_DIR ITERATIONS [SEED [ONLY_THIS_ITERATION]]\n", argv[0]);
    return 2;
  }
  std::signal(SIGABRT, on_abort);
  const std::uint64_t iterations = std::strtoull(argv[2], nullptr, 10);
  const std::uint64_t seed = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1;
  const auto started = std::chrono::steady_clock::now();
  const std::vector<Input> corpus = replay_corpus(argv[1]);
  if (corpus.empty()) {
    std::fprintf(stderr, "%s holds no input: name the directory of this target's corpus\n", argv[1]);
    return 2;
  }
  const bool is_single = argc > 4;
  const std::uint64_t first = is_single ? std::strtoull(argv[4], nullptr, 10) : 0;
  const std::uint64_t end = is_single ? first + 1 : iterations;
  for (std::uint64_t i = first; i < end; ++i) {
    std::snprintf(what_runs, sizeof what_runs, "seed %llu, iteration %llu", static_cast<unsigned long long>(seed),
                  static_cast<unsigned long long>(i));
    Random random{Random{seed}.next() ^ i};
    run(mutate(corpus, random));
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
  std::printf("%zu corpus files and %llu mutations in %.1f s, no finding\n", corpus.size(),
              static_cast<unsigned long long>(end - first), took.count());
  return 0;
}
