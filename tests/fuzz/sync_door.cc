// What another node asks at /sync, as a script of calls on a live receiver: sound ones, nearly sound ones, documents as
// they came, time, a daemon that refuses, a process that ends. Each has an answer that can be written and read. What is
// in force is what the store holds, never older than what was confirmed; what was not confirmed is gone after a start.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "engine/config_sync/receiver.h"
#include "engine/xmlrpc/codec.h"
#include "tests/engine/control/memory_files.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/mutate.h"
#include "tests/fuzz/script.h"

namespace pfsync::fuzz {
namespace {

using namespace engine::config_sync;
using engine::xmlrpc::Fault;
using engine::xmlrpc::Value;
using std::chrono::seconds;

const std::string own_id(32, 'b');
constexpr const char* names[] = {"carp", "peer", "sync", "timeouts", "node", "link"};
constexpr const char* words[] = {"primary", "secondary", "off"};

std::string other_id(std::uint8_t which) { return which % 5 == 4 ? own_id : std::string(32, "acd0"[which % 5]); }

class Run {
 public:
  explicit Run(std::uint8_t options) {
    settings_.role = options % 8 == 7 ? Role::off : options % 8 == 6 ? Role::primary : Role::secondary;
    settings_.strict = (options & 8u) != 0;
    start();
  }

  void step(Script& script) {
    switch (script.byte() % 11) {
      case 0: hello(script); break;
      case 1: stage(script); break;
      case 2: commit(script); break;
      case 3: name_transaction("hasync.confirm", script); break;
      case 4: name_transaction("hasync.abort", script); break;
      case 5: ask("hasync.log", {{"since", std::to_string(script.byte())}}); break;
      case 6: digest(script); break;
      case 7: pass(seconds{script.byte()}); break;
      case 8: raw(script.text()); break;
      case 9: start(); break;
      default: refuses_ = script.byte(); break;
    }
    check_all();
  }

 private:
  void start() {
    if (receiver_) started_with_ = receiver_->is_pending() ? kept_ : store_->current();
    store_.emplace(files_);
    for (const std::string& told : store_->load()) check(is_one_line(told), "what a start found is told");
    if (receiver_) check(store_->current() == started_with_, "a start finds what was in force and confirmed");
    staged_txn_.clear();
    const auto& current = store_->current();
    applied_ = current ? std::optional{current->revision.sections} : std::nullopt;
    is_as_stored_ = true;
    receiver_.emplace(
        settings_, Identity{.node_id = own_id, .epoch = 1}, *store_,
        Ground{.check = [this](const Sections&, std::vector<std::string>& notes) -> std::optional<Problem> {
                 notes.emplace_back("a note");
                 if ((refuses_ & 1u) != 0) return Problem{120, "it cannot be"};
                 return std::nullopt;
               },
               .apply = [this](const Sections* sections) -> std::optional<std::string> {
                 is_as_stored_ = (refuses_ & 2u) == 0;
                 if (!is_as_stored_) return "it cannot be applied";
                 applied_ = sections == nullptr ? std::nullopt : std::optional{*sections};
                 return std::nullopt;
               }},
        audit_);
  }

  void hello(Script& script) {
    const std::uint8_t who = script.byte(), shape = script.byte();
    ask("hasync.hello", {{"node_id", other_id(who)},
                         {"cluster_id", (shape & 1u) != 0 ? "another" : "pfsyncd"},
                         {"proto", (shape & 2u) != 0 ? 2 : 1},
                         {"role", words[(shape >> 2u) % 3]},
                         {"epoch", std::to_string(shape >> 4u)}});
  }

  /// As the primary writes it, with the digest that the receiver will compute, unless the script says otherwise.
  void stage(Script& script) {
    const std::uint8_t who = script.byte(), age = script.byte(), shape = script.byte();
    const std::string said{script.text()};
    const auto& current = store_->current();
    Revision offered{.origin = other_id(who),
                     .epoch = static_cast<std::uint64_t>(age >> 4u),
                     .generation = static_cast<std::uint64_t>(age & 15u),
                     .sections = current ? current->revision.sections : Sections{}};
    Value::Struct sections;
    const auto put = [&](const std::string& name, const std::string& text) {
      offered.sections.insert_or_assign(name, text);
      sections.push_back({name, Value{Value::Binary{text}}});
    };
    if ((shape & 1u) == 0)
      for (const auto& [name, text] : {std::pair{"carp", "[]"}, {"node", "{}"}, {"peer", "[]"}, {"timeouts", "{}"}})
        put(name, text);
    const std::string name = names[(shape >> 1u) % 6];
    if ((shape & 1u) != 0 || name == "sync" || name == "link") put(name, said);
    if ((shape & 1u) == 0 && name != "sync") put("sync", "{}");
    Value::Array path;
    for (unsigned i = 0; i < (shape >> 6u) * 6u; ++i) path.emplace_back(other_id(static_cast<std::uint8_t>(i)));
    const std::string held = current ? current->revision.digest() : "";
    const auto answer = ask("hasync.stage", {{"origin", offered.origin},
                                             {"epoch", std::to_string(offered.epoch)},
                                             {"generation", std::to_string(offered.generation)},
                                             {"path", Value{std::move(path)}},
                                             {"base_digest", (shape & 16u) != 0 ? "another" : held},
                                             {"digest", (shape & 32u) != 0 ? "another" : offered.digest()},
                                             {"sections", Value{std::move(sections)}},
                                             {"removed", Value{Value::Array{}}}});
    if (!answer) return;
    const Value* txn = answer->find("txn");
    check(txn != nullptr && txn->get<std::string>() != nullptr, "a stage names its transaction");
    if (!txn->get<std::string>()->empty()) staged_txn_ = *txn->get<std::string>();
  }

  void commit(Script& script) {
    const std::uint8_t which = script.byte(), within = script.byte();
    ask("hasync.commit", {{"txn", which % 4 == 3 ? "another" : staged_txn_},
                          {"confirm_within", static_cast<std::int64_t>(within % 8 == 7 ? 601 : within / 8)}});
  }
  void name_transaction(const char* method, Script& script) {
    ask(method, {{"txn", script.byte() % 4 == 3 ? "another" : staged_txn_}});
  }
  void digest(Script& script) {
    const char* name = names[script.byte() % 6];
    Value::Struct sections{{"carp", Value{Value::Binary{"[]"}}}, {"node", Value{Value::Binary{"{}"}}}};
    for (const auto& [each, text] : {std::pair{"peer", "[]"}, {"sync", "{}"}, {"timeouts", "{}"}})
      sections.push_back({each, Value{Value::Binary{text}}});
    const Value::Binary text{std::string{script.text()}};
    for (auto& [each, value] : sections)
      if (each == name) value = text;
    ask("hasync.digest", {{"sections", Value{std::move(sections)}}});
  }

  void pass(seconds time) {
    now_ += time;
    receiver_->tick(now_, time_s());
  }

  std::optional<Value> ask(const char* method, Value::Struct params) {
    return raw(engine::xmlrpc::encode_call(method, {Value{std::move(params)}}));
  }

  /// A body as the door takes it.
  std::optional<Value> raw(std::string_view body) {
    const auto decoded =
        engine::xmlrpc::decode_call(body, {.bytes = body_bytes_max, .depth = 16, .values = door_values_max});
    const auto* call = std::get_if<engine::xmlrpc::Call>(&decoded);
    if (call == nullptr) return std::nullopt;
    const auto answer = receiver_->call(*call, now_, time_s());
    if (const auto* fault = std::get_if<Fault>(&answer)) {
      check(fault->code != 0 && !fault->text.empty(), "a refusal has a number and a sentence");
      const auto again = engine::xmlrpc::decode_response(engine::xmlrpc::encode_fault(*fault));
      check(std::holds_alternative<Fault>(again) && std::get<Fault>(again).code == fault->code,
            "a refusal is written and read the same");
      return std::nullopt;
    }
    const auto again = engine::xmlrpc::decode_response(engine::xmlrpc::encode_response(std::get<Value>(answer)));
    check(std::holds_alternative<Value>(again), "an answer is written and can be read");
    return std::get<Value>(answer);
  }

  static bool is_newer(const Revision& one, const Revision& other) {
    if (one.origin != other.origin) return one.epoch > other.epoch;
    return one.epoch > other.epoch || (one.epoch == other.epoch && one.generation > other.generation);
  }

  void check_all() {
    const auto& current = store_->current();
    if (settings_.role != Role::secondary) check(!current && !applied_, "only a secondary takes configurations");
    check(store_->is_pending() == receiver_->is_pending(), "what waits to be confirmed waits on the disk too");
    if (is_as_stored_)
      check(applied_ == (current ? std::optional{current->revision.sections} : std::nullopt),
            "what is in force is what the store holds");
    if (!receiver_->is_pending()) {
      check(current == kept_ || (current && (!kept_ || is_newer(current->revision, kept_->revision))),
            "what was confirmed is replaced by what is newer only");
      kept_ = current;
    }
    check(audit_.records().size() <= Audit::kept, "the log is bounded");
    for (const Record& record : audit_.take_new())
      check(is_one_line(record.sentence) && record.sentence.size() <= sentence_bytes_max,
            "a record is one line of a bounded length");
  }

  [[nodiscard]] std::int64_t time_s() const {
    return std::chrono::duration_cast<seconds>(now_.time_since_epoch()).count();
  }

  Settings settings_;
  test::MemoryFiles files_;
  std::optional<Store> store_;
  Audit audit_;
  std::optional<Receiver> receiver_;
  Instant now_ = Instant{} + std::chrono::hours{1};
  std::uint8_t refuses_ = 0;
  std::string staged_txn_;
  std::optional<Sections> applied_;
  bool is_as_stored_ = true;
  std::optional<Stored> kept_, started_with_;
};

constexpr EventForm forms[] = {{2, 0}, {3, 1}, {2, 0}, {1, 0}, {1, 0}, {1, 0}, {1, 1}, {1, 0}, {0, 1}, {0, 0}, {1, 0}};

}  // namespace
}  // namespace pfsync::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  pfsync::fuzz::Script script{data, size};
  pfsync::fuzz::Run run{script.byte()};
  for (unsigned steps = 0; script.more() && steps < 100; ++steps) run.step(script);
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  using namespace pfsync;
  return fuzz::mutated(data, size, max_size, seed, [](fuzz::Input& input, fuzz::Random& random) {
    fuzz::mutate_script(
        input, random, fuzz::forms,
        {"[{\"vhid\":1},{\"vhid\":2}]", "[{\"address\":\"10.0.0.1\"}]", "{\"maxupd\":9}", "{\"defer\":true}", "[]",
         "{}", "{", "{\"device\":\"eth0\"}", "[{\"password\":\"p\",\"vhid\":1}]", "\"\\u0000\"",
         "<methodCall><methodName>hasync.hello</methodName><params><param><value><struct></struct></value>"
         "</param></params></methodCall>",
         "<methodCall><methodName>hasync.digest</methodName></methodCall>"});
  });
}
