#include "engine/import/assignments.h"

#include <algorithm>
#include <optional>

#include "engine/import/ifconfig_words.h"

namespace pfsync::engine::imports {
namespace {

bool is_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
  });
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r";
  const std::size_t begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

struct Assignment {
  std::string name, value;
  bool has_variable = false;
};

/// The statements of a file, as far as they are assignments: a quoted value may go over several lines.
class Statements {
 public:
  explicit Statements(std::string_view text) : rest_{text} {}

  /// None: the end. A line that is no assignment has no name.
  std::optional<Assignment> next() {
    if (rest_.empty()) return std::nullopt;
    const std::string_view line = trimmed(rest_.substr(0, rest_.find('\n')));
    const std::size_t equals = line.find('=');
    const std::string_view name = trimmed(line.substr(0, equals));
    if (equals == std::string_view::npos || line.starts_with('#') || !is_name(name)) {
      skip_line();
      return Assignment{};
    }
    rest_.remove_prefix(rest_.find('=') + 1);
    Assignment read{.name = std::string{name}, .value = {}};
    if (name.find('.') != std::string_view::npos)  // sysctl.conf has blanks where sh has none
      while (rest_.starts_with(' ') || rest_.starts_with('\t')) rest_.remove_prefix(1);
    read_value(read);
    return read;
  }

 private:
  void skip_line() {
    rest_.remove_prefix(std::min(rest_.size(), rest_.find('\n') + 1 == 0 ? rest_.size() : rest_.find('\n') + 1));
  }

  void read_value(Assignment& read) {
    char quote = 0;
    while (!rest_.empty()) {
      const char c = rest_.front();
      const bool ends = quote == 0 && (c == '\n' || c == ' ' || c == '\t' || c == ';' || c == '\r');
      if (ends) break;
      rest_.remove_prefix(1);
      if (quote == 0 && (c == '"' || c == '\'')) {
        quote = c;
      } else if (c == quote && quote != 0) {
        quote = 0;
      } else if (c == '\\' && quote != '\'' && !rest_.empty()) {
        if (rest_.front() != '\n') read.value += rest_.front();
        rest_.remove_prefix(1);
      } else {
        read.has_variable = read.has_variable || (c == '$' && quote != '\'');
        read.value += c == '\n' ? ' ' : c;
      }
    }
    if (!rest_.empty() && rest_.front() == ';')
      rest_.remove_prefix(1);
    else
      skip_line();
  }

  std::string_view rest_;
};

/// rc.conf writes "_" for what a shell's names have not: igb0_100 is igb0.100.
std::string interface_named(std::string_view mangled) {
  std::string name{mangled};
  const std::size_t bar = name.rfind('_');
  if (bar == std::string::npos || bar == 0 || bar + 1 == name.size()) return name;
  if (is_digit(name[bar - 1]) && std::all_of(name.begin() + static_cast<std::ptrdiff_t>(bar) + 1, name.end(), is_digit))
    name[bar] = '.';
  return name;
}

/// What is behind "ifconfig_", without the words that tell one value of an interface from another.
std::string_view without_kind(std::string_view name) {
  for (const std::string_view kind : {"_ipv6", "_aliases"})
    if (name.ends_with(kind)) return name.substr(0, name.size() - kind.size());
  const std::size_t alias = name.rfind("_alias");
  if (alias != std::string_view::npos && alias + 6 < name.size() &&
      std::all_of(name.begin() + static_cast<std::ptrdiff_t>(alias) + 6, name.end(), is_digit))
    return name.substr(0, alias);
  return name;
}

/// Several calls may stand in one value of _aliases: each begins with its family.
std::vector<std::vector<std::string>> calls_in(const std::vector<std::string>& words, bool may_be_several) {
  std::vector<std::vector<std::string>> calls(1);
  for (const std::string& word : words) {
    if (may_be_several && (word == "inet" || word == "inet6") && !calls.back().empty()) calls.emplace_back();
    calls.back().push_back(word);
  }
  return calls;
}

void take_interface(Site& site, const std::string& where, std::string_view name, const std::string& value) {
  if (name.ends_with("_name") || name.ends_with("_descr") || name == "DEFAULT") return;
  const std::string interface = interface_named(without_kind(name));
  for (const auto& words : calls_in(words_of(value), name.ends_with("_aliases"))) {
    const IfconfigWords said = read_ifconfig(words);
    // Before FreeBSD 10 a virtual address was an interface of its own.
    if (said.has("vhid") || interface.starts_with("carp")) {
      take_carp(site, where, interface.starts_with("carp") ? "" : interface, said);
      continue;
    }
    Interface& here = site.interfaces[interface];
    here.addresses.insert(here.addresses.end(), said.addresses.begin(), said.addresses.end());
    if (said.has("mtu")) here.mtu = said.value("mtu");
  }
}

bool is_yes(std::string_view value) {
  std::string word{value};
  for (char& c : word)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return word == "yes" || word == "true" || word == "on" || word == "1";
}

/// Returns whether the name means something here.
bool take(Site& site, const std::string& where, const Assignment& read) {
  constexpr std::string_view ifconfig = "ifconfig_";
  const std::string& name = read.name;
  const std::string at = where + ": " + name;
  if (name == "pfsync_enable") {
    if (!is_yes(read.value))
      site.notes.add(at + " is " + shown(read.value) + ": pfsync is off there; taken all the same");
  } else if (name == "pfsync_syncdev") {
    site.syncdev = read.value;
  } else if (name == "pfsync_syncpeer") {
    site.syncpeer = read.value;
  } else if (name == "pfsync_ifconfig") {
    take_pfsync(site, at, read_ifconfig(words_of(read.value)));
  } else if (name == "net.inet.carp.preempt") {
    site.preempt = read.value != "0";
  } else if (name.starts_with(ifconfig)) {
    take_interface(site, at, std::string_view{name}.substr(ifconfig.size()), read.value);
  } else {
    return false;
  }
  if (read.has_variable) site.notes.add(at + " has a variable of the shell in it, which was taken as it stands");
  return true;
}

}  // namespace

bool read_assignments(Site& site, const std::string& where, std::string_view text) {
  bool any = false;
  Statements statements{text};
  while (const auto read = statements.next())
    if (!read->name.empty()) any = take(site, where, *read) || any;
  return any;
}

}  // namespace pfsync::engine::imports
