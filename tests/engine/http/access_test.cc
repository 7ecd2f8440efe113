#include "engine/http/access.h"
#include "engine/base64.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/http/audit.h"
#include "engine/http/words.h"
#include "tests/engine/temporary_directory.h"

namespace pfsync::engine::http {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using Clock = Access::Clock;

constexpr ScryptCost cheap{.log2_n = 4, .r = 8, .p = 1};
constexpr const char* password = "a long enough one";

std::string basic(const std::string& credentials) { return "Basic " + to_base64(credentials); }

class AccessTest : public ::testing::Test {
 protected:
  AccessTest() { save({{"ada", hash_password(password, cheap)}}); }

  void save(const Users& users) const { ASSERT_EQ(save_users(file_, users), ""); }
  Access make(bool anyone_reads = true) {
    return {{.users_file = file_,
             .anyone_reads = anyone_reads,
             .session = minutes{10},
             .names = {"fw.example", "*.wild.example"},
             .cost = cheap},
            [this](const std::string& sentence) { logged_ += sentence + "\n"; }};
  }
  static Request request(const std::string& method = "GET", const std::string& address = "192.0.2.1") {
    Request made;
    made.method = method;
    made.path = "/api/command";
    made.address = address;
    made.local_port = 8443;
    made.headers = {{"Host", "fw.example:8443"}};
    return made;
  }
  /// A request with the cookie of a new session.
  Request with_session(Access& access, const std::string& method = "POST") {
    const auto result = access.login(request("POST"), "ada", password, now_);
    const auto* login = std::get_if<Access::Login>(&result);
    EXPECT_NE(login, nullptr);
    Request made = request(method);
    if (login != nullptr) made.headers.emplace_back("Cookie", "x=y; __Host-pfsyncd-8443=" + login->token);
    return made;
  }
  Identity who(Access& access, const Request& asked) {
    const auto result = access.identify(asked, now_);
    const auto* identity = std::get_if<Identity>(&result);
    return identity == nullptr ? Identity{} : *identity;
  }
  static int status(const std::optional<Response>& refused) { return refused ? refused->status : 0; }

  test::TemporaryDirectory folder_;
  std::string file_ = folder_.file("users");
  std::string logged_;
  Clock::time_point now_ = Clock::now();
};

TEST_F(AccessTest, ASessionChangesThingsOnlyWithItsToken) {
  Access access = make();
  Request asked = with_session(access);
  const Identity identity = who(access, asked);
  EXPECT_EQ(identity.user, "ada");
  EXPECT_EQ(identity.proof, Proof::session);
  EXPECT_EQ(status(Access::refuse_change(asked, identity)), 403) << "no token";
  asked.headers.emplace_back("X-CSRF-Token", std::string(64, '0'));
  EXPECT_EQ(status(Access::refuse_change(asked, identity)), 403) << "another token";
  asked.headers.back().second = identity.csrf;
  EXPECT_EQ(status(Access::refuse_change(asked, identity)), 0);
}

TEST_F(AccessTest, AFirewallsUserIsNobodyHere) {
  save({{"ada", hash_password(password, cheap)}, {"hasync", hash_password(password, cheap)}});
  Access access{{.users_file = file_, .session = minutes{10}, .names = {}, .firewall_user = "hasync", .cost = cheap},
                [](const std::string&) {}};
  const auto login = access.login(request("POST"), "hasync", password, now_);
  const auto* refused = std::get_if<Response>(&login);
  ASSERT_NE(refused, nullptr);
  EXPECT_EQ(refused->status, 403);
  EXPECT_NE(refused->body.find("make another one by pfsyncctl user add"), std::string::npos) << refused->body;
  EXPECT_EQ(access.sessions(), 0u);
  Request asked = request();
  asked.headers.emplace_back("Authorization", basic("hasync:" + std::string{password}));
  for (int i = 0; i < 2; ++i) {
    const auto look = access.identify(asked, now_ + seconds{10 * i});
    ASSERT_TRUE(std::holds_alternative<Response>(look));
    EXPECT_EQ(std::get<Response>(look).status, 403);
  }
  const auto wrong = access.login(request("POST"), "hasync", "not its password", now_ + seconds{60});
  EXPECT_EQ(std::get<Response>(wrong).status, 401) << "as of anybody";
  EXPECT_TRUE(std::holds_alternative<Access::Login>(
      access.login(request("POST", "192.0.2.9"), "ada", password, now_ + seconds{120})));
}

TEST_F(AccessTest, WhatAnotherSiteSendsChangesNothing) {
  Access access = make();
  Request asked = with_session(access);
  const Identity identity = who(access, asked);
  asked.headers.emplace_back("X-CSRF-Token", identity.csrf);
  asked.headers.emplace_back("Origin", "https://fw.example:8443");
  EXPECT_EQ(status(Access::refuse_change(asked, identity)), 0);
  for (const char* other : {"https://evil.example", "https://fw.example", "https://fw.example:8444", "null",
                            "http://fw.example:8443", "https://fw.example:8443.evil.example"}) {
    asked.headers.back().second = other;
    EXPECT_EQ(status(Access::refuse_change(asked, identity)), 403) << other;
  }
  asked.headers.back() = {"Sec-Fetch-Site", "same-site"};
  EXPECT_EQ(status(Access::refuse_change(asked, identity)), 403);
}

TEST_F(AccessTest, ANameThatIsNotOursIsRefused) {
  Access access = make();
  Request asked = request();
  for (const char* host :
       {"fw.example", "FW.example:8443", "localhost:1", "192.0.2.1", "[2001:db8::1]:8443", "a.wild.example"}) {
    asked.headers[0].second = host;
    EXPECT_EQ(status(access.refuse_host(asked)), 0) << host;
  }
  for (const char* host : {"evil.example", "", "fw.example.evil.example", "127.0.0.1.evil.example", "wild.example",
                           "a.b.wild.example", ".wild.example"}) {
    asked.headers[0].second = host;
    EXPECT_EQ(status(access.refuse_host(asked)), 421) << host;
  }
}

TEST_F(AccessTest, ASessionEndsByTimeByItsUserAndByLogout) {
  Access access = make();
  Request asked = with_session(access, "GET");
  now_ += minutes{9};
  EXPECT_EQ(who(access, asked).user, "ada") << "looking";
  now_ += minutes{2};
  EXPECT_EQ(who(access, asked).user, "") << "looking does not keep it alive";

  asked = with_session(access, "POST");
  for (int i = 0; i < 81; ++i, now_ += minutes{9}) static_cast<void>(who(access, asked));
  EXPECT_EQ(who(access, asked).user, "") << "twelve hours are the longest, whatever is done";

  asked = with_session(access);
  access.logout(asked);
  EXPECT_EQ(who(access, asked).user, "");

  asked = with_session(access);
  save({{"ada", hash_password("quite another one", cheap)}});
  EXPECT_EQ(who(access, asked).user, "") << "another password ends the sessions of before";

  save({});
  EXPECT_FALSE(access.has_users());
}

TEST_F(AccessTest, AFileThatCannotBeReadLetsNobodyIn) {
  Access access = make();
  const Request asked = with_session(access);
  std::ofstream{file_} << "ada:plain:secret\n";
  EXPECT_EQ(who(access, asked).user, "");
  EXPECT_NE(logged_.find("users:1: "), std::string::npos) << logged_;
}

TEST_F(AccessTest, WrongPasswordsWaitLongerAndLonger) {
  Access access = make();
  const auto tried = [&](const char* given, const char* user = "ada") {
    const auto result = access.login(request("POST"), user, given, now_);
    const auto* refused = std::get_if<Response>(&result);
    return refused == nullptr ? 200 : refused->status;
  };
  EXPECT_EQ(tried("wrong"), 401);
  EXPECT_EQ(tried(password), 429) << "not even the right one, at once";
  for (const int wait : {1, 2, 4, 8, 16, 32, 60, 60}) {
    now_ += seconds{wait} - std::chrono::milliseconds{1};
    EXPECT_EQ(tried("wrong", "nobody"), 429) << wait;
    now_ += std::chrono::milliseconds{1};
    EXPECT_EQ(tried("wrong", "nobody"), 401) << wait;
  }
  now_ += seconds{60};
  EXPECT_EQ(tried(password), 200);
  EXPECT_EQ(tried("wrong"), 401) << "and it begins anew";
}

TEST_F(AccessTest, AllSourcesTogetherTryOnlySoOften) {
  LoginLimit limit{1, 10, 4};
  unsigned tried = 0;
  for (int i = 0; i < 100; ++i)
    if (!limit.begin("10.0.0." + std::to_string(i), now_)) ++tried;
  EXPECT_EQ(tried, 10u);
  EXPECT_EQ(limit.size(), 4u) << "places are bounded";
  EXPECT_FALSE(limit.begin("10.0.1.1", now_ + seconds{1}).has_value());
}

TEST_F(AccessTest, RightPasswordsUseNothingUp) {
  LoginLimit limit{1, 10, 4};
  for (int i = 0; i < 100; ++i) {
    const std::string source = "10.0.0." + std::to_string(i);
    ASSERT_FALSE(limit.begin(source, now_).has_value()) << i;
    limit.succeeded(source, now_);
  }
  unsigned tried = 0;
  for (int i = 0; i < 100; ++i)
    if (!limit.begin("10.0.1." + std::to_string(i), now_)) ++tried;
  EXPECT_EQ(tried, 10u) << "nor do they make room for more wrong ones";
}

TEST_F(AccessTest, BasicIsForLookingOnly) {
  Access access = make(false);
  EXPECT_EQ(status(access.refuse_read(who(access, request()))), 401);
  Request asked = request();
  asked.headers.emplace_back("Authorization", basic(std::string{"ada:"} + password));
  const Identity identity = who(access, asked);
  EXPECT_EQ(identity.proof, Proof::basic);
  EXPECT_EQ(status(access.refuse_read(identity)), 0);
  EXPECT_EQ(status(Access::refuse_change(asked, identity)), 401);
  asked.method = "POST";
  EXPECT_EQ(who(access, asked).proof, Proof::none);
  asked = request();
  asked.headers.emplace_back("Authorization", basic("ada:wrong"));
  EXPECT_EQ(std::get<Response>(access.identify(asked, now_)).status, 401);
  EXPECT_EQ(std::get<Response>(access.identify(asked, now_)).status, 429);
}

TEST_F(AccessTest, ACertificateNeedsNoTokenUnlessABrowserShowsIt) {
  Access access = make(false);
  Request asked = request("POST");
  asked.certificate = PeerCertificate{.common_name = "prometheus"};
  const Identity identity = who(access, asked);
  EXPECT_EQ(identity.user, "prometheus");
  EXPECT_EQ(status(access.refuse_read(identity)), 0);
  EXPECT_EQ(status(Access::refuse_change(asked, identity)), 0);
  asked.headers.emplace_back("Origin", "https://fw.example:8443");
  EXPECT_EQ(status(Access::refuse_change(asked, identity)), 403);
  asked.headers.emplace_back("X-CSRF-Token", identity.csrf);
  EXPECT_EQ(status(Access::refuse_change(asked, identity)), 0);
}

TEST(SessionsTest, OneTooManyEndsTheOneUnusedForLongest) {
  Sessions sessions{minutes{60}};
  const auto now = Clock::now();
  std::vector<std::string> tokens;
  for (std::size_t i = 0; i <= Sessions::count_max; ++i) tokens.push_back(sessions.begin("u", now + seconds{i}).token);
  EXPECT_EQ(sessions.size(), Sessions::count_max);
  const auto later = now + seconds{100};
  EXPECT_FALSE(sessions.find(tokens[0], later, false).has_value());
  EXPECT_TRUE(sessions.find(tokens[1], later, false).has_value());
  EXPECT_EQ(tokens[1].size(), 64u);
}

TEST(ThrottleTest, ASourceHasItsRateAndAllPlacesAreBounded) {
  Throttle throttle{10, 20, 4};
  const auto now = Clock::now();
  int taken = 0;
  for (int i = 0; i < 100; ++i) taken += throttle.take("a", now) ? 1 : 0;
  EXPECT_EQ(taken, 20);
  EXPECT_TRUE(throttle.take("a", now + seconds{1}));
  taken = 0;
  for (int i = 0; i < 1000; ++i) taken += throttle.take("x" + std::to_string(i), now) ? 1 : 0;
  EXPECT_EQ(throttle.size(), 4u);
  EXPECT_EQ(taken, 23) << "three with a place, and the others share one";
  EXPECT_TRUE(throttle.take("late", now + seconds{60})) << "who has been quiet gives up the place";
}

TEST(ThrottleTest, AnIpv6NetworkIsOneSource) {
  EXPECT_EQ(source_of("2001:db8:1:2:3:4:5:6"), source_of("2001:db8:1:2::1"));
  EXPECT_NE(source_of("2001:db8:1:2::1"), source_of("2001:db8:1:3::1"));
  EXPECT_EQ(source_of("::ffff:192.0.2.1"), "192.0.2.1");
}

TEST(UsersTest, AFileIsReadableByItsOwnerAloneAndReadsTheSame) {
  const test::TemporaryDirectory folder;
  const std::string file = folder.file("a/users");
  const Users users{{"ada", hash_password("12345678", cheap)}, {"bob", hash_password("12345678", cheap)}};
  EXPECT_NE(users.at("ada").key, users.at("bob").key) << "salted";
  ASSERT_EQ(save_users(file, users), "");
  struct stat there {};
  ASSERT_EQ(stat(file.c_str(), &there), 0);
  EXPECT_EQ(there.st_mode & 0777u, 0600u);
  EXPECT_EQ(std::get<Users>(load_users(file)), users);
  EXPECT_TRUE(verifies(users.at("ada"), "12345678"));
  EXPECT_FALSE(verifies(users.at("ada"), "12345679"));
  EXPECT_TRUE(std::get<Users>(load_users(folder.file("none"))).empty());
}

TEST(UsersTest, ALineThatIsNoUserIsNamed) {
  const std::string good = users_text({{"ada", hash_password("12345678", cheap)}});
  EXPECT_TRUE(std::holds_alternative<Users>(parse_users("# a comment\n\n" + good, "f")));
  for (const std::string& bad : {good + good, std::string{"ada\n"}, "a b" + good,
                                 "ada:scrypt:30:8:1:AA==:AA==\n" + good, good.substr(0, good.size() - 3)}) {
    const auto parsed = parse_users(bad, "f");
    ASSERT_TRUE(std::holds_alternative<std::string>(parsed)) << bad;
    EXPECT_EQ(std::get<std::string>(parsed).substr(0, 2), "f:");
  }
}

TEST(AuditTest, SecretsAreMaskedAndOldLinesGoByFiles) {
  EXPECT_EQ(masked({{"password", "x"}, {"a", {{{"Key", 1}, {"vhid", 2}}}}, {"csrf_token", "x"}}).dump(),
            R"({"password":"***","a":[{"Key":"***","vhid":2}],"csrf_token":"***"})");
  const test::TemporaryDirectory folder;
  const std::string file = folder.file("audit.log");
  constexpr std::size_t bytes_max = 1000;
  AuditFile audit{file, bytes_max, 2};
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(audit.record({{"number", i}}));
  std::vector<int> numbers;
  for (const char* suffix : {".2", ".1", ""}) {
    EXPECT_LE(std::filesystem::file_size(file + suffix), bytes_max);
    std::ifstream in{file + suffix};
    for (std::string line; std::getline(in, line);) numbers.push_back(nlohmann::json::parse(line)["number"]);
  }
  ASSERT_FALSE(numbers.empty());
  for (std::size_t i = 0; i < numbers.size(); ++i) EXPECT_EQ(numbers[i], 100 - static_cast<int>(numbers.size() - i));
  EXPECT_FALSE(std::filesystem::exists(file + ".3"));
  struct stat there {};
  ASSERT_EQ(stat(file.c_str(), &there), 0);
  EXPECT_EQ(there.st_mode & 0777u, 0600u);
}

TEST(AuditTest, SeveralAddToOneFileWhoeverRenamesIt) {
  const test::TemporaryDirectory folder;
  const std::string file = folder.file("audit.log");
  AuditFile one{file, 300, 3}, other{file, 300, 3};
  const auto lines_of = [](const std::string& name) {
    std::ifstream in{name};
    std::string line;
    std::size_t count = 0;
    for (; std::getline(in, line); ++count)
      if (!nlohmann::json::accept(line)) ADD_FAILURE() << line;
    return count;
  };
  std::size_t written = 0;
  for (; written < 10; ++written) {
    ASSERT_TRUE(one.record({{"by", "one"}, {"text", std::string(30, 'a')}}));
    ASSERT_TRUE(other.record({{"by", "other"}, {"text", std::string(30, 'b')}}));
    if (std::filesystem::exists(file + ".1")) break;
  }
  ASSERT_TRUE(std::filesystem::exists(file + ".1"));
  const std::size_t old_lines = lines_of(file + ".1"), lines = lines_of(file);
  ASSERT_TRUE(one.record({{"by", "one"}}));
  ASSERT_TRUE(other.record({{"by", "other"}}));
  EXPECT_EQ(lines_of(file + ".1"), old_lines) << "nobody adds to the old one";
  EXPECT_EQ(lines_of(file), lines + 2);
}

}  // namespace
}  // namespace pfsync::engine::http
