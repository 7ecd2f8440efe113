// A pfSense or OPNsense as primary: what it sends, and what this node makes of it.
#include <gtest/gtest.h>

#include "engine/config_sync/compat.h"
#include "engine/config_sync/effective.h"
#include "engine/config_sync/faults.h"
#include "engine/xmlrpc/codec.h"

namespace pfsync::engine::config_sync {
namespace {

using xmlrpc::Fault;
using xmlrpc::Value;
using Vip = Value::Struct;

Settings settings() {
  Settings made{.interface_map = {{"wan", "eth1"}, {"lan", "eth2"}}};
  made.compat = CompatSettings{.listen = {"10.0.0.3", 443}, .user = "sync", .config_version = "24.0"};
  return made;
}

/// pfSense's own entry: strings, but for the two numbers.
Vip pfsense_vip() {
  return {{"mode", "carp"},
          {"interface", "wan"},
          {"vhid", "1"},
          {"advskew", 100},
          {"advbase", 1},
          {"password", "a&b<c"},
          {"uniqid", "6602c2b1a3f10"},
          {"descr", "WAN VIP"},
          {"type", "single"},
          {"subnet_bits", "24"},
          {"subnet", "192.168.1.100"}};
}

Vip with(Vip vip, const std::string& name, Value value) {
  for (auto& [key, old] : vip)
    if (key == name) {
      old = std::move(value);
      return vip;
    }
  vip.push_back({name, std::move(value)});
  return vip;
}

using std::chrono::hours;

CompatAnswer push(std::vector<Vip> vips, const std::string& product = "pfsense") {
  Value::Array list;
  for (Vip& vip : vips) list.emplace_back(std::move(vip));
  const Value sections{Value::Struct{{"virtualip", Value{Value::Struct{{"vip", Value{std::move(list)}}}}},
                                     {"aliases", Value{Value::Struct{{"alias", Value{Value::Array{}}}}}},
                                     {"OPNsense", Value{Value::Struct{{"Kea", Value{Value::Array{}}}}}}}};
  return answer_compat({product + ".restore_config_section", {sections, Value{900}}}, settings());
}

std::int64_t code_of(const CompatAnswer& answer) {
  const auto* fault = std::get_if<Fault>(&answer.response);
  return fault == nullptr ? 0 : fault->code;
}

TEST(Compat, AVirtualAddressOfPfsenseBecomesOneHere) {
  const CompatAnswer answer = push({pfsense_vip()});
  EXPECT_EQ(std::get<Value>(answer.response), Value{true});
  EXPECT_EQ(
      answer.wanted,
      R"([{"addresses":["192.168.1.100/24"],"advbase":1,"advskew":100,"interface":"eth1","password":"a&b<c","password_form":"pfsense","vhid":1}])");
  EXPECT_EQ(answer.ignored, (std::vector<std::string>{"aliases", "OPNsense.Kea"}));
  const std::string file =
      "[link]\ndevice = \"eth1\"\naddress = \"192.168.1.3/24\"\n[config_sync]\n[config_sync.compat]\nlisten = "
      "\"10.0.0.3:443\"\nuser = \"sync\"\n";
  const auto both = combine(file, "t.toml", nullptr, false, &*answer.wanted);
  ASSERT_TRUE(std::holds_alternative<Effective>(both)) << std::get<Problem>(both).sentence;
  const auto& carp = std::get<Effective>(both).config.carp;
  ASSERT_EQ(carp.size(), 1u);
  EXPECT_EQ(carp[0].host.advskew, 100) << "as sent: the sender has added its 100";
}

TEST(Compat, ThePasswordIsWhatPfsenseMakesOfIt) {
  const CompatAnswer answer = push({with(pfsense_vip(), "password", "a b'c")});
  const std::string file =
      "[link]\ndevice = \"eth1\"\naddress = \"192.168.1.3/24\"\n[config_sync]\n[config_sync.compat]\nlisten = "
      "\"10.0.0.3:443\"\nuser = \"sync\"\n";
  const auto both = combine(file, "t.toml", nullptr, false, &*answer.wanted);
  ASSERT_TRUE(std::holds_alternative<Effective>(both));
  EXPECT_EQ(std::get<Effective>(both).config.carp[0].host.password, "ab\\'c");
}

TEST(Compat, AnAliasOfPfsenseJoinsTheHostItNames) {
  const Vip alias{{"mode", "ipalias"},
                  {"interface", "_vip6602c2b1a3f10"},
                  {"vhid", ""},
                  {"subnet", "192.168.1.101"},
                  {"subnet_bits", "24"}};
  const Vip stray{{"mode", "ipalias"}, {"interface", "lo0"}, {"subnet", "10.9.9.9"}, {"subnet_bits", "32"}};
  const CompatAnswer answer =
      push({alias, pfsense_vip(), stray, {{"mode", "proxyarp"}, {"interface", "wan"}, {"subnet", "10.1.1.0"}}});
  EXPECT_NE(answer.wanted->find(R"("addresses":["192.168.1.100/24","192.168.1.101/24"])"), std::string::npos)
      << *answer.wanted;
  EXPECT_EQ(answer.ignored, (std::vector<std::string>{"aliases", "OPNsense.Kea", "virtualip: ipalias 10.9.9.9 on lo0",
                                                      "virtualip: proxyarp 10.1.1.0 on wan"}));
}

TEST(Compat, AnAliasOfOpnsenseHasItsHostsInterfaceAndVhid) {
  const Vip host{{"@attributes", Value{Value::Struct{{"uuid", "1-2-3"}}}},
                 {"interface", "lan"},
                 {"mode", "carp"},
                 {"subnet", "2001:db8::1"},
                 {"subnet_bits", "64"},
                 {"password", "x"},
                 {"vhid", "7"},
                 {"advbase", "1"},
                 {"advskew", 100},
                 {"peer", "10.0.0.1"}};
  const Vip alias{
      {"interface", "lan"}, {"mode", "ipalias"}, {"subnet", "2001:db8::2"}, {"subnet_bits", "64"}, {"vhid", "7"}};
  const CompatAnswer answer = push({host, alias}, "opnsense");
  EXPECT_EQ(
      answer.wanted,
      R"([{"addresses":["2001:db8::1/64","2001:db8::2/64"],"advbase":1,"advskew":100,"interface":"eth2","password":"x","password_form":"pfsense","vhid":7}])");
}

TEST(Compat, NumbersMayBeTextsAndEmptyOnesAreDefaults) {
  Vip vip = with(with(with(pfsense_vip(), "vhid", 9), "advskew", "254"), "advbase", "");
  const CompatAnswer answer = push({vip});
  EXPECT_NE(answer.wanted->find("\"advbase\":1,\"advskew\":254"), std::string::npos);
  EXPECT_NE(answer.wanted->find("\"vhid\":9"), std::string::npos);
}

TEST(Compat, AListWithGapsIsAListAndAnEmptyOneDeletes) {
  const Value gaps{Value::Struct{{"0", Value{pfsense_vip()}}, {"2", Value{with(pfsense_vip(), "vhid", "2")}}}};
  const auto call = [&](Value vip) {
    return answer_compat({"pfsense.restore_config_section",
                          {Value{Value::Struct{{"virtualip", Value{Value::Struct{{"vip", std::move(vip)}}}}}}}},
                         settings());
  };
  EXPECT_NE(call(gaps).wanted->find("\"vhid\":2"), std::string::npos);
  EXPECT_EQ(call(Value{Value::Array{}}).wanted, "[]");
  const Value none{Value::Struct{{"virtualip", Value{Value::Array{}}}}};
  EXPECT_EQ(answer_compat({"opnsense.restore_config_section", {none}}, settings()).wanted, "[]");
  const CompatAnswer absent = answer_compat({"pfsense.restore_config_section", {Value{Value::Array{}}}}, settings());
  EXPECT_FALSE(absent.wanted);
  EXPECT_EQ(std::get<Value>(absent.response), Value{true});
}

TEST(Compat, WhatCannotBeMeantIsRefused) {
  for (const auto& [name, value] : std::vector<std::pair<const char*, Value>>{{"interface", "opt3"},
                                                                              {"vhid", "256"},
                                                                              {"vhid", ""},
                                                                              {"vhid", "1x"},
                                                                              {"advskew", 255},
                                                                              {"advbase", -1},
                                                                              {"subnet", "wan"},
                                                                              {"subnet", ""},
                                                                              {"subnet_bits", "33"},
                                                                              {"descr", Value{}},
                                                                              {"password", std::string(300, 'x')}}) {
    const CompatAnswer answer = push({with(pfsense_vip(), name, value)});
    if (std::string_view{name} == "descr")
      EXPECT_TRUE(answer.wanted);
    else
      EXPECT_EQ(code_of(answer), fault::validation_failed) << name;
  }
  const CompatAnswer unmapped = push({with(pfsense_vip(), "interface", "opt3")});
  EXPECT_TRUE(std::get<Fault>(unmapped.response).text.starts_with("interface opt3 has no mapping on this node"));
  EXPECT_EQ(code_of(answer_compat({"pfsense.restore_config_section", {}}, settings())),
            xmlrpc::fault_code::invalid_parameters);
  EXPECT_EQ(code_of(answer_compat({"pfsense.restore_config_section", {Value{"x"}}}, settings())),
            xmlrpc::fault_code::invalid_parameters);
}

TEST(Compat, TheVersionIsTheOneThatPfsenseCompares) {
  const CompatAnswer answer = answer_compat({"pfsense.host_firmware_version", {Value{""}, Value{240}}}, settings());
  const auto& value = std::get<Value>(answer.response);
  EXPECT_EQ(*value.find("config_version"), Value{"24.0"});
  EXPECT_EQ(*value.find("platform"), Value{"pfSense"});
  EXPECT_EQ(*value.find("kernel")->find("version"), Value{"2.8.0"});
  Settings unset = settings();
  unset.compat->config_version.clear();
  EXPECT_EQ(answer_compat({"pfsense.host_firmware_version", {}}, unset).alarms.size(), 1u);
}

TEST(Compat, CommandsAreRefusedWithAnAlarm) {
  for (const char* method : {"pfsense.exec_php", "pfsense.exec_shell"}) {
    const CompatAnswer answer = answer_compat({method, {Value{"reboot"}}}, settings());
    EXPECT_EQ(code_of(answer), xmlrpc::fault_code::method_not_found);
    EXPECT_EQ(answer.alarms.size(), 1u);
  }
  for (const char* method : {"pfsense.reboot", "pfsense.captive_portal_sync", "system.multicall", "x"}) {
    const CompatAnswer answer = answer_compat({method, {}}, settings());
    EXPECT_EQ(code_of(answer), xmlrpc::fault_code::method_not_found) << method;
    EXPECT_TRUE(answer.alarms.empty());
  }
  EXPECT_EQ(code_of(answer_compat({"pfsense.backup_config_section", {}}, settings())), -2);
}

TEST(Compat, TheRestIsAnsweredAndIgnored) {
  const auto value = [](const char* method, std::vector<Value> params = {}) {
    return std::get<Value>(answer_compat({method, std::move(params)}, settings()).response);
  };
  EXPECT_EQ(value("pfsense.merge_config_section", {Value{Value::Struct{{"nat", 1}}}}), Value{true});
  EXPECT_EQ(value("pfsense.interfaces_carp_configure"), Value{true});
  EXPECT_EQ(value("opnsense.filter_configure"), Value{true});
  EXPECT_EQ(*value("opnsense.configd_reload_all_templates").find("status"), Value{"done"});
  EXPECT_EQ(*value("opnsense.list_services").as_list()->front()->find("name"), Value{"pfsyncd"});
  EXPECT_EQ(value("opnsense.restart_service", {Value{Value::Struct{{"service", "pfsyncd"}, {"id", ""}}}}), Value{"ok"});
  EXPECT_EQ(value("opnsense.stop_service", {Value{Value::Struct{{"service", "unbound"}}}}), Value{""});
  EXPECT_NE(value("opnsense.firmware_version").find("base"), nullptr);
  EXPECT_EQ(value("system.listMethods").as_list()->size(), 16u);
}

TEST(Compat, WhoIsNotKnownIsToldThatInPfsensesWords) {
  const auto response = xmlrpc::decode_response(compat_refusal("Invalid username or password"));
  EXPECT_EQ(std::get<Fault>(response), (Fault{-1, "Authentication failed: Invalid username or password"}));
}

TEST(Compat, WhatIsIgnoredIsListedWithinBounds) {
  std::vector<Vip> vips(500, Vip{{"mode", "proxyarp"}, {"interface", "wan"}, {"subnet", "192.0.2.0"}});
  const CompatAnswer answer = push(std::move(vips));
  EXPECT_TRUE(std::holds_alternative<Value>(answer.response));
  EXPECT_EQ(answer.ignored.size(), 100u);
}

TEST(Compat, AnAlarmStandsForADayAfterItsLastCall) {
  CallAlarms alarms;
  const statetable::Instant begin{hours{1000}};
  alarms.add("one", begin);
  alarms.add("two", begin + hours{1});
  alarms.add("one", begin + hours{2});
  EXPECT_EQ(alarms.standing(begin + hours{3}), (std::vector<std::string>{"two", "one"})) << "each once";
  EXPECT_EQ(alarms.standing(begin + hours{25}), (std::vector<std::string>{"one"}));
  EXPECT_TRUE(alarms.standing(begin + hours{26}).empty());
  for (std::size_t i = 0; i < 2 * CallAlarms::kept; ++i) alarms.add(std::to_string(i), begin + hours{30});
  const auto standing = alarms.standing(begin + hours{30});
  EXPECT_EQ(standing.size(), CallAlarms::kept);
  EXPECT_EQ(standing.back(), std::to_string(2 * CallAlarms::kept - 1));
}

}  // namespace
}  // namespace pfsync::engine::config_sync
