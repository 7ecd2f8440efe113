#pragma once

#include <atomic>
#include <compare>
#include <cstdint>
#include <optional>

#include "engine/counters.h"
#include "engine/session/bulk_gate.h"
#include "engine/session/interface_map.h"
#include "statetable/table.h"
#include "statetable/time.h"
#include "wire/bytes.h"
#include "wire/dialect.h"

namespace pfsync::engine {

struct BulkSenderConfig {
  std::uint32_t creatorid = 0;
  wire::Dialect dialect = wire::Dialect::freebsd_1301;  ///< until told otherwise
  std::uint64_t states_per_s = 50'000;                  ///< 0 = as fast as the link takes them
  InterfaceMap interfaces{};                            ///< of the peer that is served
};

/// The serving side of a bulk update: BUS START, every state of the table whose time has not run out as full UPDs in
/// full packets, BUS END with the true age of the request. TCP connections that have lasted go first: they are the ones
/// that nobody opens again. Reads the table lock-free, so it may run on the control thread while the data path works;
/// no I/O inside. Thread-bound; progress may be read from any thread. A state that comes or goes meanwhile is announced
/// by the live traffic.
///
/// Who asks while a bulk runs gets START again, the rest, and then what had gone before it asked: the walk goes round
/// the table and ends where it was at the last request, so that no request sets it back. OpenBSD, which takes any END
/// after a START for its own, is told only that of the last request; whoever asks once an END was left out for that
/// waits for the next bulk, so that END comes after one more lap, however often somebody asks. Source: FreeBSD
/// sys/netpfil/pf/if_pfsync.c, pfsync_bulk_start(), pfsync_bulk_update().
class BulkSender {
 public:
  using Instant = statetable::Instant;
  /// TCP states at least this old when a bulk begins go first.
  static constexpr statetable::Seconds long_lived_s = 60;
  /// A peer is answered by START once in this time at most; a request within it waits.
  static constexpr std::chrono::seconds start_every{1};

  /// `gate`: shared with the session that announces deletes; null when they share a thread and a queue.
  BulkSender(const BulkSenderConfig& config, const statetable::Table& table, BulkGate* gate = nullptr) noexcept;

  /// What packets are written in from now on, also those of a bulk that runs.
  void speak(wire::Dialect dialect) noexcept { config_.dialect = dialect; }
  [[nodiscard]] wire::Dialect dialect() const noexcept { return config_.dialect; }
  /// From now on, also of a bulk that runs; same thread.
  void set(std::uint64_t states_per_s, const InterfaceMap& interfaces) noexcept {
    config_.states_per_s = states_per_s;
    interfaces_.set(interfaces);
  }
  /// The peer asked, or a part of what was written got lost: all that is in the table now will be sent from here on.
  void start(Instant now) noexcept;
  /// Nobody waits for the rest any more.
  void cancel() noexcept { running_.store(false, std::memory_order_relaxed); }
  [[nodiscard]] bool running() const noexcept { return running_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool is_paced() const noexcept { return config_.states_per_s > 0; }
  /// Writes the next packet (without IP header) if pacing allows; 0 when there is nothing to send now.
  /// Each packet written must be reported to the gate when it was handed over.
  [[nodiscard]] std::size_t transmit(wire::Room room, Instant now) noexcept;
  /// When transmit should be called next; Instant::max() when no bulk runs.
  [[nodiscard]] Instant timeout() const noexcept;

  // Any thread:
  [[nodiscard]] std::uint64_t states_per_s() const noexcept { return config_.states_per_s; }
  /// Since the first request of those served together.
  [[nodiscard]] std::uint64_t states_sent() const noexcept { return states_sent_.load(std::memory_order_relaxed); }
  /// As many as the table had when it was last asked for, on top of those sent by then.
  [[nodiscard]] std::uint64_t states_total() const noexcept { return states_total_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t bulks_served() const noexcept { return bulks_served_.load(std::memory_order_relaxed); }
  /// Requests that came while a bulk ran.
  [[nodiscard]] std::uint64_t requests_merged() const noexcept { return merged_.load(std::memory_order_relaxed); }
  /// From the first request on, until the last packet or now; zero before the first bulk.
  [[nodiscard]] statetable::Duration taking(Instant now) const noexcept;
  [[nodiscard]] const Losses& lost() const noexcept { return lost_; }
  [[nodiscard]] const InterfaceTranslator& interfaces() const noexcept { return interfaces_; }

 private:
  /// Where the walk is: it goes through the table twice a lap, for the states that have lasted and for the rest.
  struct Position {
    std::uint64_t lap = 0;
    bool is_rest = false;
    statetable::TableReader::Cursor cursor{};

    friend constexpr auto operator<=>(const Position&, const Position&) noexcept = default;
  };
  struct Round {
    Instant began{};
    Position end{};  ///< a lap behind where the walk was then
  };

  [[nodiscard]] bool has_lasted(const statetable::TableReader::Lasting& state) const noexcept;
  /// The next state of the round; nullopt at its end.
  [[nodiscard]] std::optional<statetable::Snapshot> next() noexcept;
  void begin(Instant at) noexcept;
  void merge(Instant now) noexcept;
  void go_on() noexcept;
  void pace(std::uint64_t states, Instant now) noexcept;

  BulkSenderConfig config_;
  const statetable::Table* table_;
  statetable::TableReader reader_;
  BulkGate* gate_;
  Position at_{};
  Round round_{};
  std::optional<Round> following_{};  ///< of the last request taken up while a round was under way
  statetable::Seconds lasting_since_s_ = 0;
  Instant next_packet_at_{};
  std::optional<Instant> started_at_{};  ///< the last START
  bool is_start_due_ = false;
  bool is_asked_again_ = false;
  bool is_end_owed_ = false;  ///< one was left out: no request is taken up before the next
  std::atomic<bool> running_{false};
  std::atomic<std::uint64_t> states_sent_{0};
  std::atomic<std::uint64_t> states_total_{0};
  std::atomic<std::uint64_t> bulks_served_{0};
  std::atomic<std::uint64_t> merged_{0};
  std::atomic<Instant> began_{Instant{}}, ended_{Instant{}};
  Losses lost_;
  InterfaceTranslator interfaces_;
};

}  // namespace pfsync::engine
