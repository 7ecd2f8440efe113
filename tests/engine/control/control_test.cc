#include "engine/control/control.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/engine/temporary_directory.h"

namespace pfsync::engine {
namespace {

using namespace std::chrono_literals;
using namespace std::string_view_literals;
using test::TemporaryDirectory;

/// A client without manners or patience of its own: the test says when it writes and reads.
class Client {
 public:
  explicit Client(const std::string& path, int receive_bytes = 0)
      : fd_{socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)} {
    if (receive_bytes > 0) setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    connected_ = connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  ~Client() { close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  [[nodiscard]] bool connected() const { return connected_; }
  /// Returns whether all was taken.
  bool write(std::string_view text) const {
    return ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
  }
  void end() const { shutdown(fd_, SHUT_WR); }
  /// What has arrived; `closed()` tells whether more can.
  std::string read() {
    std::string text;
    std::array<char, 4096> bytes;
    for (;;) {
      const ssize_t got = recv(fd_, bytes.data(), bytes.size(), 0);
      if (got > 0) {
        text.append(bytes.data(), static_cast<std::size_t>(got));
        continue;
      }
      closed_ |= got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
      return text;
    }
  }
  [[nodiscard]] bool closed() const { return closed_; }

 private:
  int fd_;
  bool connected_ = false;
  bool closed_ = false;
};

/// A server that echoes, turned by the test.
class ControlTest : public ::testing::Test {
 protected:
  void serve(const ControlServer::Limits& limits = {}) {
    auto made = ControlServer::create(
        path,
        [this](const Json& request) -> Json {
          if (request.contains("throw")) throw std::runtime_error{"no reason"};
          if (request.contains("bytes")) return {{"ok", true}, {"filler", std::string(request["bytes"], 'x')}};
          if (request.contains("raw")) return {{"ok", true}, {"text", "caf\xe9"}};
          if (request.contains("odd")) return Json::array({1});
          ++served;
          return {{"ok", true}, {"echo", request}};
        },
        limits);
    if (auto* why = std::get_if<std::string>(&made)) FAIL() << *why;
    server = std::move(std::get<0>(made));
  }
  void turn(int times = 4) const {
    for (int i = 0; i < times; ++i) server->poll_once(0ms);
  }
  [[nodiscard]] std::uint64_t count(std::string_view word) const {
    for (const NamedCount& count : server->counts())
      if (count.word == word) return count.value;
    ADD_FAILURE() << word;
    return 0;
  }

  TemporaryDirectory directory;
  std::string path = directory.file("socket");
  std::unique_ptr<ControlServer> server;
  int served = 0;
};

TEST_F(ControlTest, AnswersEachLineByOneLine) {
  serve();
  Client client{path};
  ASSERT_TRUE(client.write("{\"a\": 1}\n{\"a\": 2}\n"));
  turn();
  EXPECT_EQ(client.read(), "{\"ok\":true,\"echo\":{\"a\":1}}\n{\"ok\":true,\"echo\":{\"a\":2}}\n");
  EXPECT_FALSE(client.closed());
  EXPECT_EQ(count("control_requests"), 2u);
  EXPECT_EQ(count("control_requests_bad"), 0u);
}

TEST_F(ControlTest, WaitsForTheRestOfALine) {
  serve();
  Client client{path};
  ASSERT_TRUE(client.write("{\"a\""));
  turn();
  EXPECT_EQ(client.read(), "");
  ASSERT_TRUE(client.write(": 1}\r\n"));
  turn();
  EXPECT_EQ(client.read(), "{\"ok\":true,\"echo\":{\"a\":1}}\n");
}

TEST_F(ControlTest, TakesALastLineThatIsEndedByTheClientAlone) {
  serve();
  Client client{path};
  ASSERT_TRUE(client.write("{\"a\": 1}"));
  client.end();
  turn();
  EXPECT_EQ(client.read(), "{\"ok\":true,\"echo\":{\"a\":1}}\n");
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(server->clients(), 0u);
}

TEST_F(ControlTest, DropsAClientThatLeavesInTheMiddleOfALine) {
  serve();
  {
    Client client{path};
    ASSERT_TRUE(client.write("{\"a"));
    turn();
    EXPECT_EQ(server->clients(), 1u);
  }
  turn();
  EXPECT_EQ(server->clients(), 0u);
  EXPECT_EQ(served, 0);
}

TEST_F(ControlTest, AnswersGarbageByOneSentenceAndGoesOn) {
  serve();
  Client client{path};
  ASSERT_TRUE(client.write("\xff\xfe\x00garbage\n[1]\n\"text\"\n{\"a\":\n{\"a\": \"caf\xe9\"}\n  \n{\"a\": 1}\n"sv));
  turn(10);
  const std::string text = client.read();
  const std::string refusal =
      "{\"ok\":false,\"error\":\"the request is not a JSON object on one line: send {\\\"command\\\": …}\"}\n";
  std::size_t refusals = 0;
  for (std::size_t at = 0; (at = text.find(refusal, at)) != std::string::npos; at += refusal.size()) ++refusals;
  EXPECT_EQ(refusals, 5u);
  EXPECT_TRUE(text.ends_with("{\"ok\":true,\"echo\":{\"a\":1}}\n")) << text;
  EXPECT_EQ(count("control_requests_bad"), 5u);
}

TEST_F(ControlTest, RefusesADeeplyNestedRequest) {
  serve();
  Client client{path};
  for (const auto& [open, close] : {std::pair{"[", "]"}, std::pair{"{\"a\":", "}"}}) {
    std::string request = "{\"a\":";
    for (int i = 0; i < 5000; ++i) request += open;
    request += "0";
    for (int i = 0; i < 5000; ++i) request += close;
    ASSERT_TRUE(client.write(request + "}\n"));
    turn(10);
    EXPECT_TRUE(client.read().starts_with("{\"ok\":false"));
  }
  EXPECT_EQ(served, 0);
}

TEST_F(ControlTest, RefusesALineThatNeverEndsAndClosesBehindIt) {
  serve({.request_bytes = 100});
  Client client{path};
  ASSERT_TRUE(client.write(std::string(101, ' ')));
  turn();
  EXPECT_EQ(client.read(), "{\"ok\":false,\"error\":\"the request is longer than 100 bytes: make it shorter\"}\n");
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(count("control_requests_bad"), 1u);
}

TEST_F(ControlTest, TakesALineOfJustTheLimit) {
  serve({.request_bytes = 100});
  Client client{path};
  ASSERT_TRUE(client.write("{\"a\": 1}" + std::string(92, ' ') + "\n"));
  turn();
  EXPECT_TRUE(client.read().starts_with("{\"ok\":true"));
}

TEST_F(ControlTest, RefusesOneClientTooMany) {
  serve({.clients = 2});
  Client first{path};
  Client second{path};
  turn();
  Client third{path};
  turn();
  EXPECT_EQ(third.read(), "{\"ok\":false,\"error\":\"2 clients are connected already: close one\"}\n");
  EXPECT_TRUE(third.closed());
  EXPECT_EQ(count("control_clients_refused"), 1u);
  ASSERT_TRUE(first.write("{}\n"));
  turn();
  EXPECT_TRUE(first.read().starts_with("{\"ok\":true"));
}

/// No descriptor to be had while it lives.
class DescriptorShortage {
 public:
  DescriptorShortage() {
    getrlimit(RLIMIT_NOFILE, &before_);
    // 0, 1 and 2 are taken; poll() refuses more entries than the limit has.
    const rlimit none{.rlim_cur = 3, .rlim_max = before_.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
  }
  ~DescriptorShortage() { setrlimit(RLIMIT_NOFILE, &before_); }
  DescriptorShortage(const DescriptorShortage&) = delete;
  DescriptorShortage& operator=(const DescriptorShortage&) = delete;

 private:
  rlimit before_{};
};

TEST_F(ControlTest, TakesAClientLaterWhenNoDescriptorIsLeft) {
  serve({.rest = 0ms});
  Client client{path};
  ASSERT_TRUE(client.write("{}\n"));
  {
    const DescriptorShortage shortage;
    turn();
  }
  EXPECT_GE(count("control_accept_failed"), 1u);
  EXPECT_EQ(server->clients(), 0u);
  turn();
  EXPECT_TRUE(client.read().starts_with("{\"ok\":true"));
}

TEST_F(ControlTest, RestsInsteadOfTryingToAcceptAllTheTime) {
  serve({.rest = 1h});
  Client client{path};
  const DescriptorShortage shortage;
  turn();
  EXPECT_EQ(count("control_accept_failed"), 1u);
}

TEST_F(ControlTest, DropsAClientThatDoesNotReadItsAnswer) {
  serve({.unread = 0ms});
  Client slow{path};
  Client quick{path};
  ASSERT_TRUE(slow.write("{\"bytes\": 8000000}\n"));
  turn();
  EXPECT_EQ(count("control_clients_slow"), 1u);
  EXPECT_EQ(server->clients(), 1u);
  ASSERT_TRUE(quick.write("{}\n"));
  turn();
  EXPECT_TRUE(quick.read().starts_with("{\"ok\":true"));
}

TEST_F(ControlTest, ServesOthersWhileOneReadsSlowly) {
  serve();
  Client slow{path};
  Client quick{path};
  ASSERT_TRUE(slow.write("{\"bytes\": 1000000}\n{\"a\": 1}\n"));
  turn();
  ASSERT_TRUE(quick.write("{\"a\": 2}\n"));
  turn();
  EXPECT_EQ(quick.read(), "{\"ok\":true,\"echo\":{\"a\":2}}\n");
  EXPECT_EQ(served, 1) << "the slow client's second request waits for its first answer";
  std::string text;
  for (int i = 0; i < 1000 && text.find("echo") == std::string::npos; ++i) {
    text += slow.read();
    turn(1);
  }
  EXPECT_EQ(text.size(), 1000000u + std::strlen("{\"ok\":true,\"filler\":\"\"}\n{\"ok\":true,\"echo\":{\"a\":1}}\n"));
  EXPECT_EQ(count("control_clients_slow"), 0u);
}

TEST_F(ControlTest, AnswersEvenWhenTheHandlerFails) {
  serve();
  Client client{path};
  ASSERT_TRUE(client.write("{\"throw\": 1}\n"));
  turn();
  EXPECT_EQ(client.read(), "{\"ok\":false,\"error\":\"the request could not be carried out: no reason\"}\n");
  ASSERT_TRUE(client.write("{\"odd\": 1}\n"));
  turn();
  EXPECT_EQ(client.read(), "[1]\n");
  EXPECT_EQ(count("control_requests_bad"), 2u);
}

TEST_F(ControlTest, ReplacesWhatIsNotUtf8InAnAnswer) {
  serve();
  Client client{path};
  ASSERT_TRUE(client.write("{\"raw\": 1}\n"));
  turn();
  EXPECT_EQ(client.read(), "{\"ok\":true,\"text\":\"caf\xef\xbf\xbd\"}\n");
}

TEST_F(ControlTest, TheSocketIsItsOwnersAndGoesWithTheServer) {
  serve();
  struct stat there {};
  ASSERT_EQ(lstat(path.c_str(), &there), 0);
  EXPECT_TRUE(S_ISSOCK(there.st_mode));
  EXPECT_EQ(there.st_mode & 0777u, 0600u);
  server.reset();
  EXPECT_NE(lstat(path.c_str(), &there), 0);
}

TEST_F(ControlTest, LeavesASocketThatSomebodyElseMadeInItsPlace) {
  serve();
  ASSERT_EQ(unlink(path.c_str()), 0);
  std::ofstream{path} << "another's";
  server.reset();
  EXPECT_TRUE(std::filesystem::exists(path));
}

std::string refusal_at(const std::string& path) {
  auto made = ControlServer::create(path, [](const Json&) { return Json{}; });
  const auto* why = std::get_if<std::string>(&made);
  return why == nullptr ? "" : *why;
}

TEST_F(ControlTest, RefusesAPathThatIsTaken) {
  serve();
  EXPECT_EQ(refusal_at(path), "another pfsyncd answers on control.socket " + path + ": stop it or give another path");
  const std::string file = directory.file("file");
  std::ofstream{file} << "precious";
  EXPECT_EQ(refusal_at(file), "control.socket " + file + " exists and is not a socket: remove it or give another path");
  EXPECT_TRUE(std::filesystem::exists(file));
}

TEST_F(ControlTest, RefusesAPathThatCannotBe) {
  EXPECT_NE(refusal_at(std::string(108, 'x')), "");
  EXPECT_NE(refusal_at(""), "");
  const std::string nowhere = directory.file("nowhere/socket");
  EXPECT_EQ(refusal_at(nowhere), "control.socket " + nowhere +
                                     " cannot be made (No such file or directory): give a path in a folder that exists "
                                     "and you may write");
}

TEST_F(ControlTest, ReplacesTheSocketOfAProcessThatIsGone) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  close(fd);  // as a killed process leaves it: the file is there, nobody listens
  serve();
  Client client{path};
  EXPECT_TRUE(client.connected());
}

}  // namespace
}  // namespace pfsync::engine
