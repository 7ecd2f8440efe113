/// What a snapshot costs: written and read beside a plain copy of the same bytes, and the data path's rate beside one
/// that is being written. usage: snapshot_rate STATES FOLDER [RUNS]     one JSON object; FOLDER: on the disk to measure
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "bench/work.h"
#include "engine/session/hot_part.h"
#include "engine/session/partitioned_session.h"
#include "engine/snapshot/keeper.h"
#include "engine/snapshot/walk.h"

namespace pfsync::bench {
namespace {

using namespace engine::snapshot;
using Clock = std::chrono::steady_clock;
using statetable::Seconds;
using statetable::Table;

constexpr engine::Instant now{std::chrono::hours{1}};
constexpr Seconds now_s = 3600;
constexpr std::size_t shard_bits = 2;

double seconds_since(Clock::time_point began) { return std::chrono::duration<double>(Clock::now() - began).count(); }

double timed(const std::function<void()>& work) {
  const auto began = Clock::now();
  work();
  return seconds_since(began);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void require(bool holds, const std::string& what) {
  if (!holds) throw std::runtime_error{what};
}

/// What states of a network have in common and what they have not, or a compressor would be flattered: addresses,
/// ports, windows, ages and counters are random, a third is UDP, an eighth IPv6, half of the rest translated.
wire::State varied(std::uint64_t number) noexcept {
  std::uint64_t random = number;
  const auto next = [&random](std::uint64_t below) {  // splitmix64
    std::uint64_t z = random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30u)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27u)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31u)) % below;
  };
  const auto byte = [&] { return static_cast<std::uint8_t>(next(256)); };
  wire::State state = state_of(number);
  state.ifname = wire::InterfaceName{next(3) == 0 ? "vtnet1" : "vtnet0"};
  wire::Key& key = state.key[wire::wire_side];
  const bool is_long = next(8) == 0;
  if (is_long) {
    state.af = wire::Family::inet6;
    key.addr[0].bytes = {0x2a, 0, 0x14, 0x50};
    key.addr[1].bytes = {0x20, 1, 0xd, 0xb8};
    for (wire::Address& address : key.addr)
      for (std::size_t i = 8; i < 16; ++i) address.bytes[i] = byte();
  } else {
    key.addr[0].bytes = {byte(), byte(), byte(), byte()};
    key.addr[1].bytes = {10, byte(), byte(), byte()};
  }
  key.port = {static_cast<std::uint16_t>(next(4) == 0 ? 80 : 443), static_cast<std::uint16_t>(1024 + next(64000))};
  state.key[wire::stack_side] = key;
  if (!is_long && next(2) == 0) {
    key.addr[1].bytes = {203, 0, 113, 7};
    key.port[1] = static_cast<std::uint16_t>(1024 + next(64000));
  }
  if (next(3) == 0) {
    state.proto = wire::ipproto::udp;
    state.src = state.dst = {.state = 2};
    state.timeout = engine::pftm::udp_multiple;
    state.expire_s = 60;
  } else {
    for (wire::Peer* peer : {&state.src, &state.dst}) {
      peer->seqlo = static_cast<std::uint32_t>(next(0x7ff00000));  // below what the updates say
      peer->seqhi = peer->seqlo + static_cast<std::uint32_t>(next(100'000));
      peer->max_win = static_cast<std::uint16_t>(next(65535));
    }
    state.expire_s = static_cast<std::uint32_t>(86400 - next(80'000));
  }
  state.rule = static_cast<std::uint32_t>(next(40));
  state.creation_s = static_cast<std::uint32_t>(next(3000));
  state.packets = {next(2000), next(3000)};
  state.bytes = {state.packets[0] * next(1400), state.packets[1] * next(1400)};
  return state;
}

std::unique_ptr<Table> make_table(std::size_t states) {
  auto made = Table::create(
      {.states_max = states, .shard_bits = shard_bits, .hash_seed = hash_seed, .by_connection = true, .reserve = true});
  if (const auto* why = std::get_if<std::string>(&made)) throw std::runtime_error{*why};
  return std::move(std::get<0>(made));
}

void fill(Table& table, std::size_t states) {
  std::vector<statetable::ShardWriter> writers;
  for (std::size_t i = 0; i < table.shard_count(); ++i) writers.push_back(*table.claim(i));
  for (std::uint64_t number = 0; number < states; ++number) {
    const wire::State state = varied(number);
    statetable::HotState hot = engine::hot_part(state, now_s);
    hot.expire_at_s = now_s + static_cast<Seconds>(state.expire_s);
    hot.heard_s = 1;
    const statetable::Hash hash = table.hash(hot.id);
    require(writers[table.shard_of(hash)].add(hot, statetable::cold_part(state), hash) != statetable::no_slot,
            "the table is full");
  }
}

/// The floor: so many bytes copied piece by piece, as a writer does that has no format, and written.
double copy_and_write(const std::vector<std::uint8_t>& bytes, const std::string& path) {
  constexpr std::size_t piece = std::size_t{1} << 18u;
  std::vector<std::uint8_t> room(piece);
  const double took = timed([&] {
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      const std::size_t count = std::min(piece, bytes.size() - at);
      std::memcpy(room.data(), bytes.data() + at, count);
      require(::write(file, room.data(), count) == static_cast<ssize_t>(count), "the disk is full");
    }
    require(::fsync(file) == 0, "the disk fails");
    ::close(file);
  });
  std::filesystem::remove(path);
  return took;
}

double write_snapshot(const Table& table, const std::string& path) {
  return timed([&] {
    SystemCalls calls;
    NewFile file{path, calls};
    require(file.open(), file.error());
    Writer writer{{.written_at_s = 1, .states = table.size()}, file};
    require(write_table(table, now_s, writer, [] { return true; }) && file.commit(), file.error());
  });
}

std::vector<std::uint8_t> content(const std::string& path) {
  std::vector<std::uint8_t> bytes(std::filesystem::file_size(path));
  auto opened = OldFile::open(path);
  require(std::get<std::unique_ptr<OldFile>>(opened)->read(bytes) == bytes.size(), "it cannot be read");
  return bytes;
}

/// Packets full of compressed updates, for any states and newer than what they hold.
class Updates {
 public:
  Updates() {
    wire::Update update{.id = id_of(0)};
    update.src = update.dst = {.seqlo = 0x7fffffff, .seqhi = 0x7fffffff, .max_win = 512, .state = 4};
    update.timeout = engine::pftm::tcp_established;
    for (auto& packet : packets_) {
      wire::PacketWriter writer{wire::Dialect::freebsd_1301, packet};
      while (writer.append_update(update)) {
      }
      views_.emplace_back(packet.data(), writer.finish());
      for (std::size_t at = sizeof(wire::Header) + sizeof(wire::Subheader);
           at + sizeof(wire::UpdCRecord) <= views_.back().size(); at += sizeof(wire::UpdCRecord))
        records_.push_back(wire::Room{packet}.subspan(at, sizeof(wire::UpdCRecord)));
    }
  }
  /// Returns how many there are.
  std::size_t renew(Uniform& numbers) noexcept {
    for (const wire::Room record : records_) wire::store(record, 0, wire::Be64{id_of(numbers.next()).id});
    return records_.size();
  }
  [[nodiscard]] std::span<const Bytes> packets() const noexcept { return views_; }

 private:
  std::array<std::array<std::uint8_t, packet_bytes>, burst_packets> packets_{};
  std::vector<Bytes> views_;
  std::vector<wire::Room> records_;
};

/// Updates that the data path applies in a second, and in one of its own processor time: other programs that have its
/// CPU meanwhile count in the first only, what takes of caches and memory in both.
struct Rate {
  double of_wall = 0, of_cpu = 0;
};

double thread_cpu_s() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

Rate rate_while(engine::Session& session, Updates& updates, Uniform& numbers, const std::function<bool()>& goes_on) {
  std::size_t count = 0;
  const auto began = Clock::now();
  const double cpu_began = thread_cpu_s();
  while (goes_on()) {
    for (int bursts = 0; bursts < 64; ++bursts) {
      count += updates.renew(numbers);
      session.on_packets(updates.packets(), now);
    }
  }
  const double updates_done = static_cast<double>(count);
  return {updates_done / seconds_since(began), updates_done / (thread_cpu_s() - cpu_began)};
}

struct Rates {
  std::vector<double> alone, beside, ratios, of_cpu, seconds;
};

/// The data path on CPU 0, the snapshot on the others, as with [cores] data = 0.
Rates measure_rates(engine::PartitionedSession& node, const Table& table, const std::string& path, std::size_t states,
                    std::uint64_t states_per_s, std::size_t runs) {
  cpu_set_t before, first;
  sched_getaffinity(0, sizeof before, &before);
  Keeper keeper{{.table = table,
                 .creatorid = creatorid,
                 .now = [] { return now; },
                 .wall_s = [] { return std::int64_t{std::time(nullptr)}; },
                 .log = [](Keeper::Severity, const std::string&) {},
                 .kept_off = {0}},
                Settings{.path = path, .interval_s = 86'400, .at_exit = false, .states_per_s = states_per_s}};
  keeper.start();
  CPU_ZERO(&first);
  CPU_SET(0, &first);
  sched_setaffinity(0, sizeof first, &first);
  Updates updates;
  Uniform numbers{states};
  const auto run_for = [&](double seconds) {
    const auto until = Clock::now() + std::chrono::duration<double>{seconds};
    return rate_while(node.first(), updates, numbers, [until] { return Clock::now() < until; });
  };
  static_cast<void>(run_for(1));
  Rates rates;
  for (std::size_t run = 0; run < runs; ++run) {
    const auto number = keeper.ask();
    const Rate beside = rate_while(node.first(), updates, numbers, [&] { return keeper.status().answered < number; });
    require(keeper.status().error.empty(), keeper.status().error);
    const double seconds = keeper.status().last->seconds;
    const Rate alone = run_for(std::clamp(seconds, 1.0, 20.0));
    rates.beside.push_back(beside.of_wall);
    rates.alone.push_back(alone.of_wall);
    rates.ratios.push_back(beside.of_wall / alone.of_wall);
    rates.of_cpu.push_back(beside.of_cpu / alone.of_cpu);
    rates.seconds.push_back(seconds);
  }
  sched_setaffinity(0, sizeof before, &before);
  return rates;
}

/// The same question on a machine that others use, too, whose rates change by more than a snapshot costs from one
/// second to the next: a snapshot that is written for a fifth of a second and held up for the next, by turns, and the
/// data path's rates of its own processor time in both. Of each pair the ratio; of all their mean, and how far it is
/// certain.
struct ByTurns {
  std::size_t pairs = 0;
  double ratio = 0, half_width = 0;  ///< 95 %
  double states_per_s = 0;           ///< that were written meanwhile
};

class HeldUpSnapshot {
 public:
  HeldUpSnapshot(const Table& table, const std::string& path, std::uint64_t states_per_s)
      : thread_{[this, &table, path, states_per_s] {
          cpu_set_t cpus;
          require(sched_getaffinity(0, sizeof cpus, &cpus) == 0, "no CPU can be had");
          CPU_CLR(0, &cpus);
          if (CPU_COUNT(&cpus) > 0) sched_setaffinity(0, sizeof cpus, &cpus);
          SystemCalls calls;
          NewFile file{path, calls};
          require(file.open(), file.error());
          Writer writer{{.written_at_s = 1, .states = table.size()}, file};
          static_cast<void>(write_table(table, now_s, writer, [&] { return keeps_pace(writer, states_per_s); }));
          is_over_ = true;
        }} {}
  ~HeldUpSnapshot() {
    is_wanted_ = false;
    thread_.join();
  }
  HeldUpSnapshot(const HeldUpSnapshot&) = delete;
  HeldUpSnapshot& operator=(const HeldUpSnapshot&) = delete;
  void go_on(bool on) { is_on_ = on; }
  [[nodiscard]] bool is_over() const { return is_over_; }
  [[nodiscard]] std::uint64_t states() const { return states_; }

 private:
  bool keeps_pace(const Writer& writer, std::uint64_t states_per_s) {
    constexpr std::chrono::duration<double> look{0.002};
    states_ = writer.states();
    const double due_s = static_cast<double>(writer.states()) / static_cast<double>(states_per_s);
    while (is_wanted_) {
      const auto time = Clock::now();
      if (is_on_) went_on_s_ += std::chrono::duration<double>(time - looked_at_).count();
      looked_at_ = time;
      if (is_on_ && went_on_s_ >= due_s) return true;
      const double left_s = is_on_ ? due_s - went_on_s_ : look.count();
      std::this_thread::sleep_for(std::min(std::chrono::duration<double>{left_s}, look));
    }
    return false;
  }

  std::atomic<bool> is_on_{false}, is_wanted_{true}, is_over_{false};
  std::atomic<std::uint64_t> states_{0};
  double went_on_s_ = 0;
  Clock::time_point looked_at_ = Clock::now();
  std::thread thread_;
};

ByTurns measure_by_turns(engine::PartitionedSession& node, const Table& table, const std::string& path,
                         std::size_t states, std::uint64_t states_per_s) {
  constexpr std::chrono::milliseconds turn{200};
  cpu_set_t before, first;
  sched_getaffinity(0, sizeof before, &before);
  HeldUpSnapshot snapshot{table, path, states_per_s};
  CPU_ZERO(&first);
  CPU_SET(0, &first);
  sched_setaffinity(0, sizeof first, &first);
  Updates updates;
  Uniform numbers{states};
  const auto run_for = [&](std::chrono::milliseconds time) {
    const auto until = Clock::now() + time;
    return rate_while(node.first(), updates, numbers, [until] { return Clock::now() < until; }).of_cpu;
  };
  static_cast<void>(run_for(std::chrono::seconds{1}));
  std::vector<double> ratios;
  for (;;) {
    const bool is_first = ratios.size() % 2 == 0;  // neither kind always comes first
    snapshot.go_on(is_first);
    const double one = run_for(turn);
    snapshot.go_on(!is_first);
    const double other = run_for(turn);
    if (snapshot.is_over()) break;
    ratios.push_back(is_first ? one / other : other / one);
  }
  sched_setaffinity(0, sizeof before, &before);
  ByTurns found{.pairs = ratios.size()};
  require(found.pairs > 1, "the table is too small to be written by turns");
  const auto n = static_cast<double>(found.pairs);
  for (const double ratio : ratios) found.ratio += ratio / n;
  double variance = 0;
  for (const double ratio : ratios) variance += (ratio - found.ratio) * (ratio - found.ratio) / (n - 1);
  found.half_width = 1.96 * std::sqrt(variance / n);
  found.states_per_s = static_cast<double>(snapshot.states()) / (n * std::chrono::duration<double>(turn).count());
  return found;
}

std::string rates_json(const Rates& rates) {
  return fmt::format(
      R"({{"alone_per_s": {:.0f}, "beside_per_s": {:.0f}, "ratio": {:.3f}, "lowest": {:.3f}, "ratio_of_cpu": {:.3f}, "lowest_of_cpu": {:.3f}, "snapshot_s": {:.2f}}})",
      median(rates.alone), median(rates.beside), median(rates.ratios),
      *std::min_element(rates.ratios.begin(), rates.ratios.end()), median(rates.of_cpu),
      *std::min_element(rates.of_cpu.begin(), rates.of_cpu.end()), median(rates.seconds));
}

int run(std::size_t states, const std::string& folder, std::size_t runs) {
  const std::string path = folder + "/states.snapshot", copy = folder + "/copy";
  std::vector<double> write, of_entries, of_file, checked, restored;
  std::size_t file_bytes = 0;
  const std::size_t entry_bytes = states * (sizeof(HotEntry) + sizeof(ColdEntry));
  {
    const auto table = make_table(states);
    fill(*table, states);
    if (runs == 0) static_cast<void>(write_snapshot(*table, path));
    for (std::size_t i = 0; i < runs; ++i) {
      write.push_back(write_snapshot(*table, path));
      of_file.push_back(copy_and_write(content(path), copy));
      std::vector<std::uint8_t> entries(entry_bytes);
      std::uint64_t word = 1;
      for (std::size_t at = 0; at + 8 <= entries.size(); at += 8, word *= 0xbf58476d1ce4e5b9u)
        std::memcpy(entries.data() + at, &word, sizeof word);
      of_entries.push_back(copy_and_write(entries, copy));
    }
    file_bytes = std::filesystem::file_size(path);
  }
  std::unique_ptr<Table> table;
  std::unique_ptr<engine::PartitionedSession> node;
  engine::SessionConfig config{.creatorid = 1, .request_bulk = false};
  config.timeouts.value[engine::pftm::adaptive_start] = 0;
  for (std::size_t i = 0; i < std::max<std::size_t>(runs, 1); ++i) {
    node.reset();
    table.reset();
    table = make_table(states);
    node = std::make_unique<engine::PartitionedSession>(config, *table);
    auto opened = OldFile::open(path);
    OldFile& file = *std::get<std::unique_ptr<OldFile>>(opened);
    checked.push_back(timed([&] { require(std::holds_alternative<Totals>(check(file)), "it is not whole"); }));
    require(file.rewind(), file.error());
    restored.push_back(
        timed([&] { require(std::holds_alternative<Restoration>(restore(file, *node, 1, now)), "it is not whole"); }));
    require(table->size() + 1 > states - states / 1000, "states are missing");
  }
  // A snapshot of less than a second has too few turns.
  const Settings usual{};
  if (const std::uint64_t states_per_s = usual.states_per_s; states >= states_per_s) {
    const ByTurns by_turns = measure_by_turns(*node, *table, path, states, states_per_s);
    fmt::print(
        R"({{"states": {}, "by_turns": {{"pairs": {}, "ratio": {:.3f}, "half_width": {:.3f}, "states_per_s": {:.0f}}}}})"
        "\n",
        states, by_turns.pairs, by_turns.ratio, by_turns.half_width, by_turns.states_per_s);
    std::fflush(stdout);
  }
  if (runs == 0) {
    std::filesystem::remove(path);
    return 0;
  }
  const Rates paced = measure_rates(*node, *table, path, states, Settings{}.states_per_s, runs);
  const Rates unpaced = measure_rates(*node, *table, path, states, 0, runs);
  std::filesystem::remove(path);
  fmt::print(
      R"({{"states": {}, "runs": {}, "file_bytes": {}, "entry_bytes": {}, "write_s": {:.2f}, "copy_file_s": {:.2f}, "copy_entries_s": {:.2f}, "check_s": {:.2f}, "restore_s": {:.2f}, "restored": {}, "paced": {}, "unpaced": {}}})"
      "\n",
      states, runs, file_bytes, entry_bytes, median(write), median(of_file), median(of_entries), median(checked),
      median(restored), table->size(), rates_json(paced), rates_json(unpaced));
  return 0;
}

}  // namespace
}  // namespace pfsync::bench

int main(int argc, char** argv) {
  const std::size_t states = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 0;
  const std::size_t runs = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 3;
  if (argc < 3 || argc > 4 || states == 0) {
    std::fputs("usage: snapshot_rate STATES FOLDER [RUNS]    RUNS: 3; 0: the data path's rate by turns alone\n",
               stderr);
    return 2;
  }
  try {
    return pfsync::bench::run(states, argv[2], runs);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "snapshot_rate: %s\n", error.what());
    return 1;
  }
}
