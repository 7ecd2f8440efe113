#include "tests/wire/examples.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace pfsync::wire::test {

const std::vector<Example>& examples() {
  static const std::vector<Example> all = [] {
    std::ifstream file{PFSYNC_VECTORS_DIR "/pfsync-examples.json"};
    if (!file) throw std::runtime_error{"cannot open " PFSYNC_VECTORS_DIR "/pfsync-examples.json"};
    std::vector<Example> result;
    const nlohmann::json facts = nlohmann::json::parse(file);
    for (const auto& packet : facts.at("packets"))
      result.push_back({packet.at("name"), packet.at("dialect"), from_hex(packet.at("packet_hex").get<std::string>()),
                        packet.at("pfsync_offset"), std::make_shared<const nlohmann::json>(packet)});
    if (result.empty()) throw std::runtime_error{"pfsync-examples.json has no packets"};
    return result;
  }();
  return all;
}

const Example& example(std::string_view name) {
  for (const Example& candidate : examples())
    if (candidate.name == name) return candidate;
  throw std::runtime_error{"no example " + std::string{name}};
}

}  // namespace pfsync::wire::test
