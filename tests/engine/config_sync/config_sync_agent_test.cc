// Two agents in one process, over TLS on loopback: what runs on their threads, for the sanitizers. What a pair does
// over links that fail is in tests/smoke/config_sync_test.py.
#include "engine/base64.h"
#include "engine/config_sync/agent.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>
#include <vector>

#include "engine/config_sync/client.h"
#include "engine/config_sync/keys.h"
#include "engine/http/users.h"
#include "engine/xmlrpc/codec.h"
#include "tests/engine/control/memory_files.h"
#include "tests/engine/temporary_directory.h"

namespace pfsync::engine::config_sync {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono::milliseconds;

constexpr std::uint16_t port = 8444;

/// Of this process alone, so that no other test's node answers: 127.x.y.1 and 2.
std::string address_of(unsigned side) {
  const auto process = static_cast<unsigned>(getpid());
  return "127." + std::to_string(1 + process / 250 % 250) + "." + std::to_string(process % 250) + "." +
         std::to_string(1 + side);
}

/// A node: the agent, and a daemon that takes what it is given.
struct Node {
  Node(unsigned side, std::string role, const engine::test::TemporaryDirectory& directory)
      : side_{side}, role_{std::move(role)}, state_dir_{directory.file("state" + std::to_string(side))} {}

  [[nodiscard]] std::string text(int established, const std::string& more = "") const {
    const std::string own = address_of(side_), other = address_of(1 - side_);
    std::string made = "[link]\ndevice = \"eth0\"\naddress = \"192.0.2." + std::to_string(1 + side_) +
                       "/24\"\n[control]\nstate_dir = \"" + state_dir_ + "\"\n[table]\nstates_max = 1000\n" +
                       "[table.timeouts]\ntcp_established = " + std::to_string(established) +
                       "\n[[peer]]\naddress = \"192.0.2." + std::to_string(2 - side_) + "\"\n[[carp]]\nvhid = 1\n" +
                       "password = \"secret\"\naddresses = [\"192.0.2.101/24\"]\n[config_sync]\nrole = \"" + role_ +
                       "\"\nlisten = \"" + own + ":" + std::to_string(port) + "\"\n";
    if (role_ == "primary") made += "peer = \"" + other + ":" + std::to_string(port) + "\"\n";
    return made + more;
  }

  void start(const std::string& toml) {
    agent_.reset();
    const auto config = parse_config(toml, "f");
    ASSERT_TRUE(std::holds_alternative<Config>(config)) << std::get<std::string>(config);
    in_force_ = std::get<Config>(config);
    auto made = Agent::create(in_force_, toml, "f",
                              {.apply = [this](const Config& wanted, Demand) -> Applied {
                                 if (!refusal_.empty()) return {.refusal = refusal_};
                                 in_force_ = wanted;
                                 ++applied_;
                                 return {};
                               },
                               .log = [this](bool, const std::string& line) { log_ += line + "\n"; },
                               .compare =
                                   [this](const std::string& request) {
                                     ++compared_;
                                     return "answer to " + request;
                                   }});
    ASSERT_TRUE(std::holds_alternative<std::unique_ptr<Agent>>(made)) << std::get<std::string>(made);
    agent_ = std::move(std::get<0>(made));
  }

  [[nodiscard]] Json show() const { return agent_->status(); }
  [[nodiscard]] int established() const {
    return static_cast<int>(in_force_.table.timeouts.value[pftm::tcp_established]);
  }

  unsigned side_;
  std::string role_, state_dir_, refusal_, log_;
  std::atomic<int> compared_ = 0;
  int applied_ = 0;
  Config in_force_;
  std::unique_ptr<Agent> agent_;
};

class ConfigSyncAgent : public ::testing::Test {
 protected:
  ConfigSyncAgent() { std::signal(SIGPIPE, SIG_IGN); }

  /// The control threads of both, until that is so.
  bool serve_until(const std::function<bool()>& condition) {
    constexpr int turns = 30'000;  // patience for a busy machine under a sanitizer
    for (int turn = 0; turn < turns; ++turn) {
      for (Node* node : {&primary_, &secondary_})
        if (node->agent_) node->agent_->serve();
      if (condition()) return true;
      std::this_thread::sleep_for(milliseconds{2});
    }
    return false;
  }
  /// What became of it.
  Json carry_out(Node& node, const Order& order) {
    const auto number = node.agent_->order(order);
    if (const auto* why = std::get_if<std::string>(&number)) return Json{{"ok", false}, {"sentence", *why}};
    const std::string key = std::to_string(std::get<std::uint64_t>(number));
    Json result;
    EXPECT_TRUE(serve_until([&] {
      const Json status = node.show();
      if (!status.contains("orders") || !status["orders"].contains(key)) return false;
      result = status["orders"][key];
      return true;
    })) << node.show().dump(1);
    return result;
  }
  void pair() {
    EXPECT_TRUE(carry_out(secondary_, {.kind = Order::Kind::pair})["ok"].get<bool>());
    EXPECT_TRUE(carry_out(primary_, {.kind = Order::Kind::pair})["ok"].get<bool>());
    ASSERT_TRUE(serve_until([&] {
      return primary_.show()["pairing"]["state"] == "shown" && secondary_.show()["pairing"]["state"] == "shown";
    })) << primary_.log_
        << secondary_.log_;
    const auto code = primary_.show()["pairing"]["code"].get<std::string>();
    EXPECT_EQ(secondary_.show()["pairing"]["code"], code);
    const Order wrong{.kind = Order::Kind::confirm_pair, .code = "000 000 00"};
    EXPECT_FALSE(carry_out(primary_, wrong)["ok"].get<bool>());
    for (Node* node : {&primary_, &secondary_})
      EXPECT_TRUE(carry_out(*node, {.kind = Order::Kind::confirm_pair, .code = code})["ok"].get<bool>());
  }
  bool come_in_step() {
    return serve_until([&] { return primary_.show()["in_sync"] == true; });
  }
  void reload(Node& node, const std::string& toml) {
    const auto config = parse_config(toml, "f");
    ASSERT_TRUE(std::holds_alternative<Config>(config)) << std::get<std::string>(config);
    const auto wanted = node.agent_->reload(std::get<Config>(config), toml);
    ASSERT_TRUE(std::holds_alternative<Wanted>(wanted)) << std::get<std::string>(wanted);
    if (!std::get<Wanted>(wanted).now) return;  // the agent applies it
    node.in_force_ = std::get<Wanted>(wanted).config;
    node.agent_->follow(toml, {});
  }
  /// A POST to the secondary's door by whoever has that key, while both are served. `headers`: behind Content-Type.
  std::variant<Posted, std::string> post_by(const std::string& folder, const std::string& path, const std::string& body,
                                            std::uint16_t to = port, const std::string& headers = "") {
    const ClientTls tls{
        .certificate = folder + "/node.pem", .key = folder + "/node.key", .accept = [](const KeyHash&) { return ""; }};
    auto answer = std::async(std::launch::async, [&] {
      return post({address_of(1), to}, tls, path, body, std::chrono::seconds{30}, ("text/xml" + headers).c_str());
    });
    EXPECT_TRUE(serve_until([&] { return answer.wait_for(milliseconds{0}) == std::future_status::ready; }));
    return answer.get();
  }

  engine::test::TemporaryDirectory directory_;
  Node primary_{0, "primary", directory_}, secondary_{1, "secondary", directory_};
};

TEST(ConfigSyncKeys, EveryCertificateThatIsMadeCanBeRead) {
  const engine::test::TemporaryDirectory directory;
  for (int i = 0; i < 1000; ++i) {  // of serial numbers that may begin with any byte
    test::MemoryFiles files;
    ASSERT_EQ(make_own_key(files, "node.pem", "node.key", "a node"), "");
    std::ofstream{directory.file("node.pem")} << *files.read("node.pem");
    ASSERT_TRUE(key_of(directory.file("node.pem"))) << *files.read("node.pem");
  }
}

TEST_F(ConfigSyncAgent, TwoArePairedAndKeepOneConfiguration) {
  primary_.start(primary_.text(3600));
  secondary_.start(secondary_.text(7200));
  pair();
  ASSERT_TRUE(come_in_step()) << primary_.show().dump(1) << secondary_.log_;
  EXPECT_EQ(secondary_.established(), 3600);
  EXPECT_EQ(secondary_.show()["trust"], "paired");

  reload(primary_, primary_.text(1800));
  ASSERT_TRUE(serve_until([&] { return secondary_.established() == 1800; })) << primary_.show().dump(1);
  ASSERT_TRUE(come_in_step());
  EXPECT_EQ(primary_.established(), 1800);

  const Json compared = carry_out(primary_, {.kind = Order::Kind::diff});
  EXPECT_EQ(compared["sentence"], "both nodes hold the same") << compared.dump(1);
  EXPECT_TRUE(carry_out(primary_, {.kind = Order::Kind::push, .renew = true})["ok"].get<bool>());
  EXPECT_TRUE(carry_out(primary_, {.kind = Order::Kind::rollback, .generation = 1})["ok"].get<bool>());
  EXPECT_EQ(secondary_.established(), 3600);
  EXPECT_FALSE(carry_out(secondary_, {.kind = Order::Kind::push})["ok"].get<bool>());

  auto asked =
      std::async(std::launch::async, [&] { return primary_.agent_->compare("digest?", std::chrono::seconds{30}); });
  ASSERT_TRUE(serve_until([&] { return asked.wait_for(milliseconds{0}) == std::future_status::ready; }));
  EXPECT_EQ(std::get<std::string>(asked.get()), "answer to digest?");
  EXPECT_EQ(secondary_.compared_, 1);
  EXPECT_FALSE(secondary_.agent_->cannot_ask().empty());
}

TEST_F(ConfigSyncAgent, WhatTheSecondaryCannotTakeIsToldAndTriedAgain) {
  primary_.start(primary_.text(3600));
  secondary_.start(secondary_.text(7200));
  secondary_.refusal_ = "the daemon\nrefuses";
  pair();
  ASSERT_TRUE(serve_until([&] {
    return primary_.show()["error"].get<std::string>().find("refuses") != std::string::npos;
  })) << primary_.show().dump(1);
  EXPECT_EQ(secondary_.established(), 7200);
  secondary_.refusal_.clear();
  primary_.agent_->link_up();
  ASSERT_TRUE(come_in_step()) << primary_.show().dump(1);
  EXPECT_EQ(secondary_.established(), 3600);
  EXPECT_EQ(secondary_.log_.find("daemon\n"), std::string::npos) << "a record is one line: " << secondary_.log_;
}

TEST_F(ConfigSyncAgent, AnEpochBegunByOrderTakesAlongWhatTheOtherHasNotTakenYet) {
  primary_.start(primary_.text(3600));
  secondary_.start(secondary_.text(7200));
  pair();
  ASSERT_TRUE(come_in_step()) << primary_.show().dump(1);
  const std::string folder = primary_.state_dir_ + "/config-sync", backup = directory_.file("backup");
  std::filesystem::copy(folder, backup, std::filesystem::copy_options::recursive);
  for (const int established : {1800, 1700}) {
    reload(primary_, primary_.text(established));
    ASSERT_TRUE(serve_until([&] { return secondary_.established() == established; })) << primary_.show().dump(1);
  }
  ASSERT_TRUE(come_in_step());

  primary_.agent_.reset();
  std::filesystem::remove_all(folder);
  std::filesystem::copy(backup, folder, std::filesystem::copy_options::recursive);
  primary_.start(primary_.text(3600));
  const auto is_refused = [&] {
    return primary_.show()["error"].get<std::string>().find("push --renew") != std::string::npos;
  };
  ASSERT_TRUE(serve_until(is_refused)) << primary_.show().dump(1);
  reload(primary_, primary_.text(900));
  ASSERT_TRUE(serve_until(is_refused)) << primary_.show().dump(1);
  EXPECT_TRUE(carry_out(primary_, {.kind = Order::Kind::push, .renew = true})["ok"].get<bool>());
  EXPECT_EQ(primary_.established(), 900);
  EXPECT_EQ(secondary_.established(), 900);
}

TEST_F(ConfigSyncAgent, WhoeverIsNotPairedIsNotHeard) {
  primary_.start(primary_.text(3600));
  secondary_.start(secondary_.text(7200));
  DiskFiles strange{directory_.file("stranger")};
  ASSERT_EQ(make_own_key(strange, "node.pem", "node.key", "stranger"), "");
  const std::string stranger = directory_.file("stranger"), friendly = primary_.state_dir_ + "/config-sync";
  const auto refused = post_by(stranger, "/sync", "x");
  ASSERT_TRUE(std::holds_alternative<std::string>(refused));
  EXPECT_NE(std::get<std::string>(refused).find("key"), std::string::npos) << std::get<std::string>(refused);

  // While a pairing is open anybody reaches the door, and no further.
  EXPECT_TRUE(carry_out(secondary_, {.kind = Order::Kind::pair})["ok"].get<bool>());
  const auto status = [&](const std::string& folder, const std::string& path, const std::string& body) {
    const auto answer = post_by(folder, path, body);
    return std::holds_alternative<Posted>(answer) ? std::get<Posted>(answer).status : 0;
  };
  const auto fault = [&](const std::string& folder, const std::string& body) {
    const auto answer = post_by(folder, "/sync", body);
    if (!std::holds_alternative<Posted>(answer)) return std::int64_t{0};
    const auto read = xmlrpc::decode_response(std::get<Posted>(answer).body);
    return std::holds_alternative<xmlrpc::Fault>(read) ? std::get<xmlrpc::Fault>(read).code : std::int64_t{0};
  };
  EXPECT_EQ(status(stranger, "/nothing", "x"), 404);
  EXPECT_EQ(status(stranger, "/divergence", "x"), 403);
  EXPECT_EQ(status(stranger, "/sync", std::string(17 * 1024, 'x')), 413);
  EXPECT_EQ(fault(stranger, "<methodCall"), xmlrpc::fault_code::not_well_formed);
  EXPECT_EQ(fault(stranger, xmlrpc::encode_call("hasync.hello", {})), 100);
  EXPECT_TRUE(carry_out(secondary_, {.kind = Order::Kind::abort_pair})["ok"].get<bool>());
  pair();
  EXPECT_EQ(status(friendly, "/divergence", std::string(129 * 1024, 'x')), 413);
  EXPECT_EQ(fault(friendly, xmlrpc::encode_call("hasync.stage", {xmlrpc::Value{"x"}})),
            xmlrpc::fault_code::invalid_parameters);
  EXPECT_EQ(fault(friendly, "\xff"), xmlrpc::fault_code::not_well_formed);
  EXPECT_TRUE(come_in_step());
  for (const Agent::Count& count : secondary_.agent_->counts()) EXPECT_FALSE(count.sentence.empty());
}

TEST_F(ConfigSyncAgent, AFirewallIsHeardByItsPasswordAndRunsNothing) {
  constexpr std::uint16_t firewall_port = 8445;
  constexpr http::ScryptCost cheap{.log2_n = 4, .r = 8, .p = 1};
  secondary_.start(secondary_.text(7200));
  ASSERT_EQ(http::save_users(secondary_.state_dir_ + "/users", {{"fw", http::hash_password("long enough", cheap)}}),
            "");
  secondary_.start(secondary_.text(7200, "[config_sync.compat]\nlisten = \"" + address_of(1) + ":" +
                                             std::to_string(firewall_port) + "\"\nuser = \"fw\"\n"));
  const auto ask = [&](const std::string& password, const std::string& body) -> xmlrpc::ResponseResult {
    const std::string header = "\r\nAuthorization: Basic " + to_base64("fw:" + password);
    const auto answer = post_by(secondary_.state_dir_ + "/config-sync", "/xmlrpc.php", body, firewall_port, header);
    const auto* posted = std::get_if<Posted>(&answer);
    return posted == nullptr ? xmlrpc::ResponseResult{xmlrpc::Broken{std::get<std::string>(answer)}}
                             : xmlrpc::decode_response(posted->body);
  };
  const std::string none =
      xmlrpc::encode_call("pfsense.restore_config_section",
                          {xmlrpc::Value{xmlrpc::Value::Struct{{"virtualip", xmlrpc::Value{xmlrpc::Value::Array{}}}}}});
  EXPECT_TRUE(std::holds_alternative<xmlrpc::Value>(ask("long enough", none)));
  EXPECT_TRUE(std::holds_alternative<xmlrpc::Fault>(ask("wrong", none)));  // whoever guesses first makes all wait
  EXPECT_EQ(secondary_.show()["compat"]["calls"], 1);
  EXPECT_EQ(secondary_.show()["compat"]["in_force"]["generation"], 1);
  EXPECT_TRUE(
      std::holds_alternative<xmlrpc::Fault>(ask("long enough", xmlrpc::encode_call("pfsense.exec_php", {"x"}))));
  EXPECT_TRUE(std::holds_alternative<xmlrpc::Fault>(ask("long enough", xmlrpc::encode_call("a\nb", {}))));
  EXPECT_TRUE(std::holds_alternative<xmlrpc::Fault>(ask("long enough", "<methodCall")));
  EXPECT_FALSE(secondary_.show()["alarms"].empty());
}

TEST_F(ConfigSyncAgent, AnEndInTheMidstOfAPairingOrAPushIsClean) {
  primary_.start(primary_.text(3600));
  secondary_.start(secondary_.text(7200));
  pair();
  primary_.agent_.reset();  // with a push on its way
  secondary_.agent_.reset();
  secondary_.start(secondary_.text(7200));
  primary_.start(primary_.text(3600));
  EXPECT_TRUE(come_in_step()) << primary_.show().dump(1) << secondary_.show().dump(1);
  EXPECT_EQ(secondary_.established(), 3600);
}

}  // namespace
}  // namespace pfsync::engine::config_sync
