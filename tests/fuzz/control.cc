// What a client writes to the control socket, over a real socket to a real node: every line gets one answer, as far as
// the limits let it, and the client's end is the end of its costs.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <variant>

#include "engine/control/control.h"
#include "tests/engine/node.h"
#include "tests/engine/temporary_directory.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/mutate.h"

namespace pfsync::fuzz {
namespace {

using engine::Json;

constexpr std::size_t request_bytes_max = 512;  // below the longest input, so that this door is tried too
constexpr std::size_t states_max = 64;

/// A node whose operator's door is open. Kept from input to input: what one does may show in the next.
class Target {
 public:
  Target() {
    node_.synthetic.emplace(engine::SyntheticConfig{.states = 10});
    auto made = engine::ControlServer::create(path_, [this](const Json& request) { return answer_to(request); },
                                              {.request_bytes = request_bytes_max});
    check(made.index() == 0, "the socket can be made");
    server_ = std::move(std::get<0>(made));
  }

  void run(std::string_view input) {
    while (node_.table->size() < 3) (void)node_.open(++last_id_);  // something to show, kill and flush
    served_ = 0;
    const int client = connected();
    // Two pieces, so that requests arrive cut.
    write(client, input.substr(0, input.size() / 2));
    turn();
    write(client, input.substr(input.size() / 2));
    shutdown(client, SHUT_WR);
    const std::string answers = drain(client);
    close(client);
    check(server_->clients() == 0, "a client that ended is forgotten");
    check_answers(input, answers);
    check(node_.table->size() <= states_max, "the table keeps its limit");
  }

 private:
  Json answer_to(const Json& request) {
    ++served_;
    return handle_request(request, node_.view(), node_.commands());
  }

  [[nodiscard]] int connected() const {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
    check(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0, "the server listens");
    return fd;
  }
  static void write(int fd, std::string_view bytes) {
    // A client that the server has hung up on can write no more.
    [[maybe_unused]] const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  void turn() const { server_->poll_once(std::chrono::milliseconds{0}); }
  [[nodiscard]] std::string drain(int fd) const {
    std::string answers;
    std::array<char, 65536> bytes;
    constexpr int turns_max = 10'000;  // an input has at most 2048 lines, each served in one
    for (int turns = 0; turns < turns_max; ++turns) {
      turn();
      const ssize_t got = recv(fd, bytes.data(), bytes.size(), 0);
      if (got > 0) answers.append(bytes.data(), static_cast<std::size_t>(got));
      if (got == 0) return answers;
      if (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK) return answers;
    }
    check(false, "a conversation that the client ended comes to its end");
    return answers;
  }

  void check_answers(std::string_view input, std::string_view answers) const {
    const auto lines = static_cast<std::size_t>(std::count(input.begin(), input.end(), '\n')) + 1;
    std::size_t count = 0;
    for (; !answers.empty(); ++count) {
      const std::size_t end = answers.find('\n');
      check(end != std::string_view::npos, "an answer is a whole line");
      const Json answer = Json::parse(answers.substr(0, end), nullptr, false);
      check(answer.is_object() && answer.contains("ok") && answer["ok"].is_boolean(),
            "an answer says whether it went well");
      if (answer["ok"] == false) {
        check(answer.contains("error") && answer["error"].is_string(), "a refusal has a sentence");
        check(!answer["error"].get_ref<const std::string&>().starts_with("the request could not be carried out"),
              "no request makes the handler throw");
      }
      answers.remove_prefix(end + 1);
    }
    check(count <= lines && count >= served_, "a line gets at most one answer, a request exactly one");
  }

  engine::test::TemporaryDirectory directory_;
  std::string path_ = directory_.file("socket");
  engine::test::Node node_{states_max};
  std::unique_ptr<engine::ControlServer> server_;
  std::uint64_t last_id_ = 0;
  std::size_t served_ = 0;
};

}  // namespace
}  // namespace pfsync::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static pfsync::fuzz::Target target;
  target.run({reinterpret_cast<const char*>(data), size});
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  using namespace pfsync;
  return fuzz::mutated(data, size, max_size, seed, [](fuzz::Input& input, fuzz::Random& random) {
    fuzz::mutate_text(input, random, "\n,:\"",
                      {"{\"command\":\"show\"}\n",
                       "{\"command\":\"show\",\"what\":\"states\"}\n",
                       "{\"command\":\"kill\",\"filter\":\"id 1\"}\n",
                       "{\"command\":\"flush\"}\n",
                       "{\"command\":\"bulk\"}\n",
                       "{\"command\":\"push\"}\n",
                       "{\"command\":\"reload\"}\n",
                       "{\"command\":\"snapshot\"}\n",
                       "{\"command\":\"digest\"}\n",
                       "{\"command\":\"compare\",\"repair\":true}\n",
                       "\"what\":\"counters\"",
                       "\"what\":\"peers\"",
                       "\"what\":\"tdbs\"",
                       "\"what\":\"status\"",
                       "\"cursor\":{\"shard\":0,\"slot\":2}",
                       "\"limit\":10",
                       "\"filter\":\"proto tcp\"",
                       "\"id\":\"1/22222222\"",
                       "\"interface\":\"em0\"",
                       "{",
                       "}",
                       "[",
                       "]",
                       "null",
                       "-1",
                       "1e400"});
  });
}
