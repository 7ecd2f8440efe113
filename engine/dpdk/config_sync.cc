#include "engine/dpdk/config_sync.h"

#include <spdlog/spdlog.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

namespace pfsync::engine::dpdk {
namespace {

std::string text_of(const std::string& file) {
  std::ifstream in{file, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

void log(bool warning, const std::string& sentence) {
  warning ? spdlog::warn("{}", sentence) : spdlog::info("{}", sentence);
}

}  // namespace

ConfigSync::ConfigSync(const Config& config, std::string file, Apply apply,
                       std::function<std::string(const std::string& request)> compare)
    : file_{std::move(file)} {
  if (!config.config_sync) return;
  auto made = config_sync::Agent::create(config, text_of(file_), file_,
                                         {.apply = std::move(apply), .log = log, .compare = std::move(compare)});
  if (const auto* why = std::get_if<std::string>(&made)) throw std::runtime_error{*why};
  agent_ = std::move(std::get<0>(made));
}

ConfigSync::~ConfigSync() = default;

void ConfigSync::serve() {
  if (agent_) agent_->serve();
}

void ConfigSync::link_up() {
  if (agent_) agent_->link_up();
}

Json ConfigSync::status() const { return agent_->status(); }

std::vector<NamedCount> ConfigSync::counts() const {
  std::vector<NamedCount> counts;
  if (!agent_) return counts;
  for (config_sync::Agent::Count& count : agent_->counts())
    counts.push_back({std::move(count.word), std::move(count.sentence), count.value});
  return counts;
}

Json ConfigSync::order(const Json& request) {
  const auto refusal = [](const std::string& why) { return Json{{"ok", false}, {"error", why}}; };
  auto order = config_sync::order_of(request);
  if (const auto* why = std::get_if<std::string>(&order)) return refusal(*why);
  const auto number = agent_->order(std::get<config_sync::Order>(order));
  if (const auto* why = std::get_if<std::string>(&number)) return refusal(*why);
  return {{"ok", true}, {"order", std::get<std::uint64_t>(number)}};
}

std::variant<config_sync::Wanted, std::string> ConfigSync::read_again() {
  auto own = load_config(file_);
  if (const auto* why = std::get_if<std::string>(&own)) return *why;
  if (!agent_) return config_sync::Wanted{std::move(std::get<Config>(own))};
  text_ = text_of(file_);
  own = parse_config(text_, file_);  // of the same text as what is merged, whoever writes the file meanwhile
  if (const auto* why = std::get_if<std::string>(&own)) return *why;
  return agent_->reload(std::get<Config>(own), text_);
}

void ConfigSync::follow(const std::vector<std::string>& restart) {
  if (agent_) agent_->follow(std::exchange(text_, ""), restart);
}

}  // namespace pfsync::engine::dpdk
