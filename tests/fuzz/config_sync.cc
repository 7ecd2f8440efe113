// What another node or a firewall pushes: it is refused with a number and a sentence, or gives a configuration that the
// file's own validator takes.
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "engine/config_sync/compat.h"
#include "engine/config_sync/effective.h"
#include "engine/xmlrpc/codec.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/mutate.h"

namespace pfsync::fuzz {
namespace {

using namespace engine::config_sync;

const std::string file =
    "[link]\ndevice = \"eth1\"\naddress = \"10.0.0.2/24\"\n[[interface]]\ndevice = \"eth2\"\naddress = "
    "\"192.0.2.2/24\"\n"
    "[config_sync]\nrole = \"secondary\"\nlisten = \"10.0.0.2:8444\"\ninterface_map = { wan = \"eth2\" }\n"
    "[config_sync.compat]\nlisten = \"10.0.0.2:443\"\nuser = \"u\"\n";

void check_problem(const Problem& problem) {
  check(problem.code > 0 && !problem.sentence.empty(), "a refusal has a number and a sentence");
}

void check_section(std::string_view input) {
  Sections sections{{"carp", "[]"}, {"node", "{}"}, {"peer", "[]"}, {"sync", "{}"}, {"timeouts", "{}"}};
  const std::size_t name_end = input.find('\n');
  if (name_end == std::string_view::npos) return;
  sections.insert_or_assign(std::string{input.substr(0, name_end)}, std::string{input.substr(name_end + 1)});
  if (const auto problem = check_form(sections)) return check_problem(*problem);
  const auto both = combine(file, "f", &sections, true, nullptr);
  if (const auto* problem = std::get_if<Problem>(&both)) return check_problem(*problem);
  for (const auto& carp : std::get<Effective>(both).config.carp)
    check(carp.host.vhid >= 1 && carp.host.advskew <= 254, "a virtual host that was taken is in range");
  const Stored stored{.revision = {.origin = std::string(32, 'a'), .sections = sections}, .source = "push"};
  check(parse_stored(text_of(stored)) == stored, "what is stored reads as it was written");
}

void check_call(std::string_view input) {
  const auto decoded = engine::xmlrpc::decode_call(input, {.bytes = 4096, .depth = 16, .values = 256});
  const auto* call = std::get_if<engine::xmlrpc::Call>(&decoded);
  if (call == nullptr) return;
  Settings settings{.interface_map = {{"wan", "eth1"}, {"lan", "eth2"}}};
  settings.compat = CompatSettings{.user = "u"};
  const CompatAnswer answer = answer_compat(*call, settings);
  if (!answer.wanted) return;
  const auto both = combine(file, "f", nullptr, false, &*answer.wanted);
  if (const auto* problem = std::get_if<Problem>(&both)) check_problem(*problem);
}

}  // namespace
}  // namespace pfsync::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input{reinterpret_cast<const char*>(data), size};
  pfsync::fuzz::check_section(input);
  pfsync::fuzz::check_call(input);
  static_cast<void>(pfsync::engine::config_sync::parse_stored(input));
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  using namespace pfsync;
  return fuzz::mutated(data, size, max_size, seed, [](fuzz::Input& input, fuzz::Random& random) {
    fuzz::mutate_text(input, random, "\n,{<",
                      {"carp\n",
                       "node\n",
                       "peer\n",
                       "sync\n",
                       "timeouts\n",
                       "\"vhid\": 1",
                       "\"advskew\": 100",
                       "\"addresses\": [\"10.0.0.254/24\"]",
                       "\"password\": \"p\"",
                       "\"interface\": \"eth2\"",
                       "<methodCall>",
                       "<methodName>pfsense.restore_config_section</methodName>",
                       "<struct>",
                       "<member><name>virtualip</name>",
                       "<value><string>",
                       "</value></member>",
                       "</struct>",
                       "<array><data>",
                       "null",
                       "1e308"});
  });
}
