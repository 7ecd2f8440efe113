// What two nodes share of their configurations, and what becomes of it on the other one.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "engine/config/reload.h"
#include "engine/config_sync/effective.h"
#include "engine/config_sync/faults.h"
#include "engine/config_sync/sections.h"
#include "tests/engine/config/config_text.h"

namespace pfsync::engine::config_sync {
namespace {

using engine::test::replaced;

const std::string primary_file = R"([link]
device = "eth1"
address = "10.0.0.1/24"
[[peer]]
address = "10.0.0.2"
mac = "02:00:00:00:00:02"
interface_map = { igb0 = "vmx0" }
[[peer]]
address = "10.0.0.9"
source = "10.0.0.254"
[table]
states_max = 5000
[table.timeouts]
tcp_established = 3600
[sync]
creatorid = "0000000a"
maxupd = 64
[[interface]]
device = "eth2"
address = "192.0.2.1/24"
[[carp]]
vhid = 1
advskew = 10
password = "secret"
addresses = ["10.0.0.254/24"]
[[carp]]
vhid = 1
interface = "eth2"
advskew = 200
password = "secret"
addresses = ["192.0.2.254/24"]
peer = "192.0.2.2"
[config_sync]
role = "primary"
peer = "10.1.0.2:8444"
interface_map = { wan = "eth2" }
)";

const std::string secondary_file = R"([link]
device = "ens1"
address = "10.0.0.2/24"
[[peer]]
address = "10.0.0.1"
[sync]
creatorid = "0000000b"
maxupd = 1
[[interface]]
device = "ens2"
address = "192.0.2.2/24"
[config_sync]
role = "secondary"
listen = "10.1.0.2:8444"
interface_map = { wan = "ens2" }
)";

Sections extracted(const std::string& toml) {
  const auto result = extract(toml, "t.toml");
  if (const auto* why = std::get_if<std::string>(&result)) {
    ADD_FAILURE() << *why;
    return {};
  }
  return std::get<Sections>(result);
}

Config combined(const std::string& toml, const Sections& sections) {
  auto result = combine(toml, "t.toml", &sections, true, nullptr);
  if (const auto* problem = std::get_if<Problem>(&result)) {
    ADD_FAILURE() << problem->sentence;
    return {};
  }
  return std::get<Effective>(result).config;
}

Problem refused(const std::string& toml, const Sections& sections) {
  const auto result = combine(toml, "t.toml", &sections, true, nullptr);
  if (const auto* problem = std::get_if<Problem>(&result)) return *problem;
  ADD_FAILURE() << "taken";
  return {};
}

TEST(ConfigSyncSections, TheSecondaryGetsWhatIsSharedInItsOwnTerms) {
  const Config config = combined(secondary_file, extracted(primary_file));
  ASSERT_EQ(config.carp.size(), 2u);
  EXPECT_EQ(config.carp[0].host.advskew, 110);
  EXPECT_EQ(config.carp[0].port, 0u);
  EXPECT_EQ(config.carp[0].typed_password, "secret");
  EXPECT_EQ(config.carp[1].host.advskew, 254) << "200 + 100 has a cap";
  EXPECT_EQ(config.carp[1].port, 1u) << "wan is ens2 there";
  EXPECT_EQ(wire::to_string(config.carp[1].host.peer_inet, wire::Family::inet), "192.0.2.1")
      << "its peer is the primary";
  ASSERT_EQ(config.peers.size(), 2u);
  EXPECT_EQ(wire::to_string(config.peers[0].address, wire::Family::inet), "10.0.0.1");
  EXPECT_FALSE(config.peers[0].mac);
  EXPECT_EQ(wire::to_string(config.peers[1].address, wire::Family::inet), "10.0.0.9");
  EXPECT_EQ(config.sync.maxupd, 64u);
  EXPECT_EQ(config.sync.creatorid, 0xbu) << "its own";
  EXPECT_EQ(config.table.states_max, 1'000'000u) << "its own";
  EXPECT_EQ(config.table.timeouts.value[pftm::tcp_established], 3600u);
  EXPECT_EQ(config.link.device, "ens1");
}

TEST(ConfigSyncSections, ANodeMayHaveASkewOfItsOwn) {
  const std::string own = secondary_file + "advskew = { \"1\" = 50, \"1@wan\" = 60 }\n";
  const Config config = combined(own, extracted(primary_file));
  EXPECT_EQ(config.carp[0].host.advskew, 50);
  EXPECT_EQ(config.carp[1].host.advskew, 60);
}

TEST(ConfigSyncSections, WhatTheNodesDifferInByNatureChangesNoDigest) {
  const std::string digest = digest_of(extracted(primary_file));
  EXPECT_EQ(digest, digest_of(extracted(replaced(primary_file, "states_max = 5000", "states_max = 6000"))));
  EXPECT_EQ(digest,
            digest_of(extracted(replaced(primary_file, "creatorid = \"0000000a\"", "creatorid = \"0000000c\""))));
  EXPECT_EQ(digest, digest_of(extracted(replaced(primary_file, "maxupd = 64", "# a word\n  maxupd  =  0x40"))));
  EXPECT_NE(digest, digest_of(extracted(replaced(primary_file, "maxupd = 64", "maxupd = 65"))));
}

TEST(ConfigSyncSections, AMissingNameIsNamed) {
  const auto nameless = extract(replaced(primary_file, "{ wan = \"eth2\" }", "{}"), "t.toml");
  ASSERT_TRUE(std::holds_alternative<std::string>(nameless));
  EXPECT_NE(std::get<std::string>(nameless).find("\"eth2\" has no logical name"), std::string::npos);
  const Problem problem = refused(replaced(secondary_file, "{ wan = \"ens2\" }", "{}"), extracted(primary_file));
  EXPECT_EQ(problem.code, fault::validation_failed);
  EXPECT_NE(problem.sentence.find("\"wan\" has no mapping on this node"), std::string::npos) << problem.sentence;
}

TEST(ConfigSyncSections, TheFilesOwnRulesHoldForWhatIsReceived) {
  Sections sections = extracted(primary_file);
  sections["sync"] = "{\"maxupd\":1000}";
  const Problem problem = refused(secondary_file, sections);
  EXPECT_EQ(problem.code, fault::validation_failed);
  EXPECT_EQ(problem.sentence, "sync.maxupd: 1000 is out of range: give an integer from 0 to 255");
  sections["sync"] = "{}";
  sections["carp"] = R"([{"addresses":["10.0.0.2/24"],"password":"x","vhid":1}])";
  EXPECT_NE(refused(secondary_file, sections).sentence.find("holds link.address"), std::string::npos);
}

TEST(ConfigSyncSections, LocalKeysAndOtherFormsAreRefused) {
  const Sections good = extracted(primary_file);
  EXPECT_FALSE(check_form(good));
  const auto code = [&](const std::string& name, const std::string& text) {
    Sections sections = good;
    sections[name] = text;
    const auto problem = check_form(sections);
    return problem ? problem->code : 0;
  };
  EXPECT_EQ(code("link", "{}"), fault::local_section);
  EXPECT_EQ(code("sync", R"({"creatorid":"0000000a"})"), fault::local_section);
  EXPECT_EQ(code("carp", R"([{"unheard_of":1}])"), fault::local_section);
  for (const char* text : {"{", "[]", "{ }", R"({"maxupd":1.5})", R"({"maxupd":null})", R"({"b":1,"a":2})",
                           R"({"rule":[[[[[[[[[[]]]]]]]]]]})", "1"})
    EXPECT_EQ(code("sync", text), fault::validation_failed) << text;
  Sections less = good;
  less.erase("carp");
  EXPECT_EQ(check_form(less)->sentence, "carp: is missing");
}

TEST(ConfigSyncSections, DifferencesTellNoPassword) {
  Sections after = extracted(replaced(primary_file, "password = \"secret\"", "password = \"other words\""));
  const auto found = differences(extracted(primary_file), after);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found.at("carp"), "vhid 1 (password changed)");
}

// --- a secondary that is made primary ----------------------------------------------------------------

const std::string promoted_file = replaced(secondary_file, "role = \"secondary\"\nlisten = \"10.1.0.2:8444\"",
                                           "role = \"primary\"\npeer = \"10.1.0.1:8444\"");

Kept pushed_to(const std::string& file) {
  const std::string ours(32, 'b');
  return {.identity = Identity{.node_id = ours, .file_digest = file_digest_of(extracted(file))},
          .shared = Stored{.revision = {.origin = std::string(32, 'a'),
                                        .epoch = 1,
                                        .generation = 4,
                                        .sections = extracted(primary_file)},
                           .source = "push"}};
}

Config in_force_of(const std::string& toml, const Kept& kept, std::optional<Role> running = std::nullopt) {
  const auto result = in_force(toml, "t.toml", kept, running);
  if (const auto* why = std::get_if<std::string>(&result)) {
    ADD_FAILURE() << *why;
    return {};
  }
  return std::get<Config>(result);
}

TEST(ConfigSyncSections, ASecondaryThatIsMadePrimaryKeepsWhatWasPushedUntilItsFileSaysMore) {
  const Kept kept = pushed_to(secondary_file);
  const Config config = in_force_of(promoted_file, kept);
  ASSERT_EQ(config.carp.size(), 2u);
  EXPECT_EQ(config.carp[0].host.advskew, 10) << "it leads now";
  EXPECT_EQ(config.carp[1].port, 1u);
  EXPECT_EQ(wire::to_string(config.carp[1].host.peer_inet, wire::Family::inet), "192.0.2.1");
  ASSERT_EQ(config.peers.size(), 2u);
  EXPECT_EQ(wire::to_string(config.peers[0].address, wire::Family::inet), "10.0.0.1");
  EXPECT_EQ(config.sync.maxupd, 64u);
  // A further interface, or another name for one, is no word about what both share.
  EXPECT_EQ(in_force_of(replaced(promoted_file, "10.0.0.2/24", "10.0.0.7/24"), kept).carp.size(), 2u);
  // The file's own word counts from the first one on.
  EXPECT_TRUE(in_force_of(replaced(promoted_file, "maxupd = 1", "maxupd = 2"), kept).carp.empty());
}

TEST(ConfigSyncSections, WhatAPromotedNodePushesMeansTheSameOnTheFormerPrimary) {
  const auto made = promote(promoted_file, "t.toml", extracted(primary_file));
  const auto& promoted = std::get<Promoted>(made);
  const std::string former = replaced(primary_file, "role = \"primary\"\npeer = \"10.1.0.2:8444\"",
                                      "role = \"secondary\"\nlisten = \"10.1.0.1:8444\"");
  const Config config = combined(former, promoted.sections);
  ASSERT_EQ(config.carp.size(), 2u);
  EXPECT_EQ(config.carp[0].host.advskew, 110) << "it follows now";
  EXPECT_EQ(wire::to_string(config.carp[1].host.peer_inet, wire::Family::inet), "192.0.2.2");
  EXPECT_EQ(wire::to_string(config.peers[0].address, wire::Family::inet), "10.0.0.2");
  // The text that is handed to the operator says the same, in the place of what the file says by itself.
  std::string file = replaced(promoted_file, "[[peer]]\naddress = \"10.0.0.1\"\n", "");
  file = replaced(file, "maxupd = 1\n", "");
  file = replaced(file, "[sync]\n", "");
  file = replaced(file, "creatorid = \"0000000b\"\n", "");
  EXPECT_EQ(digest_of(extracted(file + promoted.text)), digest_of(promoted.sections)) << promoted.text;
}

TEST(ConfigSyncSections, AnotherRoleInTheFileWaitsForTheRestart) {
  const Config config = in_force_of(promoted_file, pushed_to(secondary_file), Role::secondary);
  ASSERT_EQ(config.carp.size(), 2u);
  EXPECT_EQ(config.carp[0].host.advskew, 110);
  Kept ours = pushed_to(secondary_file);
  const auto made = promote(promoted_file, "t.toml", extracted(primary_file));
  ours.shared->revision.sections = std::get<Promoted>(made).sections;
  EXPECT_EQ(in_force_of(secondary_file, ours, Role::primary).carp[0].host.advskew, 10);
}

TEST(ConfigSyncSections, WhatNodesShareIsFoundAmongWhatWaitsForARestart) {
  const auto waits = [](std::string_view what, std::string_view by) {
    const auto all =
        difference(engine::test::good(primary_file), engine::test::good(replaced(primary_file, what, by))).restart;
    EXPECT_FALSE(all.empty()) << what;
    return shared_among(all);
  };
  using Keys = std::vector<std::string>;
  EXPECT_EQ(waits("states_max = 5000", "states_max = 6000"), Keys{});
  EXPECT_EQ(waits("creatorid = \"0000000a\"", "creatorid = \"0000000c\""), Keys{});
  EXPECT_EQ(waits("role = \"primary\"", "role = \"primary\"\nconfirm_s = 3"), Keys{});
  EXPECT_FALSE(is_decisive({"table.states_max", "sync.creatorid", "http"}));
  for (const char* key : {"link.address", "interface", "config_sync", "carp", "peer (between multicast and unicast)"})
    EXPECT_TRUE(is_decisive({"table.states_max", key})) << key;
  EXPECT_EQ(waits("[[interface]]\ndevice = \"eth2\"\naddress = \"192.0.2.1/24\"\n[[carp]]\nvhid = 1",
                  "[[interface]]\ndevice = \"eth2\"\naddress = \"192.0.2.3/24\"\n[[carp]]\nvhid = 9"),
            Keys{"carp"})
      << "with the port that it stands on";
  const std::string peers =
      primary_file.substr(primary_file.find("[[peer]]"), primary_file.find("[table]") - primary_file.find("[[peer]]"));
  EXPECT_EQ(waits(peers, ""), Keys{"peer (between multicast and unicast)"});
}

TEST(ConfigSyncSections, UnicastOrMulticastIsEachFilesOwn) {
  const std::string peerless = replaced(secondary_file, "[[peer]]\naddress = \"10.0.0.1\"\n", "");
  const Sections unicast = extracted(primary_file);
  Sections multicast = unicast;
  multicast["peer"] = "[]";
  multicast["carp"] = "[]";
  EXPECT_FALSE(check_peers(secondary_file, "t.toml", unicast));
  EXPECT_FALSE(check_peers(peerless, "t.toml", multicast));
  const auto without = check_peers(peerless, "t.toml", unicast),
             with = check_peers(secondary_file, "t.toml", multicast);
  ASSERT_TRUE(without && with);
  EXPECT_EQ(without->code, fault::validation_failed);
  EXPECT_NE(without->sentence.find("write one there"), std::string::npos) << without->sentence;
  EXPECT_NE(with->sentence.find("take it out there"), std::string::npos) << with->sentence;
  // As the sentence says: after the restart with another file what was pushed before does not count for the peers.
  EXPECT_TRUE(combined(peerless, unicast).peers.empty());
  EXPECT_EQ(combined(peerless, unicast).carp.size(), 2u);
  EXPECT_EQ(combined(secondary_file, multicast).peers.size(), 1u);
}

TEST(ConfigSyncSections, WhatHasNoSayInASecondarysFileIsNamed) {
  const Kept kept = pushed_to(secondary_file);
  using Warnings = std::vector<std::string>;
  const std::string tail = " has no say here: it comes from the primary, in whose file it belongs";
  const auto odd = [&](const std::string& more) {
    Warnings found;
    for (const std::string& warning : in_force_of(more + secondary_file, kept).warnings)
      if (warning.ends_with(tail)) found.push_back(warning.substr(0, warning.size() - tail.size()));
    return found;
  };
  EXPECT_EQ(odd(""), Warnings{"sync.maxupd"}) << "1 there, 64 from the primary";
  EXPECT_EQ(odd("[[carp]]\nvhid = 5\npassword = \"x\"\naddresses = [\"10.0.0.205/24\"]\n"
                "[[peer]]\naddress = \"10.0.0.8\"\n[table.timeouts]\nudp_first = 7\ntcp_established = 3600\n"),
            (Warnings{"[[carp]] vhid 5", "[[peer]] 10.0.0.8", "table.timeouts.udp_first", "sync.maxupd"}));
  EXPECT_EQ(odd("[[carp]]\nvhid = 1\nadvskew = 3\npassword = \"secret\"\naddresses = [\"10.0.0.254/24\"]\n"),
            Warnings{"sync.maxupd"})
      << "the same but for the skew";
}

/// The keys of the sample file, given or behind a comment sign, as "carp.vhid".
std::vector<std::string> sample_keys() {
  static const std::regex heading{R"(^(?:# )?\[\[?([a-z_.]+)\]?\](?:\s*#.*)?$)"},
      entry{R"(^(?:# )?([a-z_0-9]+) = .*$)"};
  std::vector<std::string> keys;
  std::string section;
  std::ifstream file{PFSYNC_SAMPLE_CONFIG};
  for (std::string line; std::getline(file, line);) {
    std::smatch found;
    if (std::regex_match(line, found, heading)) section = found[1];
    if (std::regex_match(line, found, entry)) keys.push_back(section + "." + found[1].str());
  }
  return keys;
}

/// Of each section that nodes share anything of, all that the sample has is here: whoever adds a key decides whose it
/// is.
TEST(ConfigSyncSections, EveryKeyOfTheSampleHasAClass) {
  const std::map<std::string, KeyClass> classes{{"peer.address", KeyClass::transformed},
                                                {"peer.dialect", KeyClass::shared},
                                                {"peer.mac", KeyClass::transformed},
                                                {"peer.interface_map", KeyClass::transformed},
                                                {"peer.bulk_states_per_s", KeyClass::shared},
                                                {"peer.source", KeyClass::shared},
                                                {"table.states_max", KeyClass::local},
                                                {"table.memory", KeyClass::local},
                                                {"table.shards", KeyClass::local},
                                                {"table.collisions", KeyClass::local},
                                                {"table.timeouts.tcp_established", KeyClass::shared},
                                                {"sync.creatorid", KeyClass::local},
                                                {"sync.dialect", KeyClass::local},
                                                {"sync.maxupd", KeyClass::shared},
                                                {"sync.delay_ms", KeyClass::shared},
                                                {"sync.bulk_states_per_s", KeyClass::shared},
                                                {"sync.requests_per_s", KeyClass::local},
                                                {"sync.probe_every_s", KeyClass::local},
                                                {"sync.sample_per_s", KeyClass::local},
                                                {"sync.compare_every_s", KeyClass::local},
                                                {"sync.request_bulk", KeyClass::shared},
                                                {"sync.defer", KeyClass::local},
                                                {"sync.rule", KeyClass::local},
                                                {"carp.vhid", KeyClass::shared},
                                                {"carp.password", KeyClass::shared},
                                                {"carp.password_form", KeyClass::shared},
                                                {"carp.addresses", KeyClass::shared},
                                                {"carp.advbase", KeyClass::shared},
                                                {"carp.advskew", KeyClass::transformed},
                                                {"carp.preempt", KeyClass::shared},
                                                {"carp.peer", KeyClass::transformed},
                                                {"carp.openbsd", KeyClass::shared},
                                                {"carp.both_families", KeyClass::shared},
                                                {"carp.interface", KeyClass::transformed}};
  const std::set<std::string> each_nodes_own{
      "link",  "control", "interface", "http",      "config_sync", "config_sync.compat",
      "cores", "log",     "snapshot",  "synthetic", "sync.rule"};
  std::set<std::string> seen;
  for (const std::string& key : sample_keys()) {
    const std::string section = key.substr(0, key.rfind('.'));
    seen.insert(key);
    if (each_nodes_own.contains(section)) {
      EXPECT_EQ(class_of(key), KeyClass::local) << key;
      continue;
    }
    const auto known = classes.find(key);
    ASSERT_NE(known, classes.end()) << key << ": say here and in the list of keys whether nodes share it";
    EXPECT_EQ(class_of(key), known->second) << key;
  }
  EXPECT_GT(seen.size(), 60u);
  for (const auto& [key, of] : classes) EXPECT_TRUE(seen.contains(key) || key == "sync.rule") << key;
  EXPECT_EQ(class_of("peer.interface_map.igb0"), KeyClass::transformed);
  EXPECT_EQ(class_of("carp.password_file"), KeyClass::transformed);
  EXPECT_EQ(class_of("unheard_of"), KeyClass::local);
}

}  // namespace
}  // namespace pfsync::engine::config_sync
