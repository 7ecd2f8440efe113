#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/config/config.h"
#include "engine/control/creator_counts.h"
#include "engine/control/health.h"
#include "engine/control/state_id.h"
#include "engine/session/bulk_sender.h"
#include "engine/session/session.h"
#include "engine/session/synthetic.h"
#include "statetable/table.h"

namespace pfsync::engine {

namespace carp {
struct View;
}

/// Keys come out in the order they were put in.
using Json = nlohmann::ordered_json;

/// A counter outside the session: of the port, the link, the control socket.
struct NamedCount {
  std::string word;
  std::string sentence;
  std::uint64_t value = 0;
};

/// What of a running daemon the control side may look at. Everything here may be read from the control
/// thread while the data path works; the references outlive the view.
struct DaemonView {
  std::string version;
  const Config& config;
  const statetable::Table& table;
  const Session& session;                             ///< only what any thread may read of it
  std::vector<const Session*> others{};               ///< the further parts of it, each on a core of its own
  std::vector<const BulkSender*> senders;             ///< one for each of the session's peers
  std::vector<const SyntheticFirewall*> synthetic{};  ///< one a part; none: this node plays no firewall
  const carp::View* carp = nullptr;                   ///< null: no [[carp]] here
  Instant started{};
  std::function<Instant()> now;           ///< the data path's clock
  std::function<std::uint64_t()> queued;  ///< changes waiting to be announced
  std::function<bool()> link_up;
  std::function<std::vector<NamedCount>()> counts;  ///< what is counted outside the session
  /// A device that takes frames and lets none go.
  struct Still {
    bool is_link = true;
    std::string name;
    std::size_t mtu = 1500;
  };
  std::function<std::vector<Still>()> standing_still{};  ///< empty: nobody looks
  /// What the view remembers between two looks.
  std::shared_ptr<CreatorCounts> creators = std::make_shared<CreatorCounts>();
  std::function<Json()> config_sync{};  ///< empty: no [config_sync] here
  std::function<Json()> snapshot{};     ///< null while there is no [snapshot]; empty: no such part
  std::shared_ptr<HealthMonitor> health = std::make_shared<HealthMonitor>();
  /// How far a peer has the same states, by samples; empty: nothing does that here.
  std::function<Json(unsigned peer)> sampling{};
  std::function<Json()> process{};  ///< what it takes of the machine; empty: it is no process of its own
  /// How its table compares with the paired engine's; empty: nothing does that here.
  std::function<Json(bool with_differences)> divergence{};

  /// f(session) for each part of it.
  template <class F>
  void for_each_part(F&& f) const {
    f(session);
    for (const Session* other : others) f(*other);
  }
};

/// The verdict as of now. Good until it is asked for again.
[[nodiscard]] const Health& health_of(const DaemonView& daemon);
/// Each with its `level`, `trouble`, `peer` (null: this node) and `sentence`, worst first.
[[nodiscard]] Json reasons_json(const Health& health);

/// The digest costs a walk through the whole table, so it is given only when asked for.
[[nodiscard]] Json status_json(const DaemonView& daemon, bool with_digest);
/// The counters of IPsec SAs that peers told of, those heard of last first.
[[nodiscard]] Json tdbs_json(const DaemonView& daemon);
/// `counters`, `received`, `sent` and `outside` as word → number; with sentences, `sentences` as word → text.
[[nodiscard]] Json counters_json(const DaemonView& daemon, bool with_sentences);
/// One object: addresses and levels as pfctl prints them, plus `text`, all of `pfctl -ss -vv`.
[[nodiscard]] Json state_json(const wire::State& state);

/// 32 hex digits.
[[nodiscard]] std::string digest_text(const statetable::Digest& digest);

}  // namespace pfsync::engine
