// How fast the table takes, finds, changes, drops and tells states, beside the floor of its memory and beside
// other tables. Names: op/impl/states; bench/README.md tells the question and the numbers.
#include <benchmark/benchmark.h>

#include <map>
#include <string>

#include "bench/dpdk/rte_hash_table.h"
#include "bench/engine_alone.h"
#include "bench/tables.h"
#include "bench/two_cores.h"
#include "wire/packet_reader.h"

namespace pfsync::bench {
namespace {

bool has_failed = false;  ///< Google Benchmark prints errors, but ends as if all were well
void fail(benchmark::State& run, const char* why) {
  has_failed = true;
  run.SkipWithError(why);
}

template <class Table>
void fill(Table& table, std::size_t states, benchmark::State& run) {
  for (std::size_t done = 0; done < states; done += batch)
    if (!table.insert(done, std::min(batch, states - done))) return fail(run, "a state was not taken");
}

/// A full table, kept from run to run for as long as benchmarks ask for the same one; filling 10M states
/// takes longer than most runs.
template <class Table>
Table& filled(std::size_t states, benchmark::State& run) {
  static std::map<std::size_t, std::unique_ptr<Table>> kept;
  auto& table = kept[states];
  if (table == nullptr) {
    std::erase_if(kept, [&](const auto& entry) { return entry.first != states; });
    auto fresh = std::make_unique<Table>(states);
    fill(*fresh, states, run);
    return *(kept[states] = std::move(fresh));
  }
  return *table;
}

template <class Table, class Numbers = Uniform>
void apply_upd_c(benchmark::State& run, std::size_t states) {
  Table& table = filled<Table>(states, run);
  UpdateBurst burst;
  Numbers numbers{states};
  for (auto _ : run) {
    burst.renew(numbers);
    if (table.apply(burst.records()) != burst.records().size()) fail(run, "a state was not found");
  }
  run.SetItemsProcessed(run.iterations() * static_cast<std::int64_t>(burst.records().size()));
}

/// From the packets: each table behind the same reader, ours behind the session.
template <class Table>
void apply_frames(benchmark::State& run, std::size_t states) {
  Table& table = filled<Table>(states, run);
  UpdateBurst burst;
  Uniform numbers{states};
  std::vector<Bytes> records(burst.records().size());
  for (auto _ : run) {
    burst.renew(numbers);
    std::size_t found = 0;
    if constexpr (requires { table.apply_packets(burst.packets()); }) {
      found = table.apply_packets(burst.packets());
    } else {
      std::size_t count = 0;
      for (const Bytes packet : burst.packets()) {
        wire::PacketReader reader{packet};
        wire::Section section;
        while (reader.next(section))
          for (std::size_t i = 0; i < section.count && section.action->message == wire::Message::upd_c; ++i)
            records[count++] = section.record(i);
      }
      found = table.apply(std::span<const Bytes>{records}.first(count));
    }
    if (found != records.size()) fail(run, "a state was not found");
  }
  run.SetItemsProcessed(run.iterations() * static_cast<std::int64_t>(records.size()));
}

template <class Table>
void lookup(benchmark::State& run, std::size_t states) {
  Table& table = filled<Table>(states, run);
  Uniform numbers{states};
  std::array<StateId, batch> ids;
  for (auto _ : run) {
    for (StateId& id : ids) id = id_of(numbers.next());
    if (table.lookup(ids) != ids.size()) fail(run, "a state was not found");
  }
  run.SetItemsProcessed(run.iterations() * static_cast<std::int64_t>(ids.size()));
}

template <class Table>
void iterate_encode(benchmark::State& run, std::size_t states) {
  Table& table = filled<Table>(states, run);
  for (auto _ : run) {
    Encoder encoder;
    if (table.encode(encoder) != states) fail(run, "not every state was seen");
    benchmark::DoNotOptimize(encoder.bytes());
  }
  run.SetItemsProcessed(run.iterations() * static_cast<std::int64_t>(states));
}

/// Whole connections in a table that stays full: 128 states end and as many begin, then 512 updates of any.
template <class Table>
void lifecycle(benchmark::State& run, std::size_t states) {
  Table& table = filled<Table>(states, run);
  UpdateBurst burst;
  Uniform numbers{states};
  std::array<StateId, batch> ids;
  for (auto _ : run) {
    const std::uint64_t first = numbers.next() % (states - batch);
    for (std::size_t i = 0; i < batch; ++i) ids[i] = id_of(first + i);
    if (!table.erase(ids) || !table.insert(first, batch)) fail(run, "a state was not found, or not taken");
    burst.renew(numbers);
    const auto updates = burst.records().first(4 * batch);
    if (table.apply(updates) != updates.size()) fail(run, "a state was not found");
  }
  run.SetItemsProcessed(run.iterations() * static_cast<std::int64_t>(batch));
}

/// All states, in no order.
template <class Table>
void drain(Table& table, std::size_t states, benchmark::State& run) {
  constexpr std::size_t stride = 2654435761;  // prime, and so coprime to any number of states here
  std::array<StateId, batch> ids;
  for (std::size_t done = 0; done < states; done += batch) {
    const std::size_t count = std::min(batch, states - done);
    for (std::size_t i = 0; i < count; ++i) ids[i] = id_of((done + i) * stride % states);
    if (!table.erase(std::span{ids}.first(count))) return fail(run, "a state was not found");
  }
}

/// One iteration is a whole table, from empty to full. Its memory is touched before: a fresh page costs more
/// than the insert that touches it first, and a table that has been full once has none.
template <class Table>
void insert(benchmark::State& run, std::size_t states) {
  for (auto _ : run) {
    run.PauseTiming();
    auto table = std::make_unique<Table>(states);
    fill(*table, states, run);
    drain(*table, states, run);
    run.ResumeTiming();
    fill(*table, states, run);
    run.PauseTiming();
    table.reset();
    run.ResumeTiming();
  }
  run.SetItemsProcessed(run.iterations() * static_cast<std::int64_t>(states));
}

template <class Table>
void erase(benchmark::State& run, std::size_t states) {
  for (auto _ : run) {
    run.PauseTiming();
    auto table = std::make_unique<Table>(states);
    fill(*table, states, run);
    run.ResumeTiming();
    drain(*table, states, run);
    run.PauseTiming();
    table.reset();
    run.ResumeTiming();
  }
  run.SetItemsProcessed(run.iterations() * static_cast<std::int64_t>(states));
}

struct Size {
  std::size_t states;
  const char* word;
};

template <class Table, class Framed = Table>
void add(const std::string& impl) {
  for (const Size size : {Size{100'000, "100k"}, Size{1'000'000, "1M"}, Size{10'000'000, "10M"}}) {
    const auto add_op = [&](const std::string& op, void (*run)(benchmark::State&, std::size_t)) {
      const std::string name = op + "/" + impl + "/" + size.word;
      return benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) { run(state, size.states); });
    };
    add_op("apply_upd_c", apply_upd_c<Table>);
    add_op("apply_upd_c_zipf", apply_upd_c<Table, Zipf>);
    add_op("apply_frames", apply_frames<Framed>);
    add_op("lookup", lookup<Table>);
    add_op("lifecycle", lifecycle<Table>);
    add_op("iterate_encode", iterate_encode<Table>);
    add_op("insert", insert<Table>)->Iterations(1);
    add_op("erase", erase<Table>)->Iterations(1);
  }
}

}  // namespace
}  // namespace pfsync::bench

int main(int argc, char** argv) {
  using namespace pfsync::bench;
  add<EngineTable, SessionTable>("engine");
  add<Floor>("floor");
  add<RteHashTable>("rte_hash");
  add<TbbTable>("tbb");
  add_engine_alone();
  add_two_cores();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return has_failed ? 1 : 0;
}
