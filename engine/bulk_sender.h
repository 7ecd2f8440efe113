#pragma once

#include <atomic>
#include <cstdint>

#include "engine/bulk_gate.h"
#include "engine/counters.h"
#include "engine/interface_map.h"
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

/// The serving side of a bulk update: BUS START, every state of the table as full UPDs in full packets,
/// BUS END with the true age of the request. Reads the table lock-free, so it may run on the control
/// thread while the data path works; no I/O inside. Thread-bound; progress may be read from any thread.
/// A state that comes or goes meanwhile is announced by the live traffic.
/// Source: FreeBSD sys/netpfil/pf/if_pfsync.c, pfsync_bulk_start(), pfsync_bulk_update().
class BulkSender {
 public:
  using Instant = statetable::Instant;

  /// `gate`: shared with the session that announces deletes; null when they share a thread and a queue.
  BulkSender(const BulkSenderConfig& config, const statetable::Table& table, BulkGate* gate = nullptr) noexcept;

  /// What packets are written in from now on, also those of a bulk that runs.
  void speak(wire::Dialect dialect) noexcept { config_.dialect = dialect; }
  [[nodiscard]] wire::Dialect dialect() const noexcept { return config_.dialect; }
  /// A peer asked. While a bulk runs the walk begins again, under the new request's time.
  void start(Instant now) noexcept;
  /// Nobody waits for the rest any more.
  void cancel() noexcept { running_.store(false, std::memory_order_relaxed); }
  [[nodiscard]] bool running() const noexcept { return running_.load(std::memory_order_relaxed); }
  /// Writes the next packet (without IP header) if pacing allows; 0 when there is nothing to send now.
  /// Each packet written must be reported to the gate when it was handed over.
  [[nodiscard]] std::size_t transmit(wire::Room room, Instant now) noexcept;
  /// When transmit should be called next; Instant::max() when no bulk runs.
  [[nodiscard]] Instant timeout() const noexcept;

  // Any thread:
  [[nodiscard]] std::uint64_t states_sent() const noexcept { return states_sent_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t states_total() const noexcept { return states_total_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t bulks_served() const noexcept { return bulks_served_.load(std::memory_order_relaxed); }
  [[nodiscard]] const Losses& lost() const noexcept { return lost_; }
  [[nodiscard]] const InterfaceTranslator& interfaces() const noexcept { return interfaces_; }

 private:
  BulkSenderConfig config_;
  const statetable::Table* table_;
  statetable::TableReader reader_;
  BulkGate* gate_;
  statetable::TableReader::Cursor cursor_{};
  Instant requested_at_{};
  Instant next_packet_at_{};
  bool start_sent_ = false;
  std::atomic<bool> running_{false};
  std::atomic<std::uint64_t> states_sent_{0};
  std::atomic<std::uint64_t> states_total_{0};
  std::atomic<std::uint64_t> bulks_served_{0};
  Losses lost_;
  InterfaceTranslator interfaces_;
};

}  // namespace pfsync::engine
