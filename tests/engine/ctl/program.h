#pragma once

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

extern char** environ;

namespace pfsync::engine::test {

/// One run of pfsyncctl, its output caught.
class Program {
 public:
  /// `output`: a file or terminal for standard output instead of the pipe to us.
  explicit Program(std::vector<std::string> arguments, const std::string& output = "") {
    int out[2], err[2];
    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) throw std::runtime_error{"no pipe"};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (output.empty())
      posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    else
      posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output.c_str(), O_WRONLY | O_NOCTTY, 0);
    posix_spawn_file_actions_adddup2(&actions, err[1], STDERR_FILENO);
    arguments.insert(arguments.begin(), CTL_PROGRAM);
    std::vector<char*> words;
    for (std::string& argument : arguments) words.push_back(argument.data());
    words.push_back(nullptr);
    const int error = posix_spawn(&pid_, CTL_PROGRAM, &actions, nullptr, words.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    close(err[1]);
    out_.fd = out[0];
    err_.fd = err[0];
    if (error != 0) throw std::runtime_error{"pfsyncctl cannot be started"};
  }
  ~Program() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    close(out_.fd);
    close(err_.fd);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  /// Reads until the text has `words` in it; false when the program ended before.
  bool await_out(const std::string& words) { return await(out_, words); }
  bool await_err(const std::string& words) { return await(err_, words); }
  void signal(int number) const { kill(pid_, number); }
  /// Waits for the end. Returns the exit status, or 128 and the signal that ended it.
  int end() {
    while (step()) {
    }
    int status = 0;
    waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  [[nodiscard]] const std::string& out() const { return out_.text; }
  [[nodiscard]] const std::string& err() const { return err_.text; }

 private:
  struct Stream {
    int fd = -1;
    bool ended = false;
    std::string text{};
  };

  bool await(const Stream& stream, const std::string& words) {
    while (stream.text.find(words) == std::string::npos)
      if (stream.ended || !step()) return false;
    return true;
  }
  /// Reads what comes next from either stream; false when both have ended.
  bool step() {
    if (out_.ended && err_.ended) return false;
    std::array<pollfd, 2> wanted{{{out_.ended ? -1 : out_.fd, POLLIN, 0}, {err_.ended ? -1 : err_.fd, POLLIN, 0}}};
    poll(wanted.data(), wanted.size(), -1);
    for (std::size_t i = 0; i < 2; ++i) {
      if (wanted[i].revents == 0) continue;
      Stream& stream = i == 0 ? out_ : err_;
      std::array<char, 65536> bytes;
      const ssize_t got = read(stream.fd, bytes.data(), bytes.size());
      if (got > 0)
        stream.text.append(bytes.data(), static_cast<std::size_t>(got));
      else
        stream.ended = true;
    }
    return true;
  }

  pid_t pid_ = -1;
  Stream out_, err_;
};

}  // namespace pfsync::engine::test
