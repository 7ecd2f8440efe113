#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "engine/snapshot/file.h"
#include "engine/snapshot/restore.h"
#include "engine/snapshot/settings.h"
#include "statetable/table.h"
#include "statetable/time.h"

namespace pfsync::engine::snapshot {

/// What there is to tell of snapshots.
struct Status {
  struct Written {
    std::int64_t at_s = 0;  ///< wall clock: the moment that it shows
    std::uint64_t states = 0;
    std::uint64_t bytes = 0;
    double seconds = 0;  ///< that it took
  };
  std::optional<Settings> settings;  ///< none: none are written
  std::optional<Written> last;       ///< since the start
  std::uint64_t written = 0;
  std::uint64_t failures = 0;
  std::string error;  ///< of the last one that was begun; empty: it went well
  bool is_writing = false;
  std::uint64_t answered = 0;  ///< the latest number of ask() that has had its snapshot, or its error
  std::optional<Restoration> restored;
  std::string not_restored;  ///< why there are no states of a former life, although there was a file
};

/// Writes the table to disk from time to time, on a thread of its own that gives way to every other. Never touches the
/// data path: it reads the table lock-free, at a pace.
class Keeper {
 public:
  enum class Severity : std::uint8_t { debug, info, warning, error };
  struct Parts {
    const statetable::Table& table;
    std::uint32_t creatorid = 0;
    std::function<statetable::Instant()> now;                        ///< the table's clock; any thread
    std::function<std::int64_t()> wall_s;                            ///< seconds since 1970; any thread
    std::function<void(Severity, const std::string& sentence)> log;  ///< any thread
    std::vector<unsigned> kept_off{};                                ///< CPUs of data-path cores
    SystemCalls* calls = nullptr;                                    ///< null: the system's
  };

  Keeper(Parts parts, std::optional<Settings> settings);
  ~Keeper();
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  /// Before start(): enters the states of the file into a node that has not begun. A file that is refused is told of
  /// and set aside, and the node starts empty.
  void restore(PartitionedSession& node);

  /// From now on snapshots are written.
  void start();
  /// From now on so; nothing: none any more. One that is being written goes on as it began.
  void set(std::optional<Settings> settings);
  /// One now, whatever the interval. Its number: status().answered reaches it once there is a snapshot of a moment
  /// after this. Nothing where there are none.
  std::optional<std::uint64_t> ask();
  /// No more; one that is being written is given up. Then the last one, without a pace and on a thread of its own, if
  /// the settings want it. Returns when that is on the disk; until then `meanwhile` is called at once and again and
  /// again, however long the disk takes.
  void end(const std::function<void()>& meanwhile = [] {});
  static constexpr std::chrono::milliseconds meanwhile_every{500};

  [[nodiscard]] Status status() const;

 private:
  /// How one snapshot went.
  struct Result {
    std::string error;
    bool is_given_up = false;
    Status::Written written;
  };
  void run();
  void stop();
  void write_last();
  /// While `lock` is open meanwhile.
  void write_one(std::unique_lock<std::mutex>& lock, bool is_last);
  [[nodiscard]] Result write(const Settings& settings, bool is_paced);
  void note(const Result& result, bool is_of_interest);
  /// Waits as the pace has it. False once the thread is to end.
  [[nodiscard]] bool keeps_pace(std::uint64_t states, std::uint64_t states_per_s,
                                std::chrono::steady_clock::time_point began);

  Parts parts_;
  SystemCalls system_;
  mutable std::mutex guard_;
  std::condition_variable wake_;
  // Guarded:
  Status status_;
  std::uint64_t asked_ = 0;
  bool is_ending_ = false;
  std::chrono::steady_clock::time_point begun_at_{};  ///< the last one, or the start
  std::thread thread_;
};

}  // namespace pfsync::engine::snapshot
