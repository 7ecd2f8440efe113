#include "engine/import/ifconfig_words.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <optional>

namespace pfsync::engine::imports {
namespace {

/// Words with one more behind them. Sources: ifconfig(8) and hostname.if(5) of OpenBSD 7, ifconfig(8) of FreeBSD 14.
constexpr std::array<std::string_view, 42> with_value{
    "vhid",      "pass",    "advskew", "advbase",  "carpdev",      "carppeer",  "carpnodes",
    "balancing", "state",   "peer",    "peer6",    "syncdev",      "syncif",    "syncpeer",
    "maxupd",    "version", "mtu",     "netmask",  "prefixlen",    "broadcast", "description",
    "descr",     "name",    "group",   "-group",   "media",        "mediaopt",  "mode",
    "vlan",      "vlandev", "parent",  "vnetid",   "rdomain",      "lladdr",    "ether",
    "metric",    "fib",     "carpver", "vrrpprio", "vrrpinterval", "priority",  "trunkport"};
constexpr std::array<std::string_view, 14> without_meaning{"inet",     "inet6", "alias",  "add",       "up",
                                                           "down",     "NONE",  "-defer", "-syncpeer", "-syncdev",
                                                           "autoconf", "dest",  "dhcp",   "DHCP"};

template <std::size_t size>
bool is_among(const std::array<std::string_view, size>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

/// The prefix length that 255.255.255.0 or 0xffffff00 stands for.
std::optional<unsigned> bits_of_mask(std::string_view text) {
  std::uint32_t mask = 0;
  if (text.starts_with("0x")) {
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + 2, end, mask, 16);
    if (error != std::errc{} || stop != end) return std::nullopt;
  } else {
    const auto parsed = wire::parse_address(text);
    if (!parsed || parsed->first != wire::Family::inet) return std::nullopt;
    for (unsigned i = 0; i < 4; ++i) mask = mask << 8 | parsed->second.bytes[i];
  }
  const auto bits = static_cast<unsigned>(std::countl_one(mask));
  if (bits == 0 || (bits < 32 && mask << bits != 0)) return std::nullopt;
  return bits;
}

std::optional<unsigned> bits_of_number(std::string_view text, unsigned most) {
  unsigned bits = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, bits);
  if (error != std::errc{} || stop != end || bits > most) return std::nullopt;
  return bits;
}

/// A prefix length where an address has none yet: a mask or a number behind it.
std::optional<unsigned> bits_behind(const HostAddress& address, std::string_view word) {
  if (address.bits) return std::nullopt;
  return address.family == wire::Family::inet ? bits_of_mask(word) : bits_of_number(word, 128);
}

void set_if_given(std::string& field, const IfconfigWords& words, std::string_view word) {
  if (words.has(word)) field = words.value(word);
}

std::string listed(const std::vector<std::string>& words) {
  std::string list;
  for (const std::string& word : words) (list.empty() ? list : list.append(", ")).append(shown(word));
  return list;
}

}  // namespace

void IfconfigWords::add(const IfconfigWords& more) {
  addresses.insert(addresses.end(), more.addresses.begin(), more.addresses.end());
  for (const auto& [word, text] : more.values) values.insert_or_assign(word, text);
  others.insert(others.end(), more.others.begin(), more.others.end());
}

std::vector<std::string> words_of(std::string_view line) {
  std::vector<std::string> words;
  std::string word;
  bool begun = false;
  char quote = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote != 0) {
      if (c == quote)
        quote = 0;
      else
        word += c;
      continue;
    }
    const bool is_blank = c == ' ' || c == '\t' || c == '\r' || c == '\n';
    if (c == '#' && !begun) break;
    if (is_blank && begun) words.push_back(std::exchange(word, {}));
    begun = !is_blank;
    if (is_blank) continue;
    if (c == '"' || c == '\'')
      quote = c;
    else if (c == '\\' && i + 1 < line.size())
      word += line[++i];
    else
      word += c;
  }
  if (begun) words.push_back(std::move(word));
  return words;
}

IfconfigWords read_ifconfig(const std::vector<std::string>& words) {
  IfconfigWords read;
  bool is_address_last = false;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (is_among(with_value, word)) {
      if (i + 1 == words.size()) {
        read.others.push_back(word);
        break;
      }
      const std::string& value = words[++i];
      const bool sizes = word == "netmask" || word == "prefixlen";
      if (sizes && !read.addresses.empty())
        read.addresses.back().bits =
            word == "netmask" ? bits_of_mask(value) : bits_of_number(value, 128);  // of this family or of none
      else
        read.values.insert_or_assign(word, value);
      continue;
    }
    if (is_address_last)
      if (const auto bits = bits_behind(read.addresses.back(), word)) {
        read.addresses.back().bits = bits;
        continue;
      }
    if (const auto address = parse_host_address(word)) {
      // Behind an address and its mask stands where it is broadcast, or the other end.
      if (!is_address_last) read.addresses.push_back(*address);
      is_address_last = true;
      continue;
    }
    is_address_last = is_address_last && word == "NONE";
    if (!is_among(without_meaning, word)) read.others.push_back(word);
  }
  // A prefix of 64 bits on an IPv4 address.
  for (HostAddress& address : read.addresses)
    if (address.family == wire::Family::inet && address.bits.value_or(0) > 32) address.bits.reset();
  return read;
}

void take_pfsync(Site& site, const std::string& where, const IfconfigWords& words) {
  set_if_given(site.syncdev, words, "syncif");
  set_if_given(site.syncdev, words, "syncdev");
  set_if_given(site.syncpeer, words, "syncpeer");
  set_if_given(site.maxupd, words, "maxupd");
  set_if_given(site.version, words, "version");
  std::vector<std::string> others;
  for (const std::string& word : words.others) {
    if (word == "defer")
      site.notes.add(where + ": defer: pfsyncd forwards no packets that could wait for the other node: left out");
    else
      others.push_back(word);
  }
  if (!others.empty()) site.notes.add(where + ": not known here: " + listed(others));
}

void take_carp(Site& site, const std::string& where, const std::string& interface, const IfconfigWords& words) {
  const std::string vhid = words.value("vhid");
  const std::string on = words.has("carpdev") ? words.value("carpdev") : interface;
  if (words.has("carpver") && words.value("carpver") != "2")
    return site.notes.add(where + ": vhid " + shown(vhid) + " speaks VRRP, pfsyncd speaks CARP alone: left out");
  if (words.has("carpnodes") || words.has("balancing"))
    return site.notes.add(where +
                          ": carpnodes and balancing: an address has one master here, and no load is shared: left out");
  const auto found = std::find_if(site.hosts.begin(), site.hosts.end(), [&](const VirtualHost& host) {
    return host.vhid == vhid && host.interface == on && !on.empty();
  });
  VirtualHost* host = found != site.hosts.end() ? &*found : site.add_host({.interface = on, .vhid = vhid}, where);
  if (host == nullptr) return;
  set_if_given(host->advbase, words, "advbase");
  set_if_given(host->advskew, words, "advskew");
  set_if_given(host->password, words, "pass");
  set_if_given(host->peer, words, "carppeer");
  set_if_given(host->peer, words, "peer");
  set_if_given(host->peer6, words, "peer6");
  for (const HostAddress& address : words.addresses) site.add_address(*host, address, where);
  if (!words.others.empty()) site.notes.add(where + ": not known here: " + listed(words.others));
}

}  // namespace pfsync::engine::imports
