#include "engine/dpdk/divergence.h"

#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>
#include <utility>

namespace pfsync::engine::dpdk {
namespace {

constexpr std::chrono::milliseconds repair_patience{5000};  ///< for the control thread to begin

}  // namespace

void Divergence::Names::set(const Config& config) {
  std::vector<std::unique_ptr<Row>> rows;
  const auto add = [&rows](std::optional<wire::Address> peer, const InterfaceMap& map) {
    if (!map.empty()) rows.push_back(std::unique_ptr<Row>{new Row{peer, InterfaceTranslator{map}}});
  };
  for (const Config::Peer& peer : config.peers) add(peer.address, peer.interfaces);
  if (config.peers.empty()) add(std::nullopt, config.link.interfaces);
  const std::lock_guard lock{mutex_};
  rows_ = std::move(rows);
}

void Divergence::Names::to_theirs(const wire::Address& peer, wire::State& state) {
  const std::lock_guard lock{mutex_};
  for (const auto& row : rows_)
    if (!row->peer || *row->peer == peer) row->translator.to_theirs(state);
}

Divergence::Divergence(const Config& config, const statetable::Table& table, CycleClock clock,
                       divergence::CarryOut carry_out)
    : table_{table},
      carry_out_{std::move(carry_out)},
      now_{[clock] { return clock.now(); }},
      door_{settings_of(config).facts, table.reader(), ground(), now_},
      settings_{settings_of(config)} {
  names_.set(config);
}

divergence::Asker::Settings Divergence::settings_of(const Config& config) {
  return {.facts = {.family = config.link.family, .address = config.link.address, .delay_ms = config.sync.delay_ms},
          .every = std::chrono::seconds{config.sync.compare_every_s}};
}

divergence::Ground Divergence::ground() {
  return {.carry_out = [this](const wire::Address& peer, std::span<Repair> repairs) -> std::string {
            std::string why = "this node was busy for too long: try again";
            const auto work = [&]() noexcept { why = carry_out_(peer, repairs); };
            static_cast<void>(hands_.run(work, repair_patience));
            return why;
          },
          .to_theirs = [this](const wire::Address& peer, wire::State& state) { names_.to_theirs(peer, state); }};
}

void Divergence::begin(divergence::Ask ask, std::string cannot) {
  cannot_ = std::move(cannot);
  if (cannot_.empty()) asker_.emplace(settings_, table_, ground(), std::move(ask), now_);
}

void Divergence::stop() {
  hands_.close();
  asker_.reset();
}

void Divergence::serve() {
  hands_.serve();
  door_.tick();
  if (!asker_) return;
  for (const auto& line : asker_->take_lines())
    line.warning ? spdlog::warn("comparison: {}", line.sentence) : spdlog::info("comparison: {}", line.sentence);
}

void Divergence::follow(const Config& config) {
  settings_ = settings_of(config);
  names_.set(config);
  door_.set_delay(settings_.facts.delay_ms);
  if (asker_) asker_->set(settings_);
}

Json Divergence::order(bool repair) {
  if (!asker_) return {{"ok", false}, {"error", cannot_}};
  const auto number = asker_->order(repair);
  if (!number) return {{"ok", false}, {"error", "a comparison is under way: pfsyncctl show divergence tells its end"}};
  return {{"ok", true}, {"order", *number}};
}

Json Divergence::status(bool with_differences) const {
  Json json;
  json["can_ask"] = asker_.has_value();
  json["why_not"] = asker_ ? Json(nullptr) : Json(cannot_);
  json["comparison"] = asker_ ? asker_->status(with_differences) : Json(nullptr);
  json["requests_answered"] = door_.requests();
  return json;
}

std::vector<NamedCount> Divergence::counts() const {
  const auto totals = asker_ ? asker_->totals() : divergence::Asker::Totals{};
  return {
      {"compare_runs", "comparisons of the table with the paired engine's", totals.comparisons},
      {"compare_failures", "comparisons that came to no end", totals.failures},
      {"compare_different", "states that comparisons found different", totals.different},
      {"compare_mended", "states that comparisons mended, here or on the paired engine", totals.mended},
      {"compare_bytes", "bytes of comparisons, without TLS", totals.bytes},
      {"compare_answered", "requests of the paired engine's comparisons answered", door_.requests()},
  };
}

}  // namespace pfsync::engine::dpdk
