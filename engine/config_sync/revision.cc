#include "engine/config_sync/revision.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

namespace pfsync::engine::config_sync {

using Json = nlohmann::json;

std::string text_of(const Stored& stored) {
  const Revision& revision = stored.revision;
  return Json{{"digest", revision.digest()},       {"epoch", revision.epoch},   {"file_digest", stored.file_digest},
              {"generation", revision.generation}, {"origin", revision.origin}, {"path", revision.path},
              {"sections", revision.sections},     {"source", stored.source},   {"time_s", stored.time_s}}
      .dump(1, ' ', false, Json::error_handler_t::replace);
}

std::optional<Stored> parse_stored(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  try {
    Stored stored;
    Revision& revision = stored.revision;
    revision.origin = json.at("origin").get<std::string>();
    revision.epoch = json.at("epoch").get<std::uint64_t>();
    revision.generation = json.at("generation").get<std::uint64_t>();
    revision.path = json.at("path").get<std::vector<std::string>>();
    for (const auto& [name, section] : json.at("sections").items())
      revision.sections[name] = section.get<std::string>();
    stored.source = json.at("source").get<std::string>();
    stored.time_s = json.at("time_s").get<std::int64_t>();
    stored.file_digest = json.at("file_digest").get<std::string>();
    if (json.at("digest").get<std::string>() != revision.digest()) return std::nullopt;
    return stored;
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

std::string text_of(const Identity& identity) {
  return Json{{"epoch", identity.epoch},
              {"file_digest", identity.file_digest},
              {"generation", identity.generation},
              {"node_id", identity.node_id},
              {"was_primary", identity.was_primary}}
      .dump();
}

std::optional<Identity> parse_identity(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  try {
    Identity identity{.node_id = json.at("node_id").get<std::string>(),
                      .epoch = json.at("epoch").get<std::uint64_t>(),
                      .generation = json.at("generation").get<std::uint64_t>(),
                      .was_primary = json.at("was_primary").get<bool>(),
                      .file_digest = json.value("file_digest", "")};
    if (!is_node_id(identity.node_id)) return std::nullopt;
    return identity;
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

bool is_node_id(std::string_view text) {
  return text.size() == 32 &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return number;
}

}  // namespace pfsync::engine::config_sync
