#include "engine/ctl/user.h"

#include <termios.h>
#include <unistd.h>

#include <csignal>
#include <iostream>
#include <optional>

#include "engine/http/users.h"

namespace pfsync::engine::ctl {
namespace {

using http::Users;

/// Turns the terminal's echo off for as long as it lives. Ctrl-C waits until the echo is back.
class NoEcho {
 public:
  NoEcho() {
    sigset_t interrupts;
    sigemptyset(&interrupts);
    for (const int signal : {SIGINT, SIGTERM, SIGTSTP, SIGHUP}) sigaddset(&interrupts, signal);
    sigprocmask(SIG_BLOCK, &interrupts, &mask_);
    is_off_ = tcgetattr(STDIN_FILENO, &before_) == 0;
    if (!is_off_) return;
    termios silent = before_;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO | ISIG);
    is_off_ = tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent) == 0;
  }
  ~NoEcho() {
    if (is_off_) tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
    sigprocmask(SIG_SETMASK, &mask_, nullptr);
  }
  NoEcho(const NoEcho&) = delete;
  NoEcho& operator=(const NoEcho&) = delete;

 private:
  termios before_{};
  sigset_t mask_{};
  bool is_off_ = false;
};

std::optional<std::string> read_line() {
  std::string line;
  if (!std::getline(std::cin, line)) return std::nullopt;
  if (line.ends_with('\r')) line.pop_back();
  if (line.find('\x03') != std::string::npos) return std::nullopt;  // Ctrl-C, which is no signal meanwhile
  return line;
}

std::optional<std::string> ask(const char* prompt) {
  std::cerr << prompt << std::flush;
  std::optional<std::string> line;
  {
    const NoEcho silence;
    line = read_line();
  }
  std::cerr << "\n";
  return line;
}

std::variant<std::string, UserOutcome> read_password(const std::string& name) {
  const UserOutcome none{false, "no password was given: nothing was changed"};
  if (isatty(STDIN_FILENO) == 0) {
    const auto line = read_line();
    if (!line) return none;
    return *line;
  }
  const auto first = ask(("Password of " + name + ": ").c_str());
  if (!first) return none;
  if (std::string why = http::check_password(*first); !why.empty()) return UserOutcome{false, why};
  const auto second = ask("The same again: ");
  if (!second) return none;
  if (*first != *second) return UserOutcome{false, "the two are not the same: nothing was changed"};
  return *first;
}

UserOutcome save(const std::string& file, const Users& users, std::string sentence) {
  if (std::string why = http::save_users(file, users); !why.empty()) return {false, std::move(why)};
  return {true, std::move(sentence)};
}

}  // namespace

UserOutcome add_user(const std::string& file, const std::string& name) {
  if (std::string why = http::check_user_name(name); !why.empty()) return {false, std::move(why)};
  auto users = http::load_users(file);
  if (const auto* why = std::get_if<std::string>(&users)) return {false, *why};
  auto& all = std::get<Users>(users);
  const bool is_new = !all.contains(name);
  if (is_new && all.size() >= http::users_max) return {false, "there are 256 users at most: remove some"};
  const auto password = read_password(name);
  if (const auto* why = std::get_if<UserOutcome>(&password)) return *why;
  const auto& text = std::get<std::string>(password);
  if (std::string why = http::check_password(text); !why.empty()) return {false, std::move(why)};
  all[name] = http::hash_password(text);
  return save(file, all, is_new ? name + " may log in now" : name + " has another password now");
}

UserOutcome remove_user(const std::string& file, const std::string& name) {
  auto users = http::load_users(file);
  if (const auto* why = std::get_if<std::string>(&users)) return {false, *why};
  auto& all = std::get<Users>(users);
  if (all.erase(name) == 0) return {false, "there is no user " + name + " in " + file};
  return save(file, all, name + " may log in no longer");
}

std::variant<std::vector<std::string>, std::string> list_users(const std::string& file) {
  const auto users = http::load_users(file);
  if (const auto* why = std::get_if<std::string>(&users)) return *why;
  std::vector<std::string> names;
  for (const auto& [name, hash] : std::get<Users>(users)) names.push_back(name);
  return names;
}

}  // namespace pfsync::engine::ctl
