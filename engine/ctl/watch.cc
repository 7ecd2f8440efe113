#include "engine/ctl/watch.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <csignal>
#include <ctime>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/ctl/client.h"
#include "engine/ctl/exit_status.h"
#include "engine/ctl/text.h"

namespace pfsync::engine::ctl {
namespace {

constexpr std::chrono::seconds patience{2};  // a signal is heard no sooner

/// The signals that end a watch, held back so that they come only while it waits: the terminal is always left tidy.
class EndSignals {
 public:
  EndSignals() {
    sigemptyset(&set_);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set_, signal);
    sigprocmask(SIG_BLOCK, &set_, nullptr);
  }
  /// Returns whether one came within the time.
  [[nodiscard]] bool await(std::chrono::milliseconds time) const {
    const auto ms = time.count();
    const timespec limit{.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1'000'000};
    return sigtimedwait(&set_, nullptr, &limit) > 0;
  }

 private:
  sigset_t set_{};
};

/// Draws page over page, without flicker.
class Screen {
 public:
  Screen() { std::cout << "\033[2J\033[?25l"; }  // clear, hide the cursor
  ~Screen() { std::cout << "\n\033[?25h" << std::flush; }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  void draw(std::string_view page) {
    winsize size{};
    const bool is_known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0;
    std::cout << "\033[H";
    // After the last line no newline, which would make a full screen scroll.
    const char* between = "";
    for (const std::string& line : fitted(page, is_known ? size.ws_col : 80, is_known ? size.ws_row : 24)) {
      std::cout << between << line << "\033[K";
      between = "\n";
    }
    std::cout << "\033[J" << std::flush;
  }
};

/// A connection that is made again when it is lost.
class Observer {
 public:
  explicit Observer(std::string socket) : socket_{std::move(socket)} {}

  [[nodiscard]] std::variant<Json, Unreached> status() {
    if (!client_) {
      auto made = Client::connect(socket_, patience);
      if (auto* why = std::get_if<Unreached>(&made)) return *why;
      client_.emplace(std::move(std::get<Client>(made)));
    }
    auto answer = client_->ask({{"command", "show"}, {"what", "status"}});
    if (std::holds_alternative<Unreached>(answer)) client_.reset();
    return answer;
  }

 private:
  std::string socket_;
  std::optional<Client> client_;
};

}  // namespace

std::vector<std::string> fitted(std::string_view page, std::size_t columns, std::size_t rows) {
  constexpr std::string_view further = "    ";  // what does not fit into its line goes on behind this
  std::vector<std::string> lines;
  while (!page.empty()) {
    const std::size_t end = page.find('\n');
    std::string_view line = page.substr(0, end);
    page.remove_prefix(end == std::string_view::npos ? page.size() : end + 1);
    std::string begin;
    while (begin.size() + line.size() > columns && columns > 2 * further.size()) {
      const std::size_t room = columns - begin.size();
      const std::size_t space = line.rfind(' ', room);
      const bool has_words = space != std::string_view::npos && line.find_first_not_of(' ') < space;
      lines.push_back(begin + std::string{line.substr(0, has_words ? space : room)});
      line.remove_prefix(has_words ? space + 1 : room);
      begin = further;
    }
    lines.push_back((begin + std::string{line}).substr(0, columns));
  }
  std::string last = "Ctrl-C ends.";
  if (lines.size() >= rows) {
    const std::size_t kept = rows > 0 ? rows - 1 : 0;
    last = std::to_string(lines.size() - kept) + " more lines do not fit. " + last;
    lines.resize(kept);
  } else if (lines.size() + 1 < rows) {
    lines.emplace_back();
  }
  lines.push_back(last.substr(0, columns));
  return lines;
}

int watch(const WatchOptions& options) {
  const EndSignals end_signals;
  Observer observer{options.socket};
  std::optional<Screen> screen;
  std::optional<Json> before;
  int result = exit_no_daemon;
  for (std::uint64_t picture = 1;; ++picture) {
    const auto answer = observer.status();
    if (const auto* why = std::get_if<Unreached>(&answer)) {
      const std::string sentence = terminal_safe(why->sentence);
      result = exit_no_daemon;
      if (picture == 1) {
        if (options.json) std::cout << Json{{"ok", false}, {"error", why->sentence}}.dump(-1, ' ', true) << std::endl;
        std::cerr << "pfsyncctl: " << sentence << ".\n";
        return result;
      }
      before.reset();
      if (screen)
        screen->draw(sentence + ".\nTrying again.\n");
      else
        std::cerr << "pfsyncctl: " << sentence << ".\n";
    } else {
      const Json& status = std::get<Json>(answer);
      if (status["ok"] == false) {
        screen.reset();
        std::cerr << "pfsyncctl: " << terminal_safe(status["error"].get<std::string>()) << ".\n";
        return exit_unhealthy;
      }
      result = status.at("healthy").get<bool>() ? exit_ok : exit_unhealthy;
      if (options.json) {
        std::cout << status.dump(-1, ' ', true) << std::endl;
      } else if (isatty(STDOUT_FILENO) != 0) {
        if (!screen) screen.emplace();
        screen->draw(terminal_safe(watch_text(before, status)));
      } else {
        std::cout << terminal_safe(watch_line(before, status)) << std::flush;
      }
      before = status;
    }
    if (!std::cout || picture == options.pictures || end_signals.await(options.interval)) return result;
  }
}

}  // namespace pfsync::engine::ctl
