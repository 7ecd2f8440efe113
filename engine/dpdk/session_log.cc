#include "engine/dpdk/session_log.h"

#include <spdlog/spdlog.h>

#include "wire/text.h"

namespace pfsync::engine::dpdk {

SessionLog::SessionLog(const Config& config, const PartitionedSession& node, const statetable::Table& table,
                       const Placed<Lane>& lanes)
    : config_{&config}, node_{&node}, session_{&node.first()}, table_{&table}, lanes_{&lanes} {
  for (unsigned peer = 0; peer < session_->peers(); ++peer) told_.push_back(fresh(peer));
}

SessionLog::Told SessionLog::fresh(unsigned peer) const {
  Told told;
  told.dialect = session_->dialect(peer).in_use();
  told.active = session_->is_active(peer);
  return told;
}

void SessionLog::follow(const std::vector<std::optional<std::size_t>>& before) {
  std::vector<Told> told;
  for (unsigned peer = 0; peer < before.size(); ++peer)
    told.push_back(before[peer] ? told_[*before[peer]] : fresh(peer));
  told_ = std::move(told);
}

std::string SessionLog::text_of(unsigned peer) const {
  if (config_->peers.empty()) return "the group";
  return "peer " + wire::to_string(config_->peers[peer].address, config_->link.family);
}

void SessionLog::look_at_bulk(unsigned peer, Told& told) const {
  const BulkRequester& bulk = session_->bulk(peer);
  if (const BulkPhase phase = bulk.phase(); phase != told.phase) {
    told.phase = phase;
    switch (phase) {
      case BulkPhase::none: break;
      case BulkPhase::asked: spdlog::info("bulk update: asked {} for all states", text_of(peer)); break;
      case BulkPhase::receiving: spdlog::info("bulk update: {} has begun to send", text_of(peer)); break;
      case BulkPhase::done:
        spdlog::info("bulk update: complete, {} states received from {}, {} held", bulk.states(), text_of(peer),
                     table_->size());
        break;
      case BulkPhase::failed:
        spdlog::warn("bulk update: {} has not answered {} requests; asking again when somebody is heard", text_of(peer),
                     bulk.tries());
        break;
    }
  }
  const bool active = session_->is_active(peer);
  if (active != told.active) {
    told.active = active;
    if (active)
      spdlog::info("{}: this node speaks with it now", text_of(peer));
    else
      spdlog::info("{}: another node speaks with it now", text_of(peer));
  }
  const BulkSender& sender = (*lanes_)[peer].sender;
  if (const bool serves = sender.running(); serves != told.serves) {
    told.serves = serves;
    // Who has nothing is asked for all of it to see whether it is there: no update to tell of.
    const bool is_empty = (serves ? sender.states_total() : sender.states_sent()) == 0;
    if (is_empty && active) return;
    if (serves)
      spdlog::info("bulk update: {} asked, sending {} states", text_of(peer), sender.states_total());
    else
      spdlog::info("bulk update: {} states sent to {}{}", sender.states_sent(), text_of(peer),
                   active ? "" : ", broken off");
  }
}

void SessionLog::look_at_dialect(unsigned peer, Told& told, Instant now) const {
  const PeerDialect& dialect = session_->dialect(peer);
  const wire::Dialect in_use = dialect.in_use();
  const bool apart = dialect.apart() > 0;
  if ((in_use == told.dialect && apart == told.apart) || now < told.dialect_at + calm) return;
  told.dialect_at = now;
  if (in_use != told.dialect)
    spdlog::info("dialect {} is written to {} instead of {}, as that is what is heard", wire::word(in_use),
                 text_of(peer), wire::word(told.dialect));
  if (apart && !told.apart)
    spdlog::warn("{} of the nodes heard do not take the dialect {} that is written to {}", dialect.apart(),
                 wire::word(in_use), text_of(peer));
  told.dialect = in_use;
  told.apart = apart;
}

void SessionLog::look(Instant now) {
  for (unsigned peer = 0; peer < session_->peers(); ++peer) {
    look_at_bulk(peer, told_[peer]);
    look_at_dialect(peer, told_[peer], now);
  }
  std::uint64_t refused = 0;
  for (unsigned part = 0; part < node_->parts(); ++part)
    refused += node_->part(part).counters()[Tally::table_full].value() +
               node_->part(part).counters()[Tally::made_room].value();
  if (!full_ && refused > 0) {
    full_ = true;
    spdlog::error("the table is full and refuses states: raise table.states_max ({})", table_->config().states_max);
  }
}

}  // namespace pfsync::engine::dpdk
