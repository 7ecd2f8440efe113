#include "engine/snapshot/keeper.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "engine/snapshot/walk.h"

namespace pfsync::engine::snapshot {
namespace {

using SteadyClock = std::chrono::steady_clock;

/// Of this thread: behind all others, and not where the data path polls.
void step_back(const std::vector<unsigned>& kept_off) {
  prctl(PR_SET_NAME, "pfsyncd-snap");
  constexpr int last = 19;
  setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), last);
  cpu_set_t cpus;
  if (kept_off.empty() || sched_getaffinity(0, sizeof cpus, &cpus) != 0) return;
  for (const unsigned cpu : kept_off)
    if (cpu < CPU_SETSIZE) CPU_CLR(cpu, &cpus);
  if (CPU_COUNT(&cpus) > 0) sched_setaffinity(0, sizeof cpus, &cpus);
}

double seconds_since(SteadyClock::time_point began) {
  return std::chrono::duration<double>(SteadyClock::now() - began).count();
}

}  // namespace

Keeper::Keeper(Parts parts, std::optional<Settings> settings) : parts_{std::move(parts)} {
  if (parts_.calls == nullptr) parts_.calls = &system_;
  status_.settings = std::move(settings);
}

Keeper::~Keeper() { stop(); }

void Keeper::restore(PartitionedSession& node) {
  if (!status_.settings) return;
  const std::string& path = status_.settings->path;
  auto opened = OldFile::open(path);
  if (std::holds_alternative<std::monostate>(opened)) {
    parts_.log(Severity::info, fmt::format("there is no snapshot {} yet: the table begins empty", path));
    return;
  }
  std::string why;
  if (auto* file = std::get_if<std::unique_ptr<OldFile>>(&opened)) {
    auto restored = snapshot::restore(**file, node, parts_.wall_s(), parts_.now());
    if (auto* made = std::get_if<Restoration>(&restored)) {
      parts_.log(made->clock_went_back_s > 0 || !made->broken_off.empty() ? Severity::warning : Severity::info,
                 sentence_of(*made));
      status_.restored = *made;
      return;
    }
    why = std::get<std::string>(restored);
    if (why != foreign && set_aside(path)) why += "; it is kept as " + path + ".refused";
  } else {
    why = std::get<std::string>(opened);
  }
  status_.not_restored = fmt::format("the snapshot {} {}", path, why);
  parts_.log(Severity::error, status_.not_restored + ": the table begins empty");
}

void Keeper::start() {
  const std::lock_guard lock{guard_};
  begun_at_ = SteadyClock::now();
  thread_ = std::thread{[this] { run(); }};
}

void Keeper::set(std::optional<Settings> settings) {
  const std::lock_guard lock{guard_};
  status_.settings = std::move(settings);
  wake_.notify_all();
}

std::optional<std::uint64_t> Keeper::ask() {
  const std::lock_guard lock{guard_};
  if (!status_.settings) return std::nullopt;
  wake_.notify_all();
  return ++asked_;
}

Status Keeper::status() const {
  const std::lock_guard lock{guard_};
  return status_;
}

void Keeper::stop() {
  {
    const std::lock_guard lock{guard_};
    is_ending_ = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void Keeper::write_last() {
  stop();  // which waits for a disk, too
  std::unique_lock lock{guard_};
  if (status_.settings && status_.settings->at_exit) write_one(lock, true);
}

void Keeper::end(const std::function<void()>& meanwhile) {
  bool is_over = false;
  std::thread last{[&] {
    prctl(PR_SET_NAME, "pfsyncd-snap");
    write_last();
    const std::lock_guard lock{guard_};
    is_over = true;
    wake_.notify_all();
  }};
  std::unique_lock lock{guard_};
  do {
    lock.unlock();
    meanwhile();
    lock.lock();
  } while (!wake_.wait_for(lock, meanwhile_every, [&] { return is_over; }));
  lock.unlock();
  last.join();
}

void Keeper::run() {
  step_back(parts_.kept_off);
  std::unique_lock lock{guard_};
  while (!is_ending_) {
    if (!status_.settings) {
      status_.answered = asked_;
      wake_.wait(lock);
      continue;
    }
    const auto due = begun_at_ + std::chrono::seconds{status_.settings->interval_s};
    if (asked_ == status_.answered && SteadyClock::now() < due) {
      wake_.wait_until(lock, due);
      continue;
    }
    begun_at_ = SteadyClock::now();
    write_one(lock, false);
  }
}

void Keeper::write_one(std::unique_lock<std::mutex>& lock, bool is_last) {
  const Settings settings = *status_.settings;
  const std::uint64_t asked = asked_;
  status_.is_writing = true;
  lock.unlock();
  const Result result = write(settings, !is_last);
  lock.lock();
  status_.is_writing = false;
  if (!result.is_given_up) note(result, is_last || asked > status_.answered);
  status_.answered = asked;
}

void Keeper::note(const Result& result, bool is_of_interest) {
  const bool went_well = result.error.empty();
  if (went_well) {
    ++status_.written;
    status_.last = result.written;
    const auto& [at_s, states, bytes, seconds] = result.written;
    parts_.log(is_of_interest || !status_.error.empty() ? Severity::info : Severity::debug,
               fmt::format("snapshot written: {} states, {} bytes, in {:.2f} s", states, bytes, seconds));
  } else {
    ++status_.failures;
    // Once: it comes again every interval.
    if (is_of_interest || result.error != status_.error) parts_.log(Severity::error, result.error);
  }
  status_.error = result.error;
}

bool Keeper::keeps_pace(std::uint64_t states, std::uint64_t states_per_s, SteadyClock::time_point began) {
  std::unique_lock lock{guard_};
  if (states_per_s > 0) {
    const std::chrono::duration<double> until{static_cast<double>(states) / static_cast<double>(states_per_s)};
    const auto due = began + std::chrono::duration_cast<SteadyClock::duration>(until);
    wake_.wait_until(lock, due, [this] { return is_ending_; });
  }
  return !is_ending_;
}

Keeper::Result Keeper::write(const Settings& settings, bool is_paced) {
  const auto began = SteadyClock::now();
  Result result;
  std::error_code ignored;  // what is wrong with the folder is told by the open that follows
  std::filesystem::create_directories(std::filesystem::path{settings.path}.parent_path(), ignored);
  NewFile file{settings.path, *parts_.calls};
  if (!file.open()) {
    result.error = file.error();
    return result;
  }
  const Header header{.written_at_s = parts_.wall_s(),
                      .states = parts_.table.size(),
                      .states_max = parts_.table.config().states_max,
                      .creatorid = parts_.creatorid};
  const statetable::Seconds now_s = statetable::to_seconds(parts_.now());
  Writer writer{header, file};
  const bool is_whole = write_table(parts_.table, now_s, writer, [&] {
    result.is_given_up = is_paced && !keeps_pace(writer.states(), settings.states_per_s, began);
    return !result.is_given_up;
  });
  if (result.is_given_up) return result;
  if (!is_whole || !file.commit()) result.error = file.error();
  result.written = {header.written_at_s, writer.states(), writer.bytes(), seconds_since(began)};
  return result;
}

}  // namespace pfsync::engine::snapshot
