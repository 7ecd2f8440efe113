#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <random>
#include <vector>

#include "engine/counters.h"
#include "engine/session/session.h"

namespace pfsync::engine {

struct SyntheticConfig {
  std::size_t states = 100'000;        ///< states held at a time
  std::uint64_t fill_per_s = 200'000;  ///< opened per second until `states` are held
  std::uint64_t new_per_s = 2'000;     ///< then closed and opened again per second
  std::uint64_t updates_per_s = 20'000;
  unsigned tcp_percent = 70;
  unsigned udp_percent = 25;  ///< the rest is ICMP
  unsigned ipv6_percent = 20;
  unsigned nat_percent = 40;  ///< of the IPv4 states: source NAT on the way out
  std::uint64_t seed = 1;
  std::uint64_t first_id = 1;  ///< pf takes the time of boot: ids of an earlier life must not come again

  friend bool operator==(const SyntheticConfig&, const SyntheticConfig&) = default;
};

/// The share of a core that plays the firewall together with others, each over its part of the session. With fewer
/// states than cores some have none.
[[nodiscard]] SyntheticConfig part_of(const SyntheticConfig& whole, unsigned part, unsigned parts) noexcept;

/// A load source that plays a firewall: connections open, transfer and close through the session's
/// local API, as a data path would. No I/O and no clock; the same seed and times give the same load.
/// Memory is fixed at construction; a call does a bounded amount of work. Thread: the session's; `run`
/// apart, `stop` and `resume` may be called from any.
class SyntheticFirewall {
 public:
  static constexpr std::size_t operations_max = 256;  ///< in one call of run
  static constexpr std::size_t queued_max = 20'000;   ///< above it new changes wait: the link is slower than we

  explicit SyntheticFirewall(const SyntheticConfig& config);
  [[nodiscard]] static constexpr std::size_t memory_bytes(const SyntheticConfig& config) noexcept {
    return config.states * sizeof(Connection);
  }

  /// Does what has become due since the last call, at most operations_max operations. Returns how many.
  std::size_t run(Session& session, Instant now) noexcept;

  void stop() noexcept { running_.store(false, std::memory_order_relaxed); }
  void resume() noexcept { running_.store(true, std::memory_order_relaxed); }
  [[nodiscard]] bool running() const noexcept { return running_.load(std::memory_order_relaxed); }

  [[nodiscard]] std::uint64_t opened() const noexcept { return opened_.value(); }
  [[nodiscard]] std::uint64_t updated() const noexcept { return updated_.value(); }
  [[nodiscard]] std::uint64_t closed() const noexcept { return closed_.value(); }
  /// Operations put off because the session's queue was long or its table full.
  [[nodiscard]] std::uint64_t waited() const noexcept { return waited_.value(); }

 private:
  /// What the firewall remembers of a connection; the rest is in the table.
  struct Connection {
    wire::StateId id{};
    wire::Peer src{};
    wire::Peer dst{};
    std::uint8_t proto = 0;
    std::uint8_t timeout = 0;
  };
  /// Work that accrues with time.
  struct Allowance {
    Instant since{};
    std::uint64_t done = 0;
    [[nodiscard]] std::uint64_t due(Instant now, std::uint64_t per_s) const noexcept;
  };

  [[nodiscard]] std::uint64_t below(std::uint64_t bound) noexcept { return random_() % bound; }
  [[nodiscard]] bool chance(unsigned percent) noexcept { return below(100) < percent; }
  /// At most `burst` at a time. Returns how many came about.
  std::size_t open(Session& session, std::size_t count, Instant now) noexcept;
  [[nodiscard]] wire::State new_state(std::uint32_t creatorid) noexcept;
  void transfer(Session& session, std::size_t count, Instant now) noexcept;
  /// The next packets of a connection.
  void advance(Connection& connection) noexcept;
  void close(Session& session, std::size_t which, Instant now) noexcept;
  void forget(std::size_t which) noexcept;

  static constexpr std::size_t burst = 64;
  std::array<wire::State, burst> opening_{};
  std::array<wire::Update, burst> updating_{};
  std::array<std::size_t, burst> chosen_{};
  std::array<Session::Local, burst> results_{};

  SyntheticConfig config_;
  std::mt19937_64 random_;
  std::vector<Connection> connections_;  ///< reserved to config.states at construction
  std::uint64_t next_id_;
  bool filled_ = false;
  bool started_ = false;
  Allowance filling_{}, churn_{}, transfers_{};
  std::atomic<bool> running_{true};
  Counter opened_, updated_, closed_, waited_;
};

}  // namespace pfsync::engine
