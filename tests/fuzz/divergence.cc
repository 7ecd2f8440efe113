// What another node says during a comparison of tables: refused with a sentence, or read; and whatever it asks is
// answered within bounds, by an answer that reads as one.
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/divergence/answerer.h"
#include "engine/divergence/comparison.h"
#include "engine/session/session.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/mutate.h"

namespace pfsync::fuzz {
namespace {

using namespace engine::divergence;
using namespace std::chrono_literals;

constexpr std::size_t answer_bytes_max = std::size_t{2} * 1024 * 1024;

struct Node {
  Node() {
    engine::SessionConfig config;
    config.creatorid = 0x11111111;
    config.request_bulk = false;
    session.emplace(config, *table);
    for (std::uint64_t id = 1; id <= 64; ++id) {
      wire::State state;
      state.id = {id, 0x22222222};
      state.af = wire::Family::inet;
      state.proto = wire::ipproto::tcp;
      state.expire_s = 1000;
      engine::Repair repair{.state = state};
      session->repair(repair, 0, now);
    }
  }
  Ground ground() {
    return {.carry_out = [this](const wire::Address&, std::span<engine::Repair> repairs) {
      for (engine::Repair& repair : repairs) session->repair(repair, 0, now);
      return std::string{};
    }};
  }
  engine::Instant now = engine::Instant{} + 1000s;
  std::unique_ptr<statetable::Table> table =
      std::move(std::get<0>(statetable::Table::create({.states_max = 256, .shard_bits = 0, .hash_seed = 3})));
  std::optional<engine::Session> session;
};

/// One for all inputs: a table is slow to make.
Node& node() {
  static Node one;
  return one;
}

void check_request(std::string_view input) {
  Node& asked = node();
  Answerer answerer{{}, asked.table->reader(), asked.ground()};
  static_cast<void>(answerer.answer(encode(Request{Begin{0, 8}}), asked.now, 1000));
  const std::string answer = answerer.answer(input, asked.now, 1000);
  check(answer.size() <= answer_bytes_max, "an answer is bounded");
  const auto read = decode_answer(answer);
  check(std::holds_alternative<Answer>(read), "what is answered can be read");
  const auto request = decode_request(input);
  if (const auto* value = std::get_if<Request>(&request))
    check(encode(*value) == input, "a request has one form");
  else
    check(!std::get<std::string>(request).empty(), "a refusal has a sentence");
}

void check_answer(std::string_view input) {
  const auto read = decode_answer(input);
  if (const auto* why = std::get_if<std::string>(&read)) check(!why->empty(), "a refusal has a sentence");
  Node& asking = node();
  // The same answer to whatever it asks, until it has enough.
  Comparison comparison{{.facts = {}, .seed = 0, .mend = true}, *asking.table, asking.ground(), asking.now};
  engine::Instant now = asking.now;
  unsigned steps = 0;
  for (; !comparison.is_done(); ++steps) {
    check(steps < 100, "a comparison comes to its end");
    if (comparison.request(now, 1000))
      comparison.answered(input, now, 1000);
    else
      now = comparison.due();
  }
}

/// Behind the magic word and the version, what counts are numbers of four bytes, or two of them.
void mutate_message(Input& input, Random& random) {
  constexpr std::size_t head = 6, number = 4;
  if (input.size() <= head) return mutate_bytes(input);
  std::vector<Input> numbers;
  for (std::size_t at = head; at < input.size(); at += number)
    numbers.emplace_back(input.begin() + static_cast<std::ptrdiff_t>(at),
                         input.begin() + static_cast<std::ptrdiff_t>(std::min(at + number, input.size())));
  mutate_pieces(numbers, random);
  input.resize(head);
  if (random.one_in(8)) input[head - 1] = static_cast<std::uint8_t>(random.below(16));  // the kind
  const Input rest = joined(numbers);
  input.insert(input.end(), rest.begin(), rest.end());
}

}  // namespace
}  // namespace pfsync::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input{reinterpret_cast<const char*>(data), size};
  pfsync::fuzz::check_request(input);
  pfsync::fuzz::check_answer(input);
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  using namespace pfsync;
  return fuzz::mutated(data, size, max_size, seed, fuzz::mutate_message);
}
