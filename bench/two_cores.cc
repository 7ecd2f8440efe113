#include "bench/two_cores.h"

#include <benchmark/benchmark.h>

#include <array>
#include <atomic>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bench/tables.h"
#include "engine/session/partitioned_session.h"
#include "wire/packet_reader.h"

namespace pfsync::bench {
namespace {

using engine::Arrival;
using engine::Instant;
using engine::PartitionedSession;
using engine::Session;

constexpr Instant now{std::chrono::hours{1}};
constexpr std::size_t bursts = 64;  ///< made before, and used again and again: making them is no core's work here

std::unique_ptr<statetable::Table> make_table(std::size_t states) {
  return std::get<0>(statetable::Table::create({.states_max = states, .shard_bits = 1, .hash_seed = hash_seed}));
}

engine::SessionConfig session_config() {
  engine::SessionConfig config{.creatorid = 1, .request_bulk = false};
  config.timeouts.value[engine::pftm::adaptive_start] = 0;
  return config;
}

std::uint64_t updates_of(const Session& session) { return session.counters()[engine::Tally::updates].value(); }

/// Every state, in the session that owns it, and nothing left to announce.
void fill(std::span<Session* const> sessions, std::size_t states) {
  std::vector<std::uint8_t> room(packet_bytes);
  for (std::size_t n = 0; n < states; ++n) {
    for (Session* session : sessions) static_cast<void>(session->insert(state_of(n), now));
    if (n % 1000 != 999 && n + 1 != states) continue;
    for (Session* session : sessions) {
      session->push();
      while (session->transmit(room, now) > 0) {
      }
    }
  }
}

/// Packets of updates of random states, as they come from a port.
class Stream {
 public:
  explicit Stream(std::size_t states) {
    Uniform numbers{states};
    for (std::size_t i = 0; i < bursts; ++i) {
      bursts_.emplace_back().renew(numbers);
      auto& arrivals = arrivals_.emplace_back();
      for (const Bytes packet : bursts_.back().packets()) arrivals.push_back({.packet = packet});
    }
  }
  [[nodiscard]] std::span<const Arrival> next() noexcept { return arrivals_[at_++ % bursts]; }
  [[nodiscard]] std::size_t messages_a_burst() const noexcept { return bursts_.front().records().size(); }

 private:
  std::deque<UpdateBurst> bursts_;
  std::deque<std::vector<Arrival>> arrivals_;
  std::size_t at_ = 0;
};

/// Runs a step again and again on a thread of its own.
class Beside {
 public:
  template <class Step>
  explicit Beside(Step step)
      : thread_{[this, step] {
          while (!done_.load(std::memory_order_relaxed)) step();
        }} {}
  ~Beside() {
    done_ = true;
    thread_.join();
  }
  Beside(const Beside&) = delete;
  Beside& operator=(const Beside&) = delete;

 private:
  std::atomic<bool> done_{false};
  std::thread thread_;
};

/// One core: a call.
void one(benchmark::State& run, std::size_t states) {
  const auto table = make_table(states);
  Session session{session_config(), *table};
  Session* const all[] = {&session};
  fill(all, states);
  Stream stream{states};
  for (auto _ : run) session.on_packets(stream.next(), now);
  run.SetItemsProcessed(run.iterations() * static_cast<std::int64_t>(stream.messages_a_burst()));
}

/// What pfsyncd does: each core is given every packet, walks it, and applies what is its own.
void each_walks(benchmark::State& run, std::size_t states) {
  const auto table = make_table(states);
  PartitionedSession node{session_config(), *table, 2};
  Session* const all[] = {&node.part(0), &node.part(1)};
  fill(all, states);
  Stream stream{states};
  const std::uint64_t before = updates_of(node.part(0)) + updates_of(node.part(1));
  {
    const Beside other{[&node] { node.turn(1, now); }};
    for (auto _ : run) {
      while (!node.has_room()) {
      }
      node.on_packets(stream.next(), now);
    }
    while (node.has_to_take(1)) {
    }
  }
  const std::uint64_t updates = updates_of(node.part(0)) + updates_of(node.part(1)) - before;
  const auto sent = static_cast<std::uint64_t>(run.iterations()) * stream.messages_a_burst();
  if (updates != sent) run.SkipWithError("a state was not found");
  run.SetItemsProcessed(static_cast<std::int64_t>(sent));
}

/// Full packets of UPD_C on their way to one core. The records are written where they stay.
class Records {
 public:
  Records() {
    const UpdateBurst model;
    const Bytes packet = model.packets().front();
    a_packet_ = model.records().size() / model.packets().size();
    slots_.assign(PartitionedSession::waiting_max, std::vector<std::uint8_t>(packet.begin(), packet.end()));
  }
  [[nodiscard]] std::size_t a_packet() const noexcept { return a_packet_; }

  // The core that walks.
  [[nodiscard]] bool has_room(std::size_t packets) noexcept {
    return slots_.size() - (end_ - taken_.load(std::memory_order_acquire)) > packets;
  }
  void add(Bytes record) noexcept {
    constexpr std::size_t first_record = sizeof(wire::Header) + sizeof(wire::Subheader);
    std::memcpy(slots_[end_ % slots_.size()].data() + first_record + count_ * sizeof(wire::UpdCRecord), record.data(),
                sizeof(wire::UpdCRecord));
    if (++count_ < a_packet_) return;
    count_ = 0;
    ++end_;
  }
  void publish() noexcept { published_.store(end_, std::memory_order_release); }
  [[nodiscard]] std::uint64_t handed() const noexcept { return end_ * a_packet_; }
  [[nodiscard]] bool is_empty() const noexcept { return taken_.load(std::memory_order_acquire) == end_; }

  // The core that applies.
  void apply(Session& session) noexcept {
    std::array<Arrival, burst_packets> packets;
    const std::uint64_t at = taken_.load(std::memory_order_relaxed);
    const std::size_t count = std::min<std::size_t>(published_.load(std::memory_order_acquire) - at, packets.size());
    if (count == 0) return;
    for (std::size_t i = 0; i < count; ++i) packets[i] = {.packet = slots_[(at + i) % slots_.size()]};
    session.on_packets(std::span{packets}.first(count), now);
    taken_.store(at + count, std::memory_order_release);
  }

 private:
  std::vector<std::vector<std::uint8_t>> slots_;
  std::size_t a_packet_ = 0;
  std::size_t count_ = 0;
  std::uint64_t end_ = 0;
  alignas(64) std::atomic<std::uint64_t> published_{0};
  alignas(64) std::atomic<std::uint64_t> taken_{0};
};

/// The receiving core walks, and each core is given the messages about its own states: their records, batched.
void first_walks(benchmark::State& run, std::size_t states) {
  const auto table = make_table(states);
  engine::Partition partition{2};
  Session first{session_config(), *table, nullptr, {&partition, 0}};
  Session second{session_config(), *table, nullptr, {&partition, 1}};
  Session* const all[] = {&first, &second};
  fill(all, states);
  Stream stream{states};
  std::array<Records, 2> records;
  const std::uint64_t before = updates_of(first) + updates_of(second);
  {
    const Beside other{[&] { records[1].apply(second); }};
    for (auto _ : run) {
      while (!records[1].has_room(burst_packets)) {
      }
      for (const Arrival& arrival : stream.next()) {
        wire::PacketReader reader{arrival.packet};
        wire::Section section;
        while (reader.next(section))
          for (std::size_t i = 0; i < section.count && section.action->message == wire::Message::upd_c; ++i)
            records[table->shard_of(table->hash(read_id(section.record(i))))].add(section.record(i));
      }
      for (Records& of_core : records) of_core.publish();
      records[0].apply(first);
    }
    while (!records[0].is_empty()) records[0].apply(first);
    while (!records[1].is_empty()) {
    }
  }
  const std::uint64_t updates = updates_of(first) + updates_of(second) - before;
  if (updates != records[0].handed() + records[1].handed()) run.SkipWithError("a state was not found");
  run.SetItemsProcessed(static_cast<std::int64_t>(updates));
}

void add(const char* way, void (*body)(benchmark::State&, std::size_t)) {
  for (const auto& [states, word] : {std::pair{std::size_t{100'000}, "100k"}, std::pair{std::size_t{1'000'000}, "1M"}})
    benchmark::RegisterBenchmark((std::string{"apply_frames_cores/"} + way + "/" + word).c_str(),
                                 [body, states = states](benchmark::State& run) { body(run, states); })
        ->UseRealTime();
}

}  // namespace

void add_two_cores() {
  add("one", one);
  add("each_walks", each_walks);
  add("first_walks", first_walks);
}

}  // namespace pfsync::bench
