#include "engine/http/listener.h"

#include <gtest/gtest.h>
#include <httplib.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "engine/http/api.h"
#include "engine/http/connection.h"
#include "engine/http/words.h"
#include "tests/engine/temporary_directory.h"

namespace pfsync::engine::http {
namespace {

using namespace std::string_literals;
using std::chrono::milliseconds;

/// A client that says what it likes, over a connection of its own.
class Raw {
 public:
  explicit Raw(std::uint16_t port, int tls_max = TLS1_3_VERSION, const char* from = "127.0.0.1")
      : context_{SSL_CTX_new(TLS_client_method()), SSL_CTX_free} {
    SSL_CTX_set_max_proto_version(context_.get(), tls_max);
    if (tls_max < TLS1_2_VERSION) {
      SSL_CTX_set_min_proto_version(context_.get(), TLS1_VERSION);
      SSL_CTX_set_cipher_list(context_.get(), "ALL:@SECLEVEL=0");
    }
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in own{}, there{};
    own.sin_family = there.sin_family = AF_INET;
    inet_pton(AF_INET, from, &own.sin_addr);
    inet_pton(AF_INET, "127.0.0.1", &there.sin_addr);
    there.sin_port = htons(port);
    const timeval patience{20, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    connected_ = bind(fd_, reinterpret_cast<sockaddr*>(&own), sizeof own) == 0 &&
                 connect(fd_, reinterpret_cast<sockaddr*>(&there), sizeof there) == 0;
  }
  ~Raw() {
    SSL_free(ssl_);
    close(fd_);
  }
  Raw(const Raw&) = delete;
  Raw& operator=(const Raw&) = delete;

  bool use(const std::string& certificate, const std::string& key) {
    return SSL_CTX_use_certificate_chain_file(context_.get(), certificate.c_str()) == 1 &&
           SSL_CTX_use_PrivateKey_file(context_.get(), key.c_str(), SSL_FILETYPE_PEM) == 1;
  }
  bool shake() {
    ssl_ = SSL_new(context_.get());
    SSL_set_fd(ssl_, fd_);
    return connected_ && SSL_connect(ssl_) == 1;
  }
  bool send(const std::string& bytes) {
    return SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size())) == static_cast<int>(bytes.size());
  }
  /// All up to the end, or to `enough`.
  std::string read(const std::string& enough = "\xff\xff") {
    std::string all;
    std::array<char, 4096> room;
    while (all.find(enough) == std::string::npos) {
      const int got = SSL_read(ssl_, room.data(), static_cast<int>(room.size()));
      if (got <= 0) break;
      all.append(room.data(), static_cast<std::size_t>(got));
    }
    return all;
  }

 private:
  std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context_;
  int fd_ = -1;
  SSL* ssl_ = nullptr;
  bool connected_ = false;
};

class ListenerTest : public ::testing::Test {
 protected:
  ListenerTest() {
    std::signal(SIGPIPE, SIG_IGN);
    EXPECT_EQ(make_self_signed(certificate_, key_, {"192.0.2.7"}), "");
    settings_.address = "127.0.0.1";
    settings_.tls.certificate = certificate_;
    settings_.tls.key = key_;
    settings_.limits.workers = 4;
  }
  void start(
      Handler handler =
          [](const Request& request) {
            return Response{.body = request.method + " " + request.path + " " + request.body};
          },
      Doorkeeper doorkeeper = {}) {
    const auto log = [this](const std::string& sentence) {
      const std::lock_guard lock{mutex_};
      logged_ += sentence + "\n";
    };
    auto made = Listener::create(settings_, std::move(handler), log, std::move(doorkeeper));
    ASSERT_TRUE(std::holds_alternative<std::unique_ptr<Listener>>(made)) << std::get<std::string>(made);
    listener_ = std::move(std::get<std::unique_ptr<Listener>>(made));
  }
  std::string logged() {
    const std::lock_guard lock{mutex_};
    return logged_;
  }
  std::uint64_t count(std::string_view word) const {
    for (const Listener::Count& count : listener_->counts())
      if (count.word == word) return count.value;
    ADD_FAILURE() << word;
    return 0;
  }
  /// Waits, since the listener counts when it has answered.
  bool counts_to(std::string_view word, std::uint64_t wanted) const {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{20};
    while (count(word) < wanted && std::chrono::steady_clock::now() < until)
      std::this_thread::sleep_for(milliseconds{5});
    return count(word) == wanted;
  }
  void expect_log(const std::string& words) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{20};
    while (logged().find(words) == std::string::npos && std::chrono::steady_clock::now() < until)
      std::this_thread::sleep_for(milliseconds{5});
    EXPECT_NE(logged().find(words), std::string::npos) << logged();
  }

  test::TemporaryDirectory folder_;
  std::string certificate_ = folder_.file("certificate.pem"), key_ = folder_.file("key.pem");
  ListenerSettings settings_;
  std::mutex mutex_;
  std::string logged_;
  std::unique_ptr<Listener> listener_;
};

TEST_F(ListenerTest, AHttpClientIsServedAgainAndAgainOnOneConnection) {
  start();
  httplib::SSLClient client{"127.0.0.1", listener_->port()};
  client.enable_server_certificate_verification(false);
  client.set_keep_alive(true);
  const auto got = client.Get("/a%20b?x=1");
  ASSERT_TRUE(got);
  EXPECT_EQ(got->status, 200);
  EXPECT_EQ(got->body, "GET /a b ");
  const auto posted = client.Post("/c", "body", "text/plain");
  ASSERT_TRUE(posted);
  EXPECT_EQ(posted->body, "POST /c body");
  EXPECT_EQ(count("http_connections"), 1u);
  EXPECT_EQ(count("http_requests"), 2u);
}

TEST_F(ListenerTest, ItsCertificateIsForItsNamesAndMadeOnce) {
  const std::string before = fingerprint_of(certificate_);
  EXPECT_EQ(before.size(), 32u * 3 - 1);
  ASSERT_EQ(make_self_signed(certificate_, key_, {"192.0.2.7"}), "");
  EXPECT_EQ(fingerprint_of(certificate_), before) << "it is kept";
  const auto names = names_of(certificate_);
  EXPECT_NE(std::find(names.begin(), names.end(), "localhost"), names.end());
  ASSERT_EQ(make_self_signed(certificate_, key_, {"localhost", "not a name"}), "");
  EXPECT_EQ(fingerprint_of(certificate_), before) << "it is for all names that there are";
  struct stat there {};
  ASSERT_EQ(stat(key_.c_str(), &there), 0);
  EXPECT_EQ(there.st_mode & 0777u, 0600u);
}

TEST_F(ListenerTest, ItsCertificateIsMadeAnewForAnotherAddress) {
  const std::string before = fingerprint_of(certificate_);
  ASSERT_EQ(make_self_signed(certificate_, key_, {"2001:DB8:0::7"}), "");
  const std::string after = fingerprint_of(certificate_);
  EXPECT_NE(after, before) << "clients that look at names would refuse the old one";
  ASSERT_EQ(make_self_signed(certificate_, key_, {"2001:db8::7"}), "");
  EXPECT_EQ(fingerprint_of(certificate_), after) << "the same address in other words";
}

TEST_F(ListenerTest, OldTlsAndNoTlsAreRefusedAndSaidWhy) {
  start();
  Raw old{listener_->port(), TLS1_1_VERSION};
  EXPECT_FALSE(old.shake());
  expect_log("127.0.0.1 was refused: it speaks TLS 1.1 at most, too old for this door: TLS 1.2 is needed (TLS: ");
  Raw middle{listener_->port(), TLS1_2_VERSION};
  EXPECT_TRUE(middle.shake());
  settings_.tls.only_1_3 = true;
  start();
  Raw second{listener_->port(), TLS1_2_VERSION};
  EXPECT_FALSE(second.shake());
  expect_log("it speaks TLS 1.2 at most, too old for this door: TLS 1.3 is needed");
  EXPECT_TRUE(counts_to("http_handshakes_failed", 1));
}

TEST_F(ListenerTest, WhatIsTooLargeOrMalformedIsRefusedAndEndsTheConnection) {
  settings_.limits.head_bytes = 1000;
  settings_.limits.body_bytes = 1000;
  start([](const Request&) -> Response { throw std::runtime_error{"not to be said"}; });
  for (const auto& [bytes, status] : {std::pair{"GET / HTTP/1.1\r\nHost: x\r\nX: "s + std::string(1200, 'a'), "431"},
                                      std::pair{"\x16\x03\x01\r\n\r\n"s, "400"},
                                      std::pair{"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n"s, "413"},
                                      std::pair{"PUT / HTTP/1.1\r\nHost: x\r\n\r\n"s, "405"}}) {
    Raw client{listener_->port()};
    ASSERT_TRUE(client.shake());
    ASSERT_TRUE(client.send(bytes));
    const std::string answer = client.read();
    EXPECT_EQ(answer.substr(0, 12), std::string{"HTTP/1.1 "} + status) << answer;
    EXPECT_NE(answer.find("\"ok\":false"), std::string::npos);
  }
  Raw client{listener_->port()};
  ASSERT_TRUE(client.shake());
  ASSERT_TRUE(client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
  const std::string answer = client.read();
  EXPECT_EQ(answer.substr(0, 12), "HTTP/1.1 500");
  EXPECT_EQ(answer.find("not to be said"), std::string::npos) << "what went wrong inside is nobody's";
  EXPECT_TRUE(counts_to("http_requests_bad", 4));
  EXPECT_TRUE(counts_to("http_requests_denied", 1));
}

TEST_F(ListenerTest, PipelinedRequestsAreAnsweredInTheirOrder) {
  start();
  Raw client{listener_->port()};
  ASSERT_TRUE(client.shake());
  ASSERT_TRUE(
      client.send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nPOST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nb"
                  "GET /3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
  const std::string answers = client.read();
  const std::size_t first = answers.find("GET /1"), second = answers.find("POST /2 b"), third = answers.find("GET /3");
  EXPECT_LT(first, second);
  EXPECT_LT(second, third);
  EXPECT_NE(third, std::string::npos) << answers;
}

TEST_F(ListenerTest, AClientThatWaitsForLeaveGetsItBeforeItsBody) {
  start();
  Raw client{listener_->port()};
  ASSERT_TRUE(client.shake());
  for (const char* path : {"/1", "/2"}) {
    ASSERT_TRUE(
        client.send("POST "s + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"));
    EXPECT_EQ(client.read("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    ASSERT_TRUE(client.send("body"));
    const std::string answer = client.read("body");
    EXPECT_EQ(answer.substr(0, 12), "HTTP/1.1 200");
    EXPECT_NE(answer.find("POST "s + path + " body"), std::string::npos) << answer;
  }
  // What is refused is refused at once, in place of the leave.
  ASSERT_TRUE(client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n\r\n"));
  EXPECT_EQ(client.read().substr(0, 12), "HTTP/1.1 413");
}

TEST_F(ListenerTest, ChunksAreABody) {
  start();
  Raw client{listener_->port()};
  ASSERT_TRUE(client.shake());
  const std::string head = "POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n";
  ASSERT_TRUE(client.send(head + "\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n" + head + "Expect: 100-continue\r\n\r\n"));
  const std::string answers = client.read("100 Continue\r\n\r\n");
  EXPECT_NE(answers.find("POST /c body"), std::string::npos) << answers;
  ASSERT_TRUE(client.send("2\r\nok\r\n0\r\n\r\n" + head + "\r\nnonsense\r\n"));
  const std::string last = client.read();
  EXPECT_NE(last.find("POST /c ok"), std::string::npos) << last;
  EXPECT_NE(last.find("HTTP/1.1 400"), std::string::npos) << last;
  EXPECT_TRUE(counts_to("http_requests_bad", 1));
}

TEST_F(ListenerTest, WhoeverIsSentAwayIsNotReadOn) {
  settings_.limits.body_bytes = std::size_t{64} * 1024 * 1024;
  std::atomic<unsigned> handled{0};
  start(
      [&](const Request&) {
        ++handled;
        return Response{};
      },
      [](const Request& request) -> std::optional<Response> {
        if (request.header("Authorization") == "Basic good") return std::nullopt;
        return Response{.content_type = "text/plain", .body = "not you at " + request.path};
      });
  const std::string large = "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 60000000\r\n";
  {  // one that waits is answered at once
    Raw waiting{listener_->port()};
    ASSERT_TRUE(waiting.shake());
    ASSERT_TRUE(waiting.send(large + "Expect: 100-continue\r\n\r\n"));
    const std::string answer = waiting.read();
    EXPECT_EQ(answer.substr(0, 12), "HTTP/1.1 200") << answer;
    EXPECT_NE(answer.find("\r\n\r\nnot you at /p"), std::string::npos) << answer;
  }
  {  // one that goes on and on is cut off long before its end
    Raw rude{listener_->port()};
    ASSERT_TRUE(rude.shake());
    ASSERT_TRUE(rude.send(large + "\r\n"));
    const std::string piece(10'000, 'a');
    unsigned sent = 0;
    while (sent < 6000 && rude.send(piece)) ++sent;
    EXPECT_LT(sent, 6000u) << "pieces of 10,000 bytes that it took";
  }
  {  // one that had a little to say comes to hear why
    Raw small{listener_->port()};
    ASSERT_TRUE(small.shake());
    ASSERT_TRUE(small.send("POST /s HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n" + std::string(10'000, 'a')));
    ASSERT_TRUE(small.send(std::string(10'000, 'a')));
    EXPECT_NE(small.read().find("not you at /s"), std::string::npos);
  }
  EXPECT_TRUE(counts_to("http_sent_away", 3));
  EXPECT_EQ(handled, 0u);
  EXPECT_EQ(count("http_requests"), 0u) << "none of them was taken";
  Raw good{listener_->port()};
  ASSERT_TRUE(good.shake());
  ASSERT_TRUE(good.send("POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic good\r\nContent-Length: 1\r\n\r\na"));
  EXPECT_EQ(good.read("\r\n\r\n").substr(0, 12), "HTTP/1.1 200");
  EXPECT_EQ(handled, 1u);
}

TEST_F(ListenerTest, ASlowClientIsGivenUp) {
  settings_.limits.request = milliseconds{100};
  settings_.limits.handshake = milliseconds{100};
  start();
  Raw silent{listener_->port()};
  Raw slow{listener_->port()};
  ASSERT_TRUE(slow.shake());
  ASSERT_TRUE(slow.send("GET / HTTP/1.1\r\nHost"));
  EXPECT_EQ(slow.read(), "");
  expect_log("the TLS handshake took too long");
  EXPECT_TRUE(counts_to("http_timed_out", 1));
}

TEST_F(ListenerTest, AnAddressHasItsShareAndOthersAreServed) {
  settings_.limits.per_address = 2;
  start();
  Raw first{listener_->port(), TLS1_3_VERSION, "127.0.0.2"}, second{listener_->port(), TLS1_3_VERSION, "127.0.0.2"};
  ASSERT_TRUE(first.shake());
  ASSERT_TRUE(second.shake());
  Raw third{listener_->port(), TLS1_3_VERSION, "127.0.0.2"};
  EXPECT_FALSE(third.shake());
  EXPECT_TRUE(counts_to("http_refused_source", 1));
  Raw other{listener_->port()};
  EXPECT_TRUE(other.shake());
}

TEST_F(ListenerTest, AnIdleConnectionGivesWayToOneThatWaits) {
  settings_.limits.workers = 1;
  settings_.limits.idle = std::chrono::minutes{10};
  start();
  Raw idle{listener_->port()};
  ASSERT_TRUE(idle.shake());
  ASSERT_TRUE(idle.send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\n"));
  ASSERT_NE(idle.read("GET /1"), "");
  Raw next{listener_->port()};
  EXPECT_TRUE(next.shake());
  EXPECT_EQ(idle.read(), "");
}

TEST_F(ListenerTest, RequestsAboveTheRateAreRefused) {
  settings_.limits.requests_per_s = 1;
  start();
  Raw client{listener_->port()};
  ASSERT_TRUE(client.shake());
  std::string answers;
  for (int i = 0; i < 20 && client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n"); ++i) {
  }
  answers = client.read();
  EXPECT_NE(answers.find("HTTP/1.1 429"), std::string::npos) << answers;
  EXPECT_TRUE(counts_to("http_refused_rate", 1));
}

TEST_F(ListenerTest, AClientCertificateIsJudgedByItsPin) {
  const std::string other = folder_.file("other.pem"), other_key = folder_.file("other-key.pem");
  ASSERT_EQ(make_self_signed(other, other_key, {}), "");
  std::atomic<bool> taken{false};
  PeerCertificate wanted;
  settings_.tls.client = TlsSettings::Client::required;
  settings_.tls.only_1_3 = true;
  settings_.tls.accept = [&](const PeerCertificate& shown) {
    const std::string digits = fingerprint_of(certificate_);
    std::string text;
    for (const std::uint8_t byte : shown.content) text += (text.empty() ? "" : ":") + hex({&byte, 1});
    taken = lower(digits) == text;
    return taken ? ""s : "this key is not the paired node's"s;
  };
  start([](const Request& request) {
    return Response{.body = request.certificate ? request.certificate->common_name : "nobody"};
  });
  // In TLS 1.3 the client hears of the refusal when it reads.
  const std::string ask = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  Raw right{listener_->port()};
  ASSERT_TRUE(right.use(certificate_, key_) && right.shake() && right.send(ask));
  EXPECT_NE(right.read().find("\r\n\r\npfsyncd"), std::string::npos);
  Raw wrong{listener_->port()};
  ASSERT_TRUE(wrong.use(other, other_key));
  EXPECT_EQ(wrong.shake() && wrong.send(ask) ? wrong.read() : "", "");
  expect_log("this key is not the paired node's");
  Raw none{listener_->port()};
  EXPECT_EQ(none.shake() && none.send(ask) ? none.read() : "", "");
  expect_log("it has shown no certificate, and only those with one come in (TLS: ");
}

TEST_F(ListenerTest, ItEndsWithClientsOfEveryKind) {
  start();
  Raw silent{listener_->port()}, idle{listener_->port()}, half{listener_->port()};
  ASSERT_TRUE(idle.shake());
  ASSERT_TRUE(half.shake());
  ASSERT_TRUE(half.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"));
  listener_.reset();
  EXPECT_EQ(idle.read(), "");
}

TEST_F(ListenerTest, WhatCannotBeHadIsRefusedInASentence) {
  const auto refusal_of = [this] {
    const auto made = Listener::create(
        settings_, [](const Request&) { return Response{}; }, [](const std::string&) {});
    return std::holds_alternative<std::string>(made) ? std::get<std::string>(made) : "";
  };
  start();
  settings_.port = listener_->port();
  EXPECT_NE(refusal_of().find("give an address of this machine and a free port"), std::string::npos);
  settings_.tls.key = folder_.file("none");
  EXPECT_NE(refusal_of().find("none"), std::string::npos);
}

// --- the API, without the network ---------------------------------------------------------------------

class ApiTest : public ::testing::Test {
 protected:
  ApiTest() {
    EXPECT_EQ(save_users(folder_.file("users"), {{"ada", hash_password("12345678", {.log2_n = 4, .p = 1})}}), "");
    control_ = std::thread{[this] {
      while (!ending_) mailbox_.serve([](const Json& request) { return answer(request); }, 4, milliseconds{100});
    }};
  }
  ~ApiTest() override {
    ending_ = true;
    control_.join();
  }
  static Json answer(const Json& request) {
    if (request.value("what", "") == "nonsense") return {{"ok", false}, {"error", "there is no such thing"}};
    if (request.value("command", "") == "kill") return {{"ok", false}, {"error", "there is no such state"}};
    return {{"ok", true}, {"was", request}};
  }
  Response ask(const std::string& method, const std::string& path,
               std::vector<std::pair<std::string, std::string>> headers = {}, const std::string& body = "") {
    Request request;
    request.method = method;
    request.path = path;
    request.query = query_;
    request.headers = std::move(headers);
    request.headers.emplace_back("Host", "127.0.0.1:8443");
    if (method == "POST") request.headers.emplace_back("Content-Type", "application/json");
    request.body = body;
    request.address = "192.0.2.1";
    request.local_port = 8443;
    return api_(request);
  }
  static std::string header(const Response& response, const std::string& name) {
    for (const auto& [key, value] : response.headers)
      if (key == name) return value;
    return "";
  }
  std::string audit(const char* file) const {
    std::ifstream in{folder_.file(file)};
    return {std::istreambuf_iterator<char>{in}, {}};
  }

  test::TemporaryDirectory folder_;
  std::vector<std::pair<std::string, std::string>> query_;
  Mailbox mailbox_{4};
  std::atomic<bool> ending_{false};
  std::thread control_;
  AuditFile done_{folder_.file("audit.log")}, refused_{folder_.file("audit-refused.log")};
  Access access_{{.users_file = folder_.file("users"), .names = {}, .cost = {.log2_n = 4, .p = 1}},
                 [](const std::string&) {}};
  Api api_{{.access = access_,
            .mailbox = mailbox_,
            .done = done_,
            .refused = refused_,
            .version = "1",
            .node = "n",
            .log = [](const std::string&) {}}};
};

TEST_F(ApiTest, PathsAndMethodsAreWhatTheyAre) {
  EXPECT_EQ(ask("GET", "/nothing").status, 404);
  EXPECT_EQ(ask("GET", "/api/show/nonsense").status, 400);
  EXPECT_EQ(ask("GET", "/api/command").status, 405);
  EXPECT_EQ(header(ask("GET", "/api/command"), "Allow"), "POST");
  EXPECT_EQ(ask("POST", "/api/show/status").status, 405);
  EXPECT_EQ(ask("POST", "/").status, 405);
  EXPECT_EQ(ask("GET", "/api/show/status", {{"Host", "evil.example"}}).status, 421);
  const Response shown = ask("GET", "/api/show/status");
  EXPECT_EQ(Json::parse(shown.body)["was"]["what"], "status");
  EXPECT_EQ(header(shown, "Cache-Control"), "no-store");
}

TEST_F(ApiTest, ThePageIsSentOnceAndEveryAnswerHasItsRules) {
  const Response page = ask("GET", "/");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.content_type, "text/html; charset=utf-8");
  EXPECT_EQ(ask("GET", "/", {{"If-None-Match", header(page, "ETag")}}).status, 304);
  for (const Response& response : {page, ask("GET", "/nothing"), ask("GET", "/api/session")}) {
    EXPECT_NE(header(response, "Content-Security-Policy").find("default-src 'self'"), std::string::npos);
    EXPECT_NE(header(response, "Content-Security-Policy").find("frame-ancestors 'none'"), std::string::npos);
    EXPECT_EQ(header(response, "X-Content-Type-Options"), "nosniff");
  }
}

TEST_F(ApiTest, OnlyAUserWithTheTokenOrders) {
  const std::string order = R"({"command":"carp","do":"demote","value":1,"password":"hidden"})";
  EXPECT_EQ(ask("POST", "/api/command", {}, order).status, 401);
  EXPECT_EQ(ask("POST", "/api/login", {}, R"({"user":"ada","password":"wrong"})").status, 401);
  EXPECT_EQ(ask("POST", "/api/login", {}, R"({"user":"ada","password":"12345678"})").status, 429);
  std::this_thread::sleep_for(milliseconds{1050});
  const Response login = ask("POST", "/api/login", {}, R"({"user":"ada","password":"12345678"})");
  ASSERT_EQ(login.status, 200) << login.body;
  const std::string cookie = header(login, "Set-Cookie");
  for (const char* word : {"__Host-pfsyncd-8443=", "; HttpOnly", "; Secure", "; SameSite=Strict", "; Path=/"})
    EXPECT_NE(cookie.find(word), std::string::npos) << cookie;
  const std::pair<std::string, std::string> session{"Cookie", cookie.substr(0, cookie.find(';'))};
  EXPECT_EQ(Json::parse(ask("GET", "/api/session", {session}).body)["user"], "ada");

  EXPECT_EQ(ask("POST", "/api/command", {session}, order).status, 403);
  const std::pair<std::string, std::string> token{"X-CSRF-Token", Json::parse(login.body)["csrf"]};
  EXPECT_EQ(ask("POST", "/api/command", {session, token, {"Origin", "https://evil.example"}}, order).status, 403);
  const Response done = ask("POST", "/api/command", {session, token}, order);
  EXPECT_EQ(done.status, 200) << done.body;
  EXPECT_EQ(Json::parse(done.body)["was"]["do"], "demote");
  EXPECT_EQ(ask("POST", "/api/command", {session, token}, R"({"command":"kill"})").status, 409);
  EXPECT_EQ(ask("POST", "/api/command", {session, token}, R"({"command":"show"})").status, 400);
  EXPECT_EQ(ask("POST", "/api/command", {session, token}, "[1]").status, 400);
  EXPECT_EQ(ask("POST", "/api/command", {session, token}, std::string(1000, '[')).status, 400);
  EXPECT_EQ(ask("POST", "/api/logout", {session, token}, "{}").status, 200);
  EXPECT_EQ(ask("POST", "/api/command", {session, token}, order).status, 401);

  const std::string log = audit("audit.log"), refusals = audit("audit-refused.log");
  EXPECT_NE(log.find(R"("action":"login")"), std::string::npos);
  EXPECT_NE(log.find(R"("do":"demote","value":1,"password":"***")"), std::string::npos) << log;
  EXPECT_NE(refusals.find(R"("as":"ada")"), std::string::npos) << refusals;
  EXPECT_EQ((log + refusals).find("hidden"), std::string::npos);
  EXPECT_EQ((log + refusals).find("12345678"), std::string::npos);
}

TEST_F(ApiTest, WhatIsDearIsForUsers) {
  EXPECT_EQ(ask("GET", "/api/show/config").status, 401);
  EXPECT_EQ(ask("GET", "/api/show/status").status, 200);
}

TEST_F(ApiTest, NoAnswerHasMoreStatesThanThePageNeeds) {
  const auto asked = [this] { return Json::parse(ask("GET", "/api/show/states").body)["was"]["limit"]; };
  EXPECT_EQ(asked(), 100);
  for (const auto& [given, taken] : {std::pair{"1", 1}, {"100", 100}, {"101", 100}, {"1000", 100}}) {
    query_ = {{"limit", given}};
    EXPECT_EQ(asked(), taken);
  }
  query_.clear();
  EXPECT_FALSE(Json::parse(ask("GET", "/api/show/status").body)["was"].contains("limit"));
}

TEST_F(ApiTest, WhoIsNotAnsweredInTimeIsToldToComeAgain) {
  mailbox_.close();
  const Response response = ask("GET", "/api/show/status");
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(header(response, "Retry-After"), "1");
}

}  // namespace
}  // namespace pfsync::engine::http
