#include "engine/http/read_settings.h"

#include <charconv>

#include "wire/address.h"

namespace pfsync::engine::http {
std::optional<Endpoint> parse_endpoint(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon), digits = text.substr(colon + 1);
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  const auto parsed = wire::parse_address(host);
  if (!parsed || bracketed != (parsed->first == wire::Family::inet6) ||
      wire::is_multicast(parsed->first, parsed->second))
    return std::nullopt;
  Endpoint endpoint{.address = wire::to_string(parsed->second, parsed->first)};
  const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), endpoint.port);
  if (error != std::errc{} || stop != digits.data() + digits.size() || endpoint.port == 0) return std::nullopt;
  endpoint.is_loopback =
      parsed->first == wire::Family::inet ? parsed->second.bytes[0] == 127 : endpoint.address == "::1";
  return endpoint;
}

std::optional<Settings> read_settings(ConfigSection& file) {
  auto section = file.section("http");
  if (!section) return std::nullopt;
  Settings settings;
  bool is_loopback = true;
  if (const auto listen = section->text("listen")) {
    const auto endpoint = parse_endpoint(*listen);
    if (!endpoint)
      section->fail("listen", "\"" + *listen + "\" is not ADDRESS:PORT: write it as 127.0.0.1:8443 or [::1]:8443");
    settings.address = endpoint->address;
    settings.port = endpoint->port;
    is_loopback = endpoint->is_loopback;
  }
  section->file_into(settings.certificate, "certificate");
  section->file_into(settings.key, "key");
  if (settings.certificate.empty() != settings.key.empty())
    section->fail(settings.key.empty() ? "certificate" : "key",
                  "needs its other half: give certificate and key, or neither for one that pfsyncd makes");
  section->file_into(settings.users_file, "users_file");
  section->file_into(settings.client_ca, "client_ca");
  settings.anyone_reads = is_loopback;
  if (const auto read = section->text("read")) {
    if (*read != "anyone" && *read != "users")
      section->fail("read", "\"" + *read + "\" is unknown: give \"anyone\" or \"users\"");
    settings.anyone_reads = *read == "anyone";
  }
  section->number_into(settings.session_minutes, "session_minutes", 1, 1440);
  section->finish();
  return settings;
}

}  // namespace pfsync::engine::http
