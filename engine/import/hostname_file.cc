#include "engine/import/hostname_file.h"

#include "engine/import/ifconfig_words.h"

namespace pfsync::engine::imports {

std::string interface_of_file(std::string_view name) {
  constexpr std::string_view begin = "hostname.";
  const std::string_view base = name.substr(name.rfind('/') + 1);  // npos + 1 is 0
  return base.starts_with(begin) ? std::string{base.substr(begin.size())} : "";
}

void read_hostname_file(Site& site, const std::string& where, const std::string& interface, std::string_view bytes) {
  site.openbsd = true;
  // netstart(8) reads with sh: a backslash at its end continues a line.
  std::string lines{bytes};
  for (std::size_t at = lines.find("\\\n"); at != std::string::npos; at = lines.find("\\\n", at))
    lines.replace(at, 2, "  ");
  std::string_view text = lines;
  IfconfigWords said;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const auto words = words_of(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (words.empty()) continue;
    if (words.front().starts_with('!'))
      site.notes.add(where + ": a command, " + shown(words.front()) + ": not carried out");
    else
      said.add(read_ifconfig(words));
  }
  if (interface.starts_with("pfsync")) return take_pfsync(site, where, said);
  if (interface.starts_with("carp") || said.has("vhid")) return take_carp(site, where, "", said);
  Interface& here = site.interfaces[interface];
  here.addresses.insert(here.addresses.end(), said.addresses.begin(), said.addresses.end());
  if (said.has("mtu")) here.mtu = said.value("mtu");
}

}  // namespace pfsync::engine::imports
