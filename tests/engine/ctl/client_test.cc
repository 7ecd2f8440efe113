#include "engine/ctl/client.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "tests/engine/ctl/daemon.h"
#include "tests/engine/temporary_directory.h"

namespace pfsync::engine::ctl {
namespace {

using namespace std::chrono_literals;
using test::Daemon;
using test::TemporaryDirectory;

std::string sentence_of(const std::variant<Json, Unreached>& answer) {
  const auto* why = std::get_if<Unreached>(&answer);
  return why == nullptr ? "" : why->sentence;
}

class ClientTest : public ::testing::Test {
 protected:
  TemporaryDirectory directory;
  std::string path = directory.file("socket");
};

TEST_F(ClientTest, TakesAnAnswerOfManyPiecesAndAsksAgain) {
  const Daemon daemon{path, [](const Json& request) {
                        return Json{{"ok", true}, {"filler", std::string(request["bytes"], 'x')}};
                      }};
  auto client = Client::connect(path);
  ASSERT_TRUE(std::holds_alternative<Client>(client));
  for (const std::size_t bytes : {3'000'000u, 0u, 100'000u}) {
    const auto answer = std::get<Client>(client).ask({{"bytes", bytes}});
    ASSERT_TRUE(std::holds_alternative<Json>(answer)) << sentence_of(answer);
    EXPECT_EQ(std::get<Json>(answer)["filler"].get<std::string>().size(), bytes);
  }
}

TEST_F(ClientTest, DoesNotWaitForeverForADaemonThatHangs) {
  // Connected by the kernel, never answered: nobody accepts.
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  ASSERT_EQ(bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  auto client = Client::connect(path, 20ms);
  ASSERT_TRUE(std::holds_alternative<Client>(client));
  EXPECT_NE(sentence_of(std::get<Client>(client).ask(Json::object())).find("has not answered"), std::string::npos);
  close(listener);
}

TEST_F(ClientTest, SaysWhenTheDaemonHangsUp) {
  std::optional<Daemon> daemon{std::in_place, path, [](const Json&) { return Json{{"ok", true}}; }};
  auto client = Client::connect(path);
  ASSERT_TRUE(std::holds_alternative<Client>(client));
  ASSERT_EQ(sentence_of(std::get<Client>(client).ask(Json::object())), "");
  daemon.reset();
  EXPECT_NE(sentence_of(std::get<Client>(client).ask(Json::object())).find("ended the conversation"),
            std::string::npos);
}

TEST_F(ClientTest, RefusesAPathThatIsNoSockets) {
  for (const std::string& wrong :
       {std::string{}, std::string(200, 'x'), directory.file("none"), std::string{"/dev/null"}})
    EXPECT_TRUE(std::holds_alternative<Unreached>(Client::connect(wrong))) << wrong;
}

}  // namespace
}  // namespace pfsync::engine::ctl
