#include <gtest/gtest.h>

// Behind GoogleTest, which keeps the real atomics, and before the table.
#include "tests/statetable/modelled_atomics.h"
//
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <unordered_map>

#include "statetable/table.h"
#include "tests/statetable/entries.h"
#include "wire/address.h"

// What statetable/README.md promises of one writer and readers without locks, checked over the table's own sources.
// A story is told by the real ShardWriter, and every atomic store of it is kept. Then the real TableReader looks, again
// and again, and each atomic load of it is given any store that the C++ memory model permits there, weaker than any
// processor: one writer whom nobody answers makes all orders a matter of which store each load sees, and none may be
// older than what the reader is known to have seen. Source: J. Kang et al., "A Promising Semantics for Relaxed-Memory
// Concurrency", POPL 2017, views of release and acquire.
//
// Then each place in the sources that says an order is made wrong by itself, and the same looks must find that.
//
// Assumed is written in statetable/README.md. The sanitizer's test of real threads is threads_test.cc.

namespace pfsync::statetable {
namespace model {
namespace {

/// A line of the sources that loads or stores.
struct Site {
  std::string file;
  unsigned line = 0;
  std::string function;
  friend auto operator<=>(const Site&, const Site&) = default;
};
Site site_of(const std::source_location& at) {
  const std::string file = at.file_name(), whole = at.function_name();
  const std::string function = whole.substr(0, whole.find('('));
  return {file.substr(file.rfind('/') + 1), at.line(), function.substr(function.find_last_of(": ") + 1)};
}

struct Store {
  std::uint64_t value;
  std::uint64_t time;  ///< the writer's stores are counted
  bool release;
  Site site;
};
struct Location {
  std::vector<Store> stores;
  std::uint64_t run = 0;  ///< for which `seen` is good
  std::size_t seen = 0;
};

/// How wrong a site is made: what its order forbids may happen there.
struct Mutant {
  Site site;
  bool is_load = false;
  std::memory_order order = std::memory_order_relaxed;
  friend auto operator<=>(const Mutant&, const Mutant&) = default;
};

/// Goes through all sequences of choices, one a run, with at most so many in which a load sees more than it must.
class Choices {
 public:
  explicit Choices(std::size_t budget) : budget_{budget} {}
  std::size_t choose(std::size_t count) {
    if (count == 1 || spent_ == budget_) return 0;
    if (at_ == made_.size()) made_.push_back({0, count});
    const std::size_t chosen = made_[at_++].chosen;
    spent_ += chosen != 0;
    return chosen;
  }
  /// Whether there is a sequence that has not been gone through.
  bool next() {
    at_ = spent_ = 0;
    while (!made_.empty() && made_.back().chosen + 1 == made_.back().count) made_.pop_back();
    if (made_.empty()) return false;
    ++made_.back().chosen;
    return true;
  }

 private:
  struct Choice {
    std::size_t chosen, count;
  };
  std::vector<Choice> made_;
  std::size_t at_ = 0, spent_ = 0, budget_;
};

/// All that the writer stored in a story, and what a reader has seen of it.
class Memory {
 public:
  void record() { mode_ = Mode::records; }
  void pause() { mode_ = Mode::off; }

  void store(const void* where, std::uint64_t before, std::uint64_t value, std::memory_order order,
             const std::source_location& site) {
    if (mode_ != Mode::records) return;
    Location& location = told_[where];
    if (location.stores.empty()) location.stores.push_back({before, 0, true, {}});
    location.stores.push_back({value, ++time_, order == std::memory_order_release, site_of(site)});
    sites_.insert({location.stores.back().site, false, order});
  }
  std::uint64_t load(const void* where, std::uint64_t value, std::memory_order order,
                     const std::source_location& site) {
    if (mode_ != Mode::shows) return value;
    const bool is_wrong =
        mutant_ && mutant_->is_load && mutant_->site.line == site.line() && mutant_->site == site_of(site);
    if (collects_) sites_.insert({site_of(site), true, order});
    const auto found = shown_.find(where);
    if (found == shown_.end()) return value;  // the story does not write there
    Location& location = found->second;
    if (location.run != run_) location.run = run_, location.seen = 0;
    const auto& stores = location.stores;
    // Who did not look at all would go on with what was seen before.
    if (is_wrong && order == std::memory_order_relaxed) return stores[location.seen].value;
    std::size_t oldest = location.seen;
    while (oldest + 1 < stores.size() && stores[oldest + 1].time <= known_) ++oldest;
    // A store becomes visible in the end: who waits at a word sees the next one.
    if (last_ == &location && oldest + 1 < stores.size()) ++oldest;
    location.seen = oldest + choices_->choose(stores.size() - oldest);
    last_ = &location;
    const Store& seen = stores[location.seen];
    if (order == std::memory_order_acquire && !is_wrong && seen.release) known_ = std::max(known_, seen.time);
    return seen.value;
  }

  /// What the looks see from here on. A store whose release is wrong tells nothing, a relaxed one is not made.
  void show(const Mutant* mutant) {
    mode_ = Mode::shows;
    mutant_ = mutant;
    collects_ = mutant == nullptr;
    shown_ = told_;
    if (mutant == nullptr || mutant->is_load) return;
    for (auto& [where, location] : shown_) {
      if (mutant->order == std::memory_order_relaxed)
        std::erase_if(location.stores, [&](const Store& store) { return store.site == mutant->site; });
      for (Store& store : location.stores)
        if (store.site == mutant->site) store.release = false;
    }
  }
  void begin_run(Choices& choices) {
    choices_ = &choices;
    ++run_;
    known_ = 0;
    last_ = nullptr;
  }
  [[nodiscard]] const std::set<Mutant>& sites() const { return sites_; }

 private:
  enum class Mode : std::uint8_t { off, records, shows };
  Mode mode_ = Mode::off;
  std::unordered_map<const void*, Location> told_, shown_;
  std::set<Mutant> sites_;
  std::uint64_t time_ = 0;
  const Mutant* mutant_ = nullptr;
  bool collects_ = false;
  Choices* choices_ = nullptr;
  std::uint64_t run_ = 0, known_ = 0;  ///< the reader has seen what was stored up to here
  Location* last_ = nullptr;
};

Memory* memory = nullptr;

}  // namespace

std::uint64_t load(const void* where, std::uint64_t value, std::memory_order order,
                   const std::source_location& site) noexcept {
  return memory == nullptr ? value : memory->load(where, value, order, site);
}
void store(const void* where, std::uint64_t before, std::uint64_t value, std::memory_order order,
           const std::source_location& site) noexcept {
  if (memory != nullptr) memory->store(where, before, value, order, site);
}

}  // namespace model

namespace {

using wire::StateId;

constexpr std::uint64_t hash_seed = 3;

bool same(const std::optional<Snapshot>& a, const std::optional<Snapshot>& b) {
  if (!a || !b) return !a && !b;
  return statetable::same(a->hot, b->hot) && statetable::same(a->cold, b->cold);
}

/// A table, what its writer does to it, and what the states that are watched were after each step.
class Story {
 public:
  explicit Story(std::vector<StateId> watched, std::size_t states_max = small)
      : watched_{std::move(watched)},
        is_small_{states_max == small},
        table_{{.states_max = states_max, .shard_bits = 0, .hash_seed = hash_seed, .by_connection = true}},
        reader_{table_->reader()} {
    model::memory = &memory_;
  }
  ~Story() { model::memory = nullptr; }
  Story(const Story&) = delete;
  Story& operator=(const Story&) = delete;

  /// With an extension.
  void insert(StateId id, std::uint32_t birth = 1) { insert(id, hot_of(id, birth, 0), cold_of(id, birth)); }
  /// Without one, and under NAT with two sides.
  void insert_plain(StateId id, bool nat) {
    ColdState cold;
    cold.ifname = wire::InterfaceName{"em0"};
    for (std::size_t k = 0; k < 2; ++k)
      for (std::size_t side = 0; side < 2; ++side) {
        cold.key[k].addr[side] = wire::ipv4_address(10, static_cast<std::uint8_t>(nat ? k : 0),
                                                    static_cast<std::uint8_t>(side), static_cast<std::uint8_t>(id.id));
        cold.key[k].port[side] = static_cast<std::uint16_t>(id.id + side);
      }
    cold.packets = {id.id, ~id.id};
    insert(id, hot_of(id, 1, 0), cold);
  }
  void insert(StateId id, const HotState& hot, const ColdState& cold) {
    const std::size_t slots = table_.writer_of(id).slots_touched();
    step([&] { ASSERT_EQ(table_.insert(hot, cold).inserted, ShardWriter::Inserted::yes) << id.id; });
    inserted_.insert(id);
    if (begun_ && table_.writer_of(id).slots_touched() > slots) new_slots_.push_back(id);
  }
  void update(StateId id, std::uint32_t version) {
    step([&] { table_.writer_of(id).update(table_.find(id), hot_of(id, 1, version)); });
  }
  void renew(StateId id, std::uint32_t version) {
    const HotState hot = hot_of(id, 1, version);
    step([&] {
      table_.writer_of(id).renew(table_.find(id), {.src = &hot.src, .dst = nullptr, .timeout = 5, .expire_at_s = 7});
    });
  }
  void erase(StateId id) {
    step([&] { table_.writer_of(id).erase(table_.find(id)); });
  }

  /// What came before is there for whoever looks; what comes now may be on its way.
  void begin() {
    note();
    begun_ = true;
  }

  struct Verdict {
    std::size_t runs = 0;
    std::string wrong;  ///< the first thing that was
  };
  /// All looks in all orders. Until the first that is wrong.
  Verdict look(const model::Mutant* mutant, std::size_t budget) {
    memory_.show(mutant);
    Verdict verdict;
    for (const auto& [name, look] : looks()) {
      model::Choices choices{budget};
      do {
        memory_.begin_run(choices);
        const std::string wrong = look();
        ++verdict.runs;
        if (wrong.empty()) continue;
        verdict.wrong = name + ": " + wrong;
        return verdict;
      } while (choices.next());
    }
    return verdict;
  }
  [[nodiscard]] const std::set<model::Mutant>& sites() const { return memory_.sites(); }

 private:
  using Versions = std::vector<std::optional<Snapshot>>;

  template <class F>
  void step(F&& f) {
    if (begun_) memory_.record();
    f();
    memory_.pause();
    if (begun_) note();
  }
  void note() {
    for (const StateId id : watched_) {
      Versions& versions = versions_[id.id];
      auto now = reader_.find(id);
      if (versions.empty() || !same(versions.back(), now)) versions.push_back(std::move(now));
    }
  }
  [[nodiscard]] bool is_erased(StateId id) const { return !versions_.contains(id.id) || !versions_.at(id.id).back(); }
  [[nodiscard]] bool is_there_always(StateId id) const {
    const Versions& versions = versions_.at(id.id);
    return std::none_of(versions.begin(), versions.end(), [](const auto& version) { return !version; });
  }
  /// Which version it is, at or behind `from`; as many as there are when it is none of them.
  [[nodiscard]] std::size_t version_of(const std::optional<Snapshot>& found, StateId id, std::size_t from) const {
    const Versions& versions = versions_.at(id.id);
    while (from < versions.size() && !same(versions[from], found)) ++from;
    return from;
  }

  std::string find_twice(StateId id) const {
    const std::size_t first = version_of(reader_.find(id), id, 0);
    if (first == versions_.at(id.id).size()) return "it never was like that";
    std::array<std::optional<Snapshot>, 1> again;
    static_cast<void>(reader_.find(std::array{id}, again));
    return version_of(again[0], id, first) == versions_.at(id.id).size() ? "it goes back" : "";
  }
  std::string walk() const {
    std::map<std::uint64_t, std::size_t> seen;
    TableReader::Cursor cursor;
    while (const auto found = reader_.next(cursor)) {
      const StateId id = found->hot.id;
      if (!versions_.contains(id.id)) continue;
      if (version_of(found, id, 0) == versions_.at(id.id).size()) return "a walk sees what never was";
      ++seen[id.id];
    }
    for (const StateId id : watched_)
      if (is_there_always(id) && seen[id.id] != 1) return "a walk misses what is there, or sees it twice";
    return "";
  }
  /// A new slot is shown to walks when its state can be found. In a used one a state may be seen before.
  std::string walk_and_find() const {
    std::size_t slots = 1000;
    std::array<StateId, small> ids;
    TableReader::Cursor cursor;
    const auto end = ids.begin() + static_cast<std::ptrdiff_t>(reader_.next(cursor, ids, slots));
    for (auto seen = ids.begin(); seen != end; ++seen)
      if (!inserted_.contains(*seen)) return "a walk sees an id that never was";
    for (const StateId id : new_slots_)
      if (!is_erased(id) && std::find(ids.begin(), end, id) != end && !reader_.find(id))
        return "what a walk has seen is not found";
    return "";
  }
  std::string find_connection(StateId id) const {
    const Versions& versions = versions_.at(id.id);
    const Snapshot& any = versions[0] ? *versions[0] : *versions[1];
    const NameId interface = intern(any.cold.ifname);
    const Sides sides = sides_of(any.hot, any.cold, interface);
    for (const auto side : {TableReader::Side::wire, TableReader::Side::stack}) {
      const auto found = reader_.find(side == TableReader::Side::wire ? sides.wire : sides.stack, side);
      if (!found ? is_there_always(id) : version_of(found, id, 0) == versions.size())
        return "by its connection it is missed, or was never like that";
    }
    const auto beside = reader_.find_beside(0, beside_of(sides, hash_seed));
    if (!beside ? is_there_always(id) : version_of(beside, id, 0) == versions.size())
      return "beside it is missed, or was never like that";
    return "";
  }
  std::vector<std::pair<std::string, std::function<std::string()>>> looks() const {
    std::vector<std::pair<std::string, std::function<std::string()>>> looks;
    for (const StateId id : watched_) {
      looks.emplace_back("find " + std::to_string(id.id), [this, id] { return find_twice(id); });
      looks.emplace_back("connection of " + std::to_string(id.id), [this, id] { return find_connection(id); });
    }
    if (is_small_) {
      looks.emplace_back("walk", [this] { return walk(); });
      looks.emplace_back("walk and find", [this] { return walk_and_find(); });
    }
    return looks;
  }

  static constexpr std::size_t small = 64;
  std::vector<StateId> watched_;
  bool is_small_;
  std::map<std::uint64_t, Versions> versions_;
  model::Memory memory_;
  OwnedTable table_;
  TableReader reader_;
  std::set<StateId> inserted_;
  std::vector<StateId> new_slots_;
  bool begun_ = false;
};

/// No two have a creator in common, so that a mixture of two ids is none.
constexpr StateId id(std::uint64_t number) { return {number, 7 + static_cast<std::uint32_t>(number)}; }

/// The first `count` of many ids in the order of the index: in a small table they all want the first bucket.
std::vector<StateId> neighbours(std::size_t count, bool from_the_end = false) {
  std::vector<StateId> ids;
  for (std::uint64_t number = 1; number <= 8000; ++number) ids.push_back(id(number));
  const auto place = [](StateId of) { return hash_of(of, hash_seed).value() << 24; };
  std::sort(ids.begin(), ids.end(), [&](StateId a, StateId b) { return place(a) < place(b); });
  if (from_the_end) std::reverse(ids.begin(), ids.end());
  ids.resize(count);
  return ids;
}

using Stories = std::vector<std::pair<std::string, std::function<std::unique_ptr<Story>()>>>;

std::unique_ptr<Story> updates() {
  auto story = std::make_unique<Story>(std::vector{id(1), id(2)});
  story->insert(id(1));
  story->insert_plain(id(2), false);
  story->begin();
  story->update(id(1), 1);
  story->renew(id(1), 2);
  story->update(id(2), 1);
  story->update(id(1), 3);
  return story;
}

std::unique_ptr<Story> comes_and_goes() {
  auto story = std::make_unique<Story>(std::vector{id(1), id(2), id(3)});
  story->insert(id(1));
  story->begin();
  story->insert_plain(id(2), true);
  story->insert(id(3));
  story->erase(id(2));
  return story;
}

/// Slots, places and extensions are used again, those of the one by the other.
std::unique_ptr<Story> memory_is_used_again() {
  const auto ids = neighbours(5);
  auto story = std::make_unique<Story>(ids);
  story->insert(ids[0]);
  story->insert(ids[1]);
  story->insert_plain(ids[2], true);
  story->begin();
  story->erase(ids[0]);
  story->insert_plain(ids[3], true);
  story->erase(ids[2]);
  story->insert(ids[4]);
  story->insert(ids[0], 2);
  return story;
}

std::unique_ptr<Story> a_bucket_overflows() {
  const auto ids = neighbours(13);
  auto story = std::make_unique<Story>(std::vector{ids[0], ids[9], ids[10], ids[11], ids[12]});
  for (std::size_t i = 0; i < 10; ++i) story->insert_plain(ids[i], false);
  story->begin();
  story->insert_plain(ids[10], false);
  story->erase(ids[0]);
  story->insert_plain(ids[11], false);
  story->insert_plain(ids[12], false);
  story->erase(ids[12]);
  return story;
}

/// Both indexes move to larger arrays, a bucket with each insert: the few inserts around that of one bucket.
std::unique_ptr<Story> grows(std::size_t bucket, StateId watched) {
  constexpr std::size_t states_max = 20'000, before_growing = 10'003;  // 52 % of 1924 buckets of ten, but one
  constexpr std::size_t inserts = 4;
  auto story = std::make_unique<Story>(std::vector{watched, id(1'000'000)}, states_max);
  std::uint64_t number = 0;
  while (number < before_growing + bucket - std::min(bucket, inserts / 2)) story->insert_plain(id(++number), true);
  story->begin();
  for (std::size_t i = 0; i < inserts; ++i) story->insert_plain(id(++number), true);
  story->insert_plain(id(1'000'000), true);
  for (std::size_t i = 0; i < inserts; ++i) story->insert_plain(id(++number), true);
  return story;
}

constexpr std::size_t growing_buckets = 1924;

/// An entry that found no room in its bucket moves: a reader has to go on from there as long as it may be behind.
std::unique_ptr<Story> grows_where_a_bucket_overflows() {
  std::vector<std::size_t> entries(growing_buckets);
  std::vector<StateId> last(growing_buckets);
  for (std::uint64_t number = 1; number <= 10'000; ++number) {
    const Buckets sizes{nullptr, growing_buckets};
    const std::size_t home = sizes.home(hash_of(id(number), hash_seed));
    ++entries[home];
    last[home] = id(number);
  }
  const auto full =
      std::find_if(entries.begin(), entries.end(), [](std::size_t count) { return count > Bucket::places; });
  const auto bucket = static_cast<std::size_t>(full - entries.begin());
  return grows(bucket, last[bucket]);
}

const Stories& stories() {
  static const Stories all{
      {"updates", updates},
      {"comes and goes", comes_and_goes},
      {"memory is used again", memory_is_used_again},
      {"a bucket overflows", a_bucket_overflows},
      {"growing begins", [] { return grows(0, neighbours(1)[0]); }},
      {"growing where a bucket overflows", grows_where_a_bucket_overflows},
      {"growing ends", [] { return grows(growing_buckets - 1, neighbours(1, true)[0]); }},
  };
  return all;
}

/// How often a look may see more than it must: INTERLEAVING_CHOICES says another number, and takes longer.
std::size_t choices_of_a_look() {
  const char* const told = std::getenv("INTERLEAVING_CHOICES");
  return told != nullptr ? std::strtoul(told, nullptr, 10) : 3;
}

TEST(Interleaving, ReadersSeeWhatWasAndMissNothingWhateverTheOrder) {
  std::size_t runs = 0;
  for (const auto& [name, make] : stories()) {
    const auto verdict = make()->look(nullptr, choices_of_a_look());
    EXPECT_EQ(verdict.wrong, "") << name;
    runs += verdict.runs;
  }
  EXPECT_GT(runs, 10'000u);
  std::printf("%zu runs of readers over %zu stories\n", runs, stories().size());
}

std::string text_of(const model::Site& site) {
  std::ifstream file{std::string{PFSYNC_STATETABLE_DIR} + "/" + site.file};
  std::string line;
  for (unsigned number = 0; number < site.line; ++number) std::getline(file, line);
  return site.file + ", " + site.function + ": " + line.substr(std::min(line.find_first_not_of(' '), line.size()));
}

TEST(Interleaving, EachOrderInTheSourcesIsMissedWhenItIsWrong) {
  std::map<model::Mutant, std::string> found;
  for (const auto& [name, make] : stories()) {
    const auto story = make();
    ASSERT_EQ(story->look(nullptr, 2).wrong, "") << name;
    for (const model::Mutant& mutant : story->sites()) {
      std::string& wrong = found[mutant];
      if (wrong.empty()) wrong = story->look(&mutant, 2).wrong;
    }
  }
  std::set<std::string> not_missed;
  for (const auto& [mutant, wrong] : found)
    if (wrong.empty()) not_missed.insert(text_of(mutant.site));
  const std::set<std::string> needed_by_nobody{
      // Hints: what they say wrongly costs a fetch.
      "buckets.h, guess_shared: if (std::atomic_ref{bucket.tag[i]}.load(std::memory_order_acquire) == hash.tag())",
      "buckets.h, guess_shared: return std::atomic_ref{bucket.slot[i]}.load(std::memory_order_relaxed);",
      "index.h, guess_shared: const std::uint32_t phase = phase_.load(std::memory_order_acquire);",
      "index.h, prefetch_shared: const std::uint32_t phase = phase_.load(std::memory_order_acquire);",
      // What moves is stored with release afterwards, and nothing before it is new.
      "index.cc, begin_growing: phase_.store(2 * size_ + 1, std::memory_order_release);",
      // The tag that lies further on is stored with release afterwards.
      "index.cc, insert: std::atomic_ref{bucket.overflow}.store(bucket.overflow + 1, std::memory_order_release);",
      // For the digest, which writes too: not this model's.
      "shard.h, mark_changed: changed[local / block_slots].store(true, std::memory_order_release);",
      // A count that goes with nothing.
      "table.cc, add: shard.size.store(shard.size.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);",
      "table.cc, erase: shard.size.store(shard.size.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);",
  };
  EXPECT_EQ(not_missed, needed_by_nobody);
  EXPECT_GT(found.size(), 30u);
}

}  // namespace
}  // namespace pfsync::statetable
