#include "bench/engine_alone.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "bench/tables.h"

namespace pfsync::bench {
namespace {

using statetable::ShardWriter;
using statetable::Table;

/// A table of two shards, each of which one thread fills and changes.
class TwoShards {
 public:
  explicit TwoShards(std::size_t states)
      : states_{states},
        table_{std::get<std::unique_ptr<Table>>(
            Table::create({.states_max = states, .shard_bits = 1, .hash_seed = hash_seed}))} {
    for (std::size_t i = 0; i < 2; ++i) writers_.push_back(std::move(*table_->claim(i)));
    Values values = prepared_values();
    for (std::uint64_t n = 0; n < states; ++n) {
      set_number(values, n);
      const statetable::Hash hash = table_->hash(values.hot.id);
      static_cast<void>(writers_[table_->shard_of(hash)].insert(values.hot, values.cold, hash));
    }
  }
  [[nodiscard]] Table& table() noexcept { return *table_; }
  [[nodiscard]] ShardWriter& writer(std::size_t shard) noexcept { return writers_[shard]; }
  [[nodiscard]] std::size_t states() const noexcept { return states_; }

 private:
  std::size_t states_;
  std::unique_ptr<Table> table_;
  std::vector<ShardWriter> writers_;
};

/// Numbers of states that one shard has.
class OfShard {
 public:
  OfShard(TwoShards& shards, std::size_t shard) : shards_{&shards}, shard_{shard}, numbers_{shards.states()} {}
  std::uint64_t next() noexcept {
    for (;;)
      if (const std::uint64_t n = numbers_.next(); shards_->table().shard_of(shards_->table().hash(id_of(n))) == shard_)
        return n;
  }

 private:
  TwoShards* shards_;
  std::size_t shard_;
  Uniform numbers_;
};

struct OnItsWay {
  StateId id;
  statetable::Search search;
};

/// Applies a burst to one shard; how many states were found.
std::size_t apply_to_shard(TwoShards& shards, std::size_t shard, std::span<const Bytes> records) noexcept {
  ShardWriter& writer = shards.writer(shard);
  std::array<OnItsWay, 4 * ahead> ring;
  std::size_t found = 0;
  staged(
      records.size(),
      [&](std::size_t i) {
        OnItsWay& at = ring[i % ring.size()];
        at.id = read_id(records[i]);
        at.search = writer.begin(shards.table().hash(at.id));
      },
      [&](std::size_t i) { writer.guess(ring[i % ring.size()].search); },
      [&](std::size_t i) {
        const OnItsWay& at = ring[i % ring.size()];
        const statetable::Slot slot = writer.find(at.id, at.search);
        if (slot == statetable::no_slot) return;
        const wire::Update update = read_update(records[i]);
        statetable::Renewal renewal;
        if (renewal_of(writer.entry(slot), update, renewal)) writer.renew(slot, renewal);
        ++found;
      });
  return found;
}

std::unique_ptr<TwoShards> two_shards;  // made before a run's threads begin, and dropped when they have ended

template <std::size_t states>
void make_two_shards(const benchmark::State&) {
  if (two_shards == nullptr || two_shards->states() != states) two_shards = std::make_unique<TwoShards>(states);
}

/// Each thread applies to the shard that it owns. With one thread the other half of the table is quiet.
void apply_own_shard(benchmark::State& run) {
  const auto shard = static_cast<std::size_t>(run.thread_index());
  UpdateBurst burst;
  OfShard numbers{*two_shards, shard};
  for (auto _ : run) {
    burst.renew(numbers);
    if (apply_to_shard(*two_shards, shard, burst.records()) != burst.records().size())
      run.SkipWithError("a state was not found");
  }
  run.SetItemsProcessed(run.iterations() * static_cast<std::int64_t>(burst.records().size()));
}

/// As apply_own_shard with one thread, while another walks through that shard and the other one without a pause.
void apply_beside_reader(benchmark::State& run) {
  std::atomic<bool> done{false};
  std::uint64_t read = 0;
  std::thread walk{[&] {
    const statetable::TableReader reader = two_shards->table().reader();
    std::array<wire::State, 24> some;
    while (!done.load(std::memory_order_relaxed)) {
      statetable::TableReader::Cursor cursor;
      while (const std::size_t count = reader.next(cursor, some, 1)) {
        read += count;
        if (done.load(std::memory_order_relaxed)) break;
      }
    }
  }};
  apply_own_shard(run);
  done = true;
  walk.join();
  run.counters["read"] = benchmark::Counter(static_cast<double>(read), benchmark::Counter::kIsRate);
}

/// A tenth of the states is there; the rest comes in batches of 64, each timed: how long the worst ones take while the
/// indexes grow, with the table's memory taken before, as pfsyncd does unless told otherwise, or page by page.
void grow(benchmark::State& run, std::size_t states, bool reserve) {
  constexpr std::size_t size = 64;
  for (auto _ : run) {
    run.PauseTiming();
    EngineTable table{states, reserve};
    std::uint64_t n = 0;
    for (; n < states / 10; n += size) table.insert(n, size);
    std::vector<float> took_us;
    took_us.reserve(states / size);
    run.ResumeTiming();
    for (; n + size <= states; n += size) {
      const auto begin = std::chrono::steady_clock::now();
      if (!table.insert(n, size)) run.SkipWithError("a state was not taken");
      took_us.push_back(std::chrono::duration<float, std::micro>(std::chrono::steady_clock::now() - begin).count());
    }
    run.PauseTiming();
    std::sort(took_us.begin(), took_us.end());
    const auto at = [&](double part) {
      return static_cast<double>(took_us[static_cast<std::size_t>(part * static_cast<double>(took_us.size() - 1))]);
    };
    run.counters["median_us"] = at(0.5);
    run.counters["p99_us"] = at(0.99);
    run.counters["p99.9_us"] = at(0.999);
    run.counters["max_us"] = at(1);
    run.counters["p99.9/median"] = at(0.999) / at(0.5);
    run.counters["bytes_per_state"] = table.bytes_per_state();
    run.ResumeTiming();
  }
  run.SetItemsProcessed(run.iterations() * static_cast<std::int64_t>((states - states / 10)));
}

/// A table for the sweep: every state's deadline at `expire_at_s`.
class Swept {
 public:
  Swept(std::size_t states, statetable::Seconds expire_at_s)
      : table_{std::get<std::unique_ptr<Table>>(
            Table::create({.states_max = states, .shard_bits = 0, .hash_seed = hash_seed, .by_connection = true}))},
        writer_{std::move(*table_->claim(0))} {
    Values values = prepared_values();
    values.hot.expire_at_s = expire_at_s;
    for (std::uint64_t n = 0; n < states; ++n) {
      set_number(values, n);
      writer_.insert(values.hot, values.cold, table_->hash(values.hot.id));
    }
  }
  ShardWriter& writer() noexcept { return writer_; }

 private:
  std::unique_ptr<Table> table_;
  ShardWriter writer_;
};

/// What looking at every deadline costs, when none has come.
void sweep(benchmark::State& run, std::size_t states) {
  Swept swept{states, 1000};
  for (auto _ : run) swept.writer().sweep(999, states, [&](statetable::Slot) { run.SkipWithError("nothing is due"); });
  run.SetItemsProcessed(run.iterations() * static_cast<std::int64_t>(states));
}

/// What removing every state costs, when all deadlines have come.
void expire(benchmark::State& run, std::size_t states) {
  for (auto _ : run) {
    run.PauseTiming();
    auto swept = std::make_unique<Swept>(states, 1000);
    run.ResumeTiming();
    swept->writer().sweep(1000, states, [&](statetable::Slot slot) { swept->writer().erase(slot); });
    run.PauseTiming();
    if (swept->writer().size() != 0) run.SkipWithError("a state was left");
    swept.reset();
    run.ResumeTiming();
  }
  run.SetItemsProcessed(run.iterations() * static_cast<std::int64_t>(states));
}

/// The digest when nothing has changed since the last one, and when every block has.
void digest(benchmark::State& run, std::size_t states, bool changed) {
  TwoShards shards{states};
  benchmark::DoNotOptimize(shards.table().digest());
  for (auto _ : run) {
    if (changed) {
      run.PauseTiming();
      for (std::size_t shard = 0; shard < 2; ++shard)
        for (std::size_t i = 0; i < shards.writer(shard).slots_touched(); i += 512) {
          const auto slot = static_cast<statetable::Slot>(shard * shards.table().slot_count() / 2 + i);
          shards.writer(shard).update(slot, shards.writer(shard).hot(slot));
        }
      run.ResumeTiming();
    }
    benchmark::DoNotOptimize(shards.table().digest());
  }
  run.SetItemsProcessed(run.iterations() * static_cast<std::int64_t>(states));
}

template <std::size_t states>
void add_size(const std::string& word) {
  const auto name = [&](const char* op) { return std::string{op} + "/engine/" + word; };
  for (const int threads : {1, 2})
    benchmark::RegisterBenchmark(name("apply_own_shard").c_str(), apply_own_shard)
        ->Setup(make_two_shards<states>)
        ->Threads(threads)
        ->UseRealTime();
  benchmark::RegisterBenchmark(name("apply_beside_reader").c_str(), apply_beside_reader)
      ->Setup(make_two_shards<states>)
      ->UseRealTime();
  for (const bool reserve : {true, false})
    benchmark::RegisterBenchmark(name(reserve ? "grow" : "grow_by_page").c_str(), [=](benchmark::State& run) {
      grow(run, states, reserve);
    })->Iterations(1);
  benchmark::RegisterBenchmark(name("sweep").c_str(), [](benchmark::State& run) { sweep(run, states); });
  benchmark::RegisterBenchmark(name("expire").c_str(), [](benchmark::State& run) {
    expire(run, states);
  })->Iterations(1);
  benchmark::RegisterBenchmark(name("digest").c_str(), [](benchmark::State& run) { digest(run, states, false); });
  benchmark::RegisterBenchmark(name("digest_of_all").c_str(), [](benchmark::State& run) {
    digest(run, states, true);
  })->Iterations(3);
}

}  // namespace

void add_engine_alone() {
  add_size<100'000>("100k");
  add_size<1'000'000>("1M");
  add_size<10'000'000>("10M");
}

}  // namespace pfsync::bench
