#include "engine/import/translate.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/config/config.h"
#include "engine/import/assignments.h"
#include "engine/import/config_xml.h"
#include "engine/import/hostname_file.h"
#include "engine/import/site.h"

namespace pfsync::engine::imports {
namespace {

constexpr std::size_t a_sentence = 400;  ///< of a refusal: bounded, since it tells what stands in the files

/// As a string of TOML. JSON escapes less than TOML wants escaped by one character.
std::string toml_string(const std::string& text) {
  std::string written = nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  for (std::size_t at = written.find('\x7f'); at != std::string::npos; at = written.find('\x7f', at))
    written.replace(at, 1, "\\u007f");
  return written;
}

/// The sentence of a refused configuration without "FILE:LINE: ", which nobody can look at.
std::string reason_of(const std::string& sentence) {
  const std::size_t line = sentence.find(':');
  const std::size_t at = line == std::string::npos ? line : sentence.find(": ", line + 1);
  return at == std::string::npos ? sentence : sentence.substr(at + 2);
}

/// A configuration that grows by what the daemon's own reader takes: what it refuses is left out, and its reason noted.
class Configuration {
 public:
  explicit Configuration(Notes& notes) : notes_{&notes} {}

  /// Empty, or why not.
  std::string try_to_add(const std::string& lines) {
    const auto result = parse_config(text_ + lines, "import");
    if (const auto* sentence = std::get_if<std::string>(&result)) return reason_of(*sentence);
    text_ += lines;
    return "";
  }
  /// `what`: as whose note a refusal stands.
  bool add(const std::string& lines, const std::string& what) {
    const std::string why = try_to_add(lines);
    if (!why.empty()) notes_->add(what + ": left out, since " + why);
    return why.empty();
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  Notes* notes_;
  std::string text_;
};

/// A number of the firewall's as TOML; what is none becomes a string, which the reader refuses in its own words.
std::string number_text(const std::string& text) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc{} && stop == end ? std::to_string(value) : toml_string(text);
}

/// Not the group of all that have virtual addresses, which may stand there too.
bool is_one_node(const std::string& peer) {
  const auto parsed = wire::parse_address(peer);
  return !peer.empty() && !(parsed && wire::is_multicast(parsed->first, parsed->second));
}

class Translation {
 public:
  Translation(Site& site, const Choice& choice) : site_{site}, choice_{choice}, file_{site.notes} {}

  /// Throws Unreadable.
  std::string run() {
    add_link();
    add_peers();
    add_sync();
    add_hosts();
    return file_.text();
  }

 private:
  [[nodiscard]] bool is_beside() const { return !choice_.address.empty(); }

  std::string device(const std::string& interface) {
    const auto found = choice_.devices.find(interface);
    if (found != choice_.devices.end()) return found->second;
    if (named_.insert(interface).second)
      site_.notes.add("device " + shown(interface) + " is the firewall's name of " + what_it_is(interface) +
                      ", or import with --device " + shown(interface) + "=NAME");
    return interface;
  }

  [[nodiscard]] std::string what_it_is(const std::string& interface) const {
    const auto found = site_.interfaces.find(interface);
    if (found == site_.interfaces.end() || found->second.vlan.empty()) return "it: give this machine's";
    const std::string vlan = shown(found->second.vlan);
    return "VLAN " + vlan + " of " + shown(found->second.parent) +
           ": give this machine's interface of that VLAN, or its card with vlan = " + vlan + " below it";
  }

  /// Of an interface of the firewall's; nullopt: no file tells.
  [[nodiscard]] std::optional<HostAddress> own_address(const std::string& interface, wire::Family family) const {
    const auto found = site_.interfaces.find(interface);
    if (found == site_.interfaces.end()) return std::nullopt;
    const auto is_meant = [&](const HostAddress& one) { return one.family == family; };
    const auto& all = found->second.addresses;
    const auto own = std::find_if(all.begin(), all.end(), is_meant);
    return own == all.end() ? std::nullopt : std::optional{*own};
  }

  /// One of a network that is for documentation (RFC 5737, RFC 3849), another each time.
  std::string placeholder(wire::Family family, const std::string& interface) {
    std::string address = (family == wire::Family::inet ? "192.0.2." : "2001:db8::") + std::to_string(++placeholders_);
    site_.notes.add("no file tells the address of " + shown(interface) + ": " + address +
                    " stands for it and does not work: give this node's own address there");
    return address;
  }

  /// Of the interface: an address of the family that is wanted, of the other when there is just that, or one that
  /// stands for it.
  std::string own_text(const std::string& interface, wire::Family wanted) {
    const auto other = wanted == wire::Family::inet ? wire::Family::inet6 : wire::Family::inet;
    auto own = own_address(interface, wanted);
    if (!own && !is_family_fixed_) own = own_address(interface, other);
    return own ? own->text() : placeholder(wanted, interface);
  }

  void add_link() {
    const auto peer = wire::parse_address(site_.syncpeer);
    const auto family = peer ? peer->first : wire::Family::inet;
    is_family_fixed_ = peer.has_value();
    const std::string address = is_beside() ? choice_.address : own_text(site_.syncdev, family);
    if (const std::string why = file_.try_to_add("[link]\ndevice = " + toml_string(device(site_.syncdev)) +
                                                 "\naddress = " + toml_string(address) + "\n");
        !why.empty())
      throw Unreadable{"the files make no [link]: " + shown(why, a_sentence)};
    if (!is_beside() && own_address(site_.syncdev, family))
      site_.notes.add("link.address " + address +
                      " is the firewall's own: right in its place; for a further node beside it import with --address");
    if (const auto found = site_.interfaces.find(site_.syncdev);
        found != site_.interfaces.end() && !found->second.mtu.empty())
      file_.add("mtu = " + number_text(found->second.mtu) + "\n", "mtu of " + shown(site_.syncdev));
    is_family_fixed_ = false;
    if (peer && wire::is_multicast(peer->first, peer->second))
      file_.add("multicast = " + toml_string(site_.syncpeer) + "\n", "syncpeer " + shown(site_.syncpeer));
    if (!has_unicast()) add_dialect("pfsync's version");
  }

  [[nodiscard]] bool has_unicast() const {
    const auto peer = wire::parse_address(site_.syncpeer);
    return !site_.syncpeer.empty() && !(peer && wire::is_multicast(peer->first, peer->second));
  }

  [[nodiscard]] std::string dialect_line() const {
    if (site_.openbsd) return "dialect = \"openbsd\"\n";
    return site_.version.empty() || site_.version == "0" ? "" : "dialect = " + toml_string(site_.version) + "\n";
  }
  void add_dialect(const std::string& what) {
    if (const std::string line = dialect_line(); !line.empty()) file_.add(line, what);
  }

  void add_peer(const std::string& address) {
    const std::string what = "syncpeer " + shown(address), lines = "[[peer]]\naddress = " + toml_string(address) + "\n";
    if (file_.try_to_add(lines + dialect_line()).empty()) return;
    if (file_.add(lines, what))
      site_.notes.add("pfsync's version " + shown(site_.version) + " is not known here: left out");
  }

  void add_peers() {
    if (!has_unicast()) return;
    if (is_beside()) {
      const auto peer = wire::parse_address(site_.syncpeer);
      if (const auto own = own_address(site_.syncdev, peer ? peer->first : wire::Family::inet))
        add_peer(wire::to_string(own->address, own->family));
      site_.notes.add(
          "the firewalls send to each other alone: give each of them this node's address as pfsync's syncpeer");
    }
    add_peer(site_.syncpeer);
  }

  void add_sync() {
    std::string begin = "[sync]\n";
    const auto add = [&](const std::string& line, const std::string& what) {
      if (file_.add(begin + line, what)) begin.clear();
    };
    if (!site_.creatorid.empty() && !is_beside())
      add("creatorid = " + toml_string("0x" + site_.creatorid) + "\n", "pfhostid " + shown(site_.creatorid));
    if (!site_.maxupd.empty()) add("maxupd = " + number_text(site_.maxupd) + "\n", "maxupd " + shown(site_.maxupd));
  }

  // --- virtual addresses -----------------------------------------------------------------------------

  /// Where a host is, whose file does not name an interface: that with an address in its network.
  [[nodiscard]] std::string interface_of(const VirtualHost& host) const {
    if (!host.interface.empty()) return host.interface;
    for (const HostAddress& address : host.addresses)
      for (const auto& [name, interface] : site_.interfaces)
        for (const HostAddress& own : interface.addresses)
          if (is_in_network_of(address, own)) return name;
    return "";
  }

  std::string carp_lines(const VirtualHost& host) const {
    std::string lines =
        "[[carp]]\nvhid = " + number_text(host.vhid) + "\npassword = " + toml_string(host.password) + "\n";
    if (site_.is_pfsense) lines += "password_form = \"pfsense\"\n";
    lines += "addresses = [";
    std::set<std::string> written;
    for (const HostAddress& address : host.addresses)
      if (const std::string text = toml_string(address.text()); written.insert(text).second)
        lines += (written.size() == 1 ? "" : ", ") + text;
    lines += "]\n";
    if (!host.advbase.empty()) lines += "advbase = " + number_text(host.advbase) + "\n";
    if (!host.advskew.empty()) lines += "advskew = " + number_text(host.advskew) + "\n";
    // Off unless told, on both systems.
    lines += std::string{"preempt = "} + (site_.preempt.value_or(false) ? "true" : "false") + "\n";
    if (site_.openbsd) lines += "openbsd = true\n";
    if (is_one_node(host.peer)) lines += "peer = " + toml_string(host.peer) + "\n";
    if (is_one_node(host.peer6)) lines += "peer6 = " + toml_string(host.peer6) + "\n";
    return lines;
  }

  void add_hosts() {
    if (is_beside()) {
      if (!site_.hosts.empty())
        site_.notes.add("virtual addresses: all of " + std::to_string(site_.hosts.size()) +
                        " left to the firewalls, since this node stands beside them");
      return;
    }
    bool any = false;
    for (const VirtualHost& host : site_.hosts) any = add_host(host) || any;
    if (!any) return;
    site_.notes.add(
        "the virtual addresses are the firewall's: while this node is master what is sent to them ends here, since "
        "pfsyncd "
        "forwards nothing; remove those that a firewall is to have");
    if (!site_.preempt)
      site_.notes.add("preempt: no file tells net.inet.carp.preempt, which is 0 unless set: taken as that");
  }

  bool add_host(const VirtualHost& host) {
    const std::string interface = interface_of(host);
    const std::string what = "vhid " + shown(host.vhid) + (interface.empty() ? "" : " on " + shown(interface));
    if (interface.empty()) {
      site_.notes.add(what + ": left out, since it names no interface, and no file has an address in its network");
      return false;
    }
    std::string lines;
    const bool is_further = interface != site_.syncdev;
    if (is_further && !added_.contains(interface)) {
      const auto family = host.addresses.empty() ? wire::Family::inet : host.addresses.front().family;
      lines = "[[interface]]\ndevice = " + toml_string(device(interface)) +
              "\naddress = " + toml_string(own_text(interface, family)) + "\n";
    }
    lines += carp_lines(host);
    if (is_further) lines += "interface = " + toml_string(device(interface)) + "\n";
    if (!file_.add(lines, what)) return false;
    if (is_further) added_.insert(interface);
    return true;
  }

  Site& site_;
  const Choice& choice_;
  Configuration file_;
  std::set<std::string> named_, added_;  ///< interfaces: told of, and with an [[interface]]
  unsigned placeholders_ = 0;
  bool is_family_fixed_ = false;
};

void read(Site& site, const Source& file) {
  const std::string name = shown(file.name);
  if (file.text.size() > file_bytes_max)
    throw Unreadable{name + " is larger than 32 MiB: this is no configuration of a firewall"};
  if (looks_like_xml(file.text)) return read_config_xml(site, name, file.text);
  if (file.text.find('\0') != std::string::npos)
    throw Unreadable{name + " is not text: give hostname.IF, rc.conf, sysctl.conf or config.xml"};
  const bool sound = is_utf8(file.text);
  if (!sound) site.notes.add(name + " is not UTF-8: a question mark stands for each byte that is not ASCII");
  const std::string text = sound ? file.text : as_ascii(file.text);
  if (const std::string interface = interface_of_file(file.name); !interface.empty())
    return read_hostname_file(site, name, interface, text);
  if (!read_assignments(site, name, text))
    throw Unreadable{name +
                     " says nothing of pfsync or an interface: give hostname.IF of OpenBSD under that name, rc.conf or "
                     "sysctl.conf of FreeBSD, or config.xml of pfSense or OPNsense"};
}

std::string header_of(const std::vector<Source>& files, const Imported& imported, bool has_passwords) {
  std::string text = "# Made by pfsyncctl import from ";
  for (std::size_t i = 0; i < files.size(); ++i) text += (i == 0 ? "" : ", ") + shown(files[i].name);
  text += ". Every key is in pfsyncd.toml(5).\n";
  if (has_passwords) text += "# It holds the passwords of virtual addresses: keep it from other eyes.\n";
  if (!imported.notes.empty()) text += "#\n# To look at:\n";
  for (const std::string& note : imported.notes) text += "# - " + note + ".\n";
  return text + "\n";
}

}  // namespace

std::variant<Imported, std::string> translate(const std::vector<Source>& files, const Choice& choice) {
  Site site;
  try {
    for (const Source& file : files) read(site, file);
    if (site.syncdev.empty())
      throw Unreadable{
          shown(files.empty() ? "no file" : files.front().name) +
          ": nothing tells the port of pfsync (syncdev, pfsync_syncdev, pfsyncinterface): give that file too"};
    Imported imported;
    const std::string text = Translation{site, choice}.run();
    imported.notes = site.notes.all();
    imported.toml = header_of(files, imported, text.find("\npassword = ") != std::string::npos) + text;
    return imported;
  } catch (const Unreadable& why) {
    return why.sentence;
  }
}

}  // namespace pfsync::engine::imports
