// What another node answers to a primary that pushes, as a script on a live sender: sound answers, nearly sound ones,
// documents as they came, faults, none at all, time. It always knows when to try again, pushes to nobody but a
// secondary, commits nothing that is not in force here, and what it tells of the other node's words is bounded.
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "engine/config_sync/sender.h"
#include "engine/xmlrpc/codec.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/mutate.h"
#include "tests/fuzz/script.h"

namespace pfsync::fuzz {
namespace {

using namespace engine::config_sync;
using engine::xmlrpc::Fault;
using engine::xmlrpc::Value;
using Step = Sender::Step;
using std::chrono::seconds;

const std::string own_id(32, 'b');

class Run {
 public:
  explicit Run(std::uint8_t options) : sender_{own_id, "pfsyncd", options % 16u} { offer(options); }

  void step(Script& script) {
    const std::uint64_t pushes = sender_.pushes(), failures = sender_.failures();
    switch (script.byte() % 8) {
      case 0: answer_soundly(script); break;
      case 1:
        answer(engine::xmlrpc::decode_response(script.text(), {.bytes = 4096, .depth = 16, .values = 256}));
        break;
      case 2: done(Fault{script.byte(), std::string{script.text()}}); break;
      case 3: done(Sender::Lost{"no answer"}); break;
      case 4: now_ += std::chrono::milliseconds{250 * script.byte()}; break;
      case 5: sender_.link_up(now_); break;
      case 6: offer(script.byte()); break;
      default: apply(script.byte() % 4 != 3); break;
    }
    check(sender_.pushes() >= pushes && sender_.failures() >= failures, "counters go up");
    check_all();
  }

 private:
  void offer(std::uint8_t shape) {
    Revision revision{.origin = own_id, .epoch = shape % 3u + 1u, .generation = shape / 8u};
    revision.sections = {{"carp", "[]"}, {"node", "{}"}, {"peer", "[]"}, {"sync", "{}"}, {"timeouts", "{}"}};
    sender_.offer(std::move(revision), (shape & 4u) != 0, now_);
  }

  void answer(const engine::xmlrpc::ResponseResult& result) {
    if (const auto* value = std::get_if<Value>(&result)) return done(*value);
    if (const auto* fault = std::get_if<Fault>(&result)) return done(*fault);
    const std::string& why = std::get<engine::xmlrpc::Broken>(result).sentence;
    check(is_one_line(why), "what cannot be read is told in one line");
    done(Sender::Lost{why});
  }

  /// The members that the step reads, each of them right, near or whatever the script says.
  void answer_soundly(Script& script) {
    const std::uint8_t one = script.byte(), two = script.byte();
    const std::string text{script.text()};
    const Step step = sender_.step(now_);
    Value::Struct told;
    switch (step) {
      case Step::hello: {
        const std::string roles[] = {"secondary", "primary", "off", text};
        const std::string ids[] = {std::string(32, 'a'), std::string(32, 'c'), own_id, text};
        const auto& offered = sender_.offered();
        told = {{"node_id", ids[one % 4]},
                {"cluster_id", (one & 4u) != 0 ? text : "pfsyncd"},
                {"role", roles[(one >> 4u) % 4]},
                {"epoch", std::to_string(two % 4)},
                {"generation", (two & 4u) != 0 && offered ? std::to_string(offered->generation) : "1"},
                {"digest", (two & 8u) != 0 && offered ? offered->digest() : text},
                {"unconfirmed", (two & 16u) != 0 ? "txn-0" : ""}};
        break;
      }
      case Step::stage:
        told = {{"txn", one % 4 == 3 ? "" : "txn-1"}, {"already", one % 8 > 5}};
        told.push_back({"warnings", Value{Value::Array(two % 4 == 3 ? 1000 : two % 4, Value{text})}});
        told.push_back({"diff", Value{Value::Struct{{text, Value{text}}}}});
        break;
      case Step::commit: told = {{"state", one % 4 == 0 ? "applied" : one % 4 == 1 ? text : "pending_confirm"}}; break;
      default: told = {{"state", "confirmed"}}; break;
    }
    answer(engine::xmlrpc::decode_response(engine::xmlrpc::encode_response(Value{std::move(told)})));
  }

  void done(const Sender::Result& result) {
    const Step step = sender_.step(now_);
    if (step == Step::none || step == Step::apply) return;
    check(sender_.offered().has_value(), "what is pushed was offered");
    if (step == Step::commit || step == Step::confirm)
      check(sender_.is_applied(), "the other node is told to apply what is in force here");
    if (step == Step::stage) check(sender_.peer_is_secondary(), "only a secondary is pushed to");
    const auto call = sender_.call(step, Value{Value::Struct{{"node_id", own_id}}});
    const auto again = engine::xmlrpc::decode_call(engine::xmlrpc::encode_call(call.method, call.params));
    check(std::holds_alternative<engine::xmlrpc::Call>(again), "a call is written and can be read");
    sender_.done(step, result, now_);
  }

  void apply(bool well) {
    if (sender_.step(now_) != Step::apply) return;
    check(!sender_.is_applied(), "nothing is applied twice");
    sender_.applied(well, now_);
  }

  void check_all() {
    if (sender_.step(now_) == Step::none && sender_.offered())
      check(sender_.deadline() > now_ && sender_.deadline() <= now_ + Sender::retry_max,
            "there is a next try, and soon");
    if (sender_.is_in_sync())
      check(sender_.error().empty() && sender_.offered().has_value(), "in step is without error");
    const auto is_bounded = [](const std::string& text) {
      return text.size() <= sentence_bytes_max && (text.empty() || is_one_line(text));
    };
    check(is_bounded(sender_.error()) && is_bounded(sender_.peer_digest()) && is_bounded(sender_.peer_id()),
          "what the other node says is kept in one bounded line");
    check(sender_.warnings().size() <= Sender::told_max && sender_.changes().size() <= Sender::told_max,
          "its warnings are bounded in number");
    for (const std::string& each : sender_.warnings()) check(is_bounded(each), "and each in length");
    for (const std::string& each : sender_.changes())
      check(is_one_line(each) && each.size() <= Sender::change_bytes_max, "and so are its changes");
  }

  Sender sender_;
  Instant now_ = Instant{} + std::chrono::hours{1};
};

constexpr EventForm forms[] = {{2, 1}, {0, 1}, {1, 1}, {0, 0}, {1, 0}, {0, 0}, {1, 0}, {1, 0}};

}  // namespace
}  // namespace pfsync::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  pfsync::fuzz::Script script{data, size};
  pfsync::fuzz::Run run{script.byte()};
  for (unsigned steps = 0; script.more() && steps < 200; ++steps) run.step(script);
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  using namespace pfsync;
  return fuzz::mutated(data, size, max_size, seed, [](fuzz::Input& input, fuzz::Random& random) {
    fuzz::mutate_script(
        input, random, fuzz::forms,
        {"secondary", "a\nb", "", "pfsyncd", "18446744073709551615", "-1", "\x1b[2J",
         "<methodResponse><params><param><value><struct><member><name>node_id</name><value>1</value>"
         "</member></struct></value></param></params></methodResponse>",
         "<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>1</int></value>"
         "</member></struct></value></fault></methodResponse>"});
  });
}
