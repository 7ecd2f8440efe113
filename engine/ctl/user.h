#pragma once

#include <string>
#include <variant>
#include <vector>

namespace pfsync::engine::ctl {

/// What went well, or not, as one sentence.
struct UserOutcome {
  bool done = true;
  std::string sentence;
};

/// Who may log in to the web page: changes the file that the daemon reads, which takes effect at once and ends the
/// sessions of whoever is removed or gets another password. The password is asked for twice without an echo when
/// standard input is a terminal, else it is its first line.
[[nodiscard]] UserOutcome add_user(const std::string& file, const std::string& name);
[[nodiscard]] UserOutcome remove_user(const std::string& file, const std::string& name);
/// Names, in order; or one sentence why not.
[[nodiscard]] std::variant<std::vector<std::string>, std::string> list_users(const std::string& file);

}  // namespace pfsync::engine::ctl
