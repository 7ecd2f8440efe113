#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/import/site.h"

namespace pfsync::engine::imports {

/// What one call of ifconfig(8) says, in the words of FreeBSD or OpenBSD, or one line of hostname.if(5).
struct IfconfigWords {
  std::vector<HostAddress> addresses{};
  std::map<std::string, std::string, std::less<>>
      values{};                       ///< what stands behind a word that wants something behind it
  std::vector<std::string> others{};  ///< words that mean nothing here

  [[nodiscard]] std::string value(std::string_view word) const {
    const auto found = values.find(word);
    return found == values.end() ? "" : found->second;
  }
  [[nodiscard]] bool has(std::string_view word) const { return values.contains(word); }
  /// What a further line about the same interface says.
  void add(const IfconfigWords& more);
};

/// Blanks part words but within quotes; a "#" at the beginning of a word begins a comment.
[[nodiscard]] std::vector<std::string> words_of(std::string_view line);

[[nodiscard]] IfconfigWords read_ifconfig(const std::vector<std::string>& words);

/// Takes what a pfsync interface is told; `where`: the file, for notes.
void take_pfsync(Site& site, const std::string& where, const IfconfigWords& words);

/// Takes a virtual address, or what a further line says of it: the same vhid on the same interface.
void take_carp(Site& site, const std::string& where, const std::string& interface, const IfconfigWords& words);

}  // namespace pfsync::engine::imports
