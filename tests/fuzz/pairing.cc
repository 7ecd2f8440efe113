// Two nodes that learn each other's key, with somebody in between who has a key of his own: a script of honest
// messages, of his, of bytes as they came, of time and of two operators who confirm only what both consoles show.
// Whoever is believed then is the other node, whatever was said.
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "engine/config_sync/pairing.h"
#include "engine/config_sync/sections.h"
#include "engine/http/words.h"
#include "engine/xmlrpc/codec.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/mutate.h"
#include "tests/fuzz/script.h"

namespace pfsync::fuzz {
namespace {

using namespace engine::config_sync;
using engine::xmlrpc::Call;
using engine::xmlrpc::Fault;
using engine::xmlrpc::Value;
using State = Pairing::State;

KeyHash filled(std::uint8_t byte) {
  KeyHash hash{};
  hash.fill(byte);
  return hash;
}
const KeyHash key_a = filled(0xa), key_b = filled(0xb), key_m = filled(0xee);

/// What he in between may say: his own number or its commitment, what he heard, or the script's bytes.
class Between {
 public:
  void hear(const Value& params) {
    for (const char* name : {"commitment", "random"})
      if (const Value* found = params.find(name); found != nullptr && found->get<std::string>() != nullptr)
        heard_ = *found->get<std::string>();
  }
  [[nodiscard]] Value say(Script& script) const {
    const std::uint8_t shape = script.byte();
    const std::string random(64, "0123456789abcdef"[shape >> 4u]), text{script.text()};
    const std::string values[] = {random, sha256_hex("pfsyncd pair: commitment " + random), heard_, text};
    constexpr const char* names[] = {"commitment", "random", "shown", "other"};
    return Value{Value::Struct{{names[shape % 4], values[(shape >> 2u) % 4]}}};
  }

 private:
  std::string heard_;
};

class Run {
 public:
  Run() {
    open(a_, key_a);
    open(b_, key_b);
  }

  void step(Script& script) {
    switch (script.byte() % 9) {
      case 0: pass_on(a_.commit_call(), false, script.byte()); break;
      case 1: pass_on(a_.reveal_call(), true, script.byte()); break;
      case 2: told_to_b({"hasync.pair", {between_.say(script)}}, key_m); break;
      case 3: told_to_a(between_.say(script), false, key_m); break;
      case 4: told_to_a(between_.say(script), true, key_m); break;
      case 5: operators(script.byte()); break;
      case 6: pass(std::chrono::seconds{script.byte()}); break;
      case 7: script.byte() % 2 == 0 ? open(a_, key_a) : open(b_, key_b); break;
      default: {
        const auto decoded = engine::xmlrpc::decode_call(script.text(), {.bytes = 4096, .depth = 16, .values = 64});
        if (const auto* call = std::get_if<Call>(&decoded)) told_to_b(*call, key_m);
        break;
      }
    }
    for (const Pairing* each : {&a_, &b_}) check_one(*each);
  }

 private:
  void open(Pairing& pairing, const KeyHash& key) { pairing.open(key, filled(++numbers_), now_); }

  /// From A to B, and the answer back: by the one in between when his bits are set, who has his key only.
  void pass_on(const Call& call, bool reveals, std::uint8_t shape) {
    between_.hear(call.params.front());
    const auto answer = b_.asked(call, (shape & 1u) != 0 ? key_m : key_a);
    const auto* value = std::get_if<Value>(&answer);
    if (value == nullptr) return check_fault(std::get<Fault>(answer));
    between_.hear(*value);
    told_to_a(*value, reveals, (shape & 2u) != 0 ? key_m : key_b);
  }
  void told_to_a(const Value& answer, bool reveals, const KeyHash& key) {
    const std::string why = reveals ? a_.revealed(answer, key) : a_.committed(answer, key);
    check(why.empty() || is_one_line(why), "what went wrong is told in one line");
  }
  void told_to_b(const Call& call, const KeyHash& key) {
    const auto answer = b_.asked(call, key);
    if (const auto* fault = std::get_if<Fault>(&answer)) return check_fault(*fault);
    between_.hear(std::get<Value>(answer));
  }
  static void check_fault(const Fault& fault) {
    check(fault.code > 0 && is_one_line(fault.text), "a refusal has a number and a line");
  }

  /// They read to each other what their consoles show.
  void operators(std::uint8_t shape) {
    const State before = a_.state();
    check(!a_.confirm("000 000 00") && a_.state() == before, "another code changes nothing");
    if (a_.state() != State::shown || b_.state() != State::shown || a_.code() != b_.code()) return;
    if ((shape & 1u) == 0) {
      const auto key = a_.confirm(b_.code());
      check(key.has_value() && *key == key_b, "who is trusted is the other node");
    } else {
      const auto key = b_.confirm(a_.code());
      check(key.has_value() && *key == key_a, "who is trusted is the node that asked");
    }
  }

  void pass(std::chrono::seconds time) {
    now_ += time;
    a_.tick(now_);
    b_.tick(now_);
  }

  static void check_one(const Pairing& pairing) {
    const bool shows = pairing.state() == State::shown || pairing.state() == State::paired;
    check(shows != pairing.code().empty(), "there is a code when one is shown");
    check(pairing.code().empty() || pairing.code().size() == 11, "a code has nine digits");
    check((pairing.state() == State::failed) != pairing.why().empty(), "who failed says why");
    check(pairing.is_open() == (pairing.state() == State::open), "open is open");
  }

  Pairing a_, b_;
  Between between_;
  Instant now_ = Instant{} + std::chrono::hours{1};
  std::uint8_t numbers_ = 0x20;
};

constexpr EventForm forms[] = {{1, 0}, {1, 0}, {1, 1}, {1, 1}, {1, 1}, {1, 0}, {1, 0}, {1, 0}, {0, 1}};

}  // namespace
}  // namespace pfsync::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  pfsync::fuzz::Script script{data, size};
  pfsync::fuzz::Run run;
  for (unsigned steps = 0; script.more() && steps < 200; ++steps) run.step(script);
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  using namespace pfsync;
  return fuzz::mutated(data, size, max_size, seed, [](fuzz::Input& input, fuzz::Random& random) {
    fuzz::mutate_script(
        input, random, fuzz::forms,
        {"<methodCall><methodName>hasync.pair</methodName></methodCall>",
         "<methodCall><methodName>hasync.pair</methodName><params><param><value><struct><member>"
         "<name>commitment</name><value>0</value></member></struct></value></param></params></methodCall>"});
  });
}
