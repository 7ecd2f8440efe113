// Configurations of firewalls: whatever they say, what is made of it is a configuration that the daemon takes.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "engine/config/config.h"
#include "engine/import/translate.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/mutate.h"

namespace pfsync::fuzz {
namespace {

void check_import(const std::vector<engine::imports::Source>& files, const engine::imports::Choice& choice) {
  const auto result = engine::imports::translate(files, choice);
  if (const auto* why = std::get_if<std::string>(&result))
    return check(is_one_line(*why), "a refusal is one line without control characters");
  const auto& imported = std::get<engine::imports::Imported>(result);
  for (const std::string& note : imported.notes) check(is_one_line(note), "a note is one line");
  check(std::holds_alternative<engine::Config>(engine::parse_config(imported.toml, "made.toml")),
        "what is made passes the daemon's own reader");
}

}  // namespace
}  // namespace pfsync::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // A line "== NAME" begins a file.
  std::string_view input{reinterpret_cast<const char*>(data), size};
  std::vector<pfsync::engine::imports::Source> files;
  while (input.starts_with("== ") && files.size() < 6) {
    const std::size_t end = std::min(input.find('\n'), input.size() - 1);
    const std::string name{input.substr(3, end - std::min<std::size_t>(end, 3))};
    input.remove_prefix(end + 1);
    const std::size_t next = std::min(input.find("\n== "), input.size() - (input.empty() ? 0 : 1));
    const std::size_t bytes = input.empty() ? 0 : next + 1;
    files.push_back({name, std::string{input.substr(0, bytes)}});
    input.remove_prefix(bytes);
  }
  if (files.empty()) files.push_back({"file", std::string{input}});
  pfsync::fuzz::check_import(files, {});
  pfsync::fuzz::check_import(files, {.address = "10.0.0.3/24", .devices = {{"em2", "eth1"}}});
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  using namespace pfsync;
  return fuzz::mutated(data, size, max_size, seed, [](fuzz::Input& input, fuzz::Random& random) {
    fuzz::mutate_text(input, random, "\n<=\" ",
                      {"== /etc/hostname.pfsync0\n",
                       "== /etc/rc.conf\n",
                       "== config.xml\n",
                       "syncdev em2",
                       "syncpeer 10.0.0.1",
                       "inet 10.0.0.2/24 vhid 1 advskew 0 pass secret alias 10.0.0.254/24",
                       "pfsync_syncdev=\"em2\"\n",
                       "pfsync_syncpeer=\"10.0.0.1\"\n",
                       "ifconfig_em0_alias0=",
                       "<pfsense>",
                       "<opnsense>",
                       "<hasync>",
                       "<pfsyncenabled>on</pfsyncenabled>",
                       "<pfsyncinterface>lan</pfsyncinterface>",
                       "<virtualip>",
                       "<vip>",
                       "<mode>carp</mode>",
                       "<vhid>1</vhid>",
                       "<subnet>10.0.0.254</subnet>",
                       "<interfaces>",
                       "defer",
                       "maxupd 128",
                       "rdomain 1",
                       "carpdev em0"});
  });
}
