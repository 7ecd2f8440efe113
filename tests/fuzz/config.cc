// A configuration file: it is taken with every value in its range, or refused in one sentence that names the file.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "engine/config/config.h"
#include "engine/session/session.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/mutate.h"

namespace pfsync::fuzz {
namespace {

using engine::Config;

void check_map(const engine::InterfaceMap& map) {
  for (const engine::InterfaceMap::Row& row : map.rows()) {
    check(!row.ours.empty() && !row.theirs.empty(), "a row has two names");
    check(map.of_ours(row.ours) == &row && map.of_theirs(row.theirs) == &row, "each name is in one row of its side");
  }
}

void check_link(const Config& config) {
  const Config::Link& link = config.link;
  check(!link.device.empty(), "a link has a device");
  check(link.family != wire::Family::none, "a link has a family");
  check(!wire::is_multicast(link.family, link.address), "the own address is one host's");
  check(link.prefix.value_or(0) <= (link.family == wire::Family::inet ? 32u : 128u),
        "a prefix is no longer than its address");
  check(link.mtu >= 576 && link.mtu <= 9000, "mtu is in range");
  check(link.vlan.value_or(1) >= 1 && link.vlan.value_or(1) <= 4094, "vlan is in range");
  check(wire::is_multicast(link.family, link.destination) != !config.peers.empty(),
        "what is sent goes to the group or to peers");
  check_map(link.interfaces);
  if (config.peers.empty()) return;
  check(config.peers.front().address == link.destination && config.peers.size() <= engine::peers_max,
        "the first peer comes first");
  for (const engine::Config::Peer& peer : config.peers) {
    check(peer.address != link.address, "a peer is another node");
    check_map(peer.interfaces);
  }
}

void check_rest(const Config& config) {
  check(config.table.states_max >= 1 && config.table.states_max <= 1'000'000'000, "states_max is in range");
  check(config.table.shard_bits <= 8, "shards are at most 256");
  check(config.sync.creatorid != 0, "a creator id is never 0");
  check(config.sync.maxupd <= 255 && config.sync.delay_ms <= 60'000, "sync is in range");
  const std::string& socket = config.control.socket;
  check(!socket.empty() && socket.size() <= 107 && socket.find('\0') == std::string::npos, "the socket's path fits");
  check(config.cores.control.value_or(0) <= 1023 &&
            std::ranges::all_of(config.cores.data, [](unsigned cpu) { return cpu <= 1023; }) &&
            config.cores.data_cores >= 1 && config.cores.data_cores <= 8,
        "cores are in range");
  if (config.synthetic) {
    check(config.synthetic->states >= 1 && config.synthetic->states <= config.table.states_max,
          "the load fits the table");
    check(config.synthetic->tcp_percent + config.synthetic->udp_percent <= 100, "shares are at most the whole");
  }
}

}  // namespace
}  // namespace pfsync::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace pfsync;
  const auto result = engine::parse_config({reinterpret_cast<const char*>(data), size}, "file.toml");
  if (const auto* why = std::get_if<std::string>(&result)) {
    fuzz::check(why->starts_with("file.toml:"), "a refusal names the file");
    fuzz::check(fuzz::is_one_line(*why), "a refusal is one line without control characters");
    return 0;
  }
  const auto& config = std::get<engine::Config>(result);
  fuzz::check_link(config);
  fuzz::check_rest(config);
  for (const std::string& warning : config.warnings) fuzz::check(fuzz::is_one_line(warning), "a warning is one line");
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  using namespace pfsync;
  return fuzz::mutated(data, size, max_size, seed, [](fuzz::Input& input, fuzz::Random& random) {
    fuzz::mutate_text(input, random, "\n,=",
                      {"[link]\n",
                       "[[peer]]\n",
                       "[[carp]]\n",
                       "[[interface]]\n",
                       "[[sync.rule]]\n",
                       "[config_sync]\n",
                       "[config_sync.compat]\n",
                       "[http]\n",
                       "[snapshot]\n",
                       "[table]\n",
                       "[timeouts]\n",
                       "[synthetic]\n",
                       "[cores]\n",
                       "device = \"eth1\"\n",
                       "address = \"10.0.0.3/24\"\n",
                       "address = \"fd00::3/64\"\n",
                       "interface_map = { a = \"b\" }\n",
                       "states_max = 1000\n",
                       "action = \"delay\"\n",
                       "age_s = 10\n",
                       "role = \"primary\"\n",
                       "peer = \"10.1.0.4:8444\"\n",
                       "listen = \"10.1.0.4:8444\"\n",
                       "vhid = 1\n",
                       "password = \"p\"\n",
                       "addresses = [\"10.0.0.254/24\"]\n",
                       "data = [1, 2]\n",
                       "multicast = \"224.0.0.240\"\n",
                       "source = \"10.0.0.254\"\n"});
  });
}
