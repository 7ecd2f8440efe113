#include "engine/divergence/asker.h"

#include <pthread.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <nlohmann/json.hpp>
#include <random>

#include "wire/address.h"

namespace pfsync::engine::divergence {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int below_the_rest = 10;  ///< nice value
constexpr std::size_t lines_max = 32;
/// The other node's door takes so many connections of one address a second, and some more at once.
constexpr std::uint64_t at_once = 100;
constexpr milliseconds between_requests{25};
/// A comparison has an end, however little comes with each answer.
constexpr seconds longest{600};

std::int64_t time_s() {
  return std::chrono::duration_cast<seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::uint64_t random_seed() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

}  // namespace

Asker::Asker(const Settings& settings, const statetable::Table& table, Ground ground, Ask ask, Now now)
    : table_{table}, ground_{std::move(ground)}, ask_{std::move(ask)}, now_{std::move(now)}, settings_{settings} {
  // Signals are the control thread's.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread{[this] {
    pthread_setname_np(pthread_self(), "pfsyncd-compare");
    setpriority(PRIO_PROCESS, 0, below_the_rest);  // of this thread alone, on Linux
    run();
  }};
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Asker::~Asker() {
  {
    const std::lock_guard lock{mutex_};
    ended_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Asker::set(const Settings& settings) {
  {
    const std::lock_guard lock{mutex_};
    settings_ = settings;
  }
  wake_.notify_all();
}

std::optional<std::uint64_t> Asker::order(bool mend) {
  const std::lock_guard lock{mutex_};
  if (waiting_ || !running_.empty()) return std::nullopt;
  waiting_ = Order{++orders_, mend};
  wake_.notify_all();
  return waiting_->number;
}

bool Asker::pause(std::chrono::nanoseconds time) {
  std::unique_lock lock{mutex_};
  return !wake_.wait_for(lock, time, [this] { return ended_; });
}

Findings Asker::compare(const Order& order, const OwnFacts& facts) {
  // The other node walks through its table only so often.
  const auto rest = walked_at_ + 2 * Answerer::walk_pause - now_();
  if (walked_at_ != Instant{} && rest > rest.zero() && !pause(rest)) {
    Findings ended;
    ended.failure = "pfsyncd ends";
    return ended;
  }
  const Instant began = walked_at_ = now_();
  Comparison comparison{{.facts = facts, .seed = random_seed(), .mend = order.mend}, table_, ground_, began};
  while (!comparison.is_done()) {
    const bool is_many = comparison.findings().requests > at_once;
    if (!pause(is_many ? between_requests : milliseconds{0})) comparison.lost("pfsyncd ends", now_());
    const Instant now = now_();
    if (now - began > longest) comparison.lost("the comparison took too long: is the way to the other node slow?", now);
    const auto request = comparison.request(now, statetable::to_seconds(now));
    {
      const std::lock_guard lock{mutex_};
      running_ = comparison.step();
    }
    if (!request) {
      const auto left = std::max<std::chrono::nanoseconds>(comparison.due() - now, milliseconds{1});
      if (!comparison.is_done() && !pause(left)) comparison.lost("pfsyncd ends", now);
      continue;
    }
    const auto answer = ask_(*request);
    const Instant then = now_();
    if (const auto* why = std::get_if<Unasked>(&answer))
      comparison.lost(why->sentence, then);
    else
      comparison.answered(std::get<std::string>(answer), then, statetable::to_seconds(then));
  }
  return comparison.findings();
}

void Asker::run() {
  std::unique_lock lock{mutex_};
  auto before = std::chrono::steady_clock::now();
  for (;;) {
    const auto is_wanted = [this] { return ended_ || waiting_; };
    if (settings_.every == seconds{0}) {
      wake_.wait(lock, [&] { return is_wanted() || settings_.every != seconds{0}; });
    } else {
      const auto every = settings_.every;
      wake_.wait_until(lock, before + every, [&] { return is_wanted() || settings_.every != every; });
    }
    if (ended_) return;
    if (!waiting_) {
      if (settings_.every == seconds{0} || std::chrono::steady_clock::now() < before + settings_.every) continue;
      waiting_ = Order{++orders_, false};
    }
    const Order order = *waiting_;
    const OwnFacts facts = settings_.facts;
    running_ = "begin";
    waiting_.reset();
    lock.unlock();
    Findings findings;
    try {
      findings = compare(order, facts);
    } catch (const std::exception& error) {  // memory
      findings.failure = std::string{"the comparison could not go on: "} + error.what();
    }
    lock.lock();
    before = std::chrono::steady_clock::now();
    running_.clear();
    ++totals_.comparisons;
    totals_.failures += findings.failure.empty() ? 0 : 1;
    totals_.different += findings.different();
    totals_.mended += findings.mended_here + findings.mended_there + findings.removed_here + findings.removed_there;
    totals_.bytes += findings.bytes_sent + findings.bytes_received;
    if (lines_.size() < lines_max)
      lines_.push_back({!findings.failure.empty() || findings.different() > 0, sentence_of(findings, order.mend)});
    note_trouble(findings, order.mend);
    last_ = Last{order, time_s(), std::move(findings)};
  }
}

/// A node that cannot be reached for once tells nothing about what the comparison before found.
void Asker::note_trouble(const Findings& findings, bool was_to_mend) {
  if (!findings.failure.empty() && !findings.is_too_much) return;
  trouble_ = trouble_of(findings, was_to_mend);
  trouble_peer_ =
      trouble_.empty() || findings.family == wire::Family::none ? "" : wire::to_string(findings.peer, findings.family);
  if (trouble_.empty()) agreement_ = findings.peer;
}

Json Asker::status(bool with_differences) const {
  const std::lock_guard lock{mutex_};
  Json json;
  json["running"] = running_.empty() ? Json(nullptr) : Json(running_);
  json["every_s"] = settings_.every.count();
  Json& last = json["last"] = nullptr;
  if (last_) {
    last = Json{{"order", last_->order.number},
                {"repair", last_->order.mend},
                {"time", last_->time_s},
                {"sentence", sentence_of(last_->findings, last_->order.mend)}};
    last.update(findings_json(last_->findings, with_differences));
  }
  json["trouble"] = trouble_.empty() ? Json(nullptr) : Json(trouble_);
  json["trouble_peer"] = trouble_peer_.empty() ? Json(nullptr) : Json(trouble_peer_);
  json["comparisons"] = totals_.comparisons;
  json["failures"] = totals_.failures;
  json["different_total"] = totals_.different;
  json["mended_total"] = totals_.mended;
  json["bytes_total"] = totals_.bytes;
  return json;
}

Asker::Totals Asker::totals() const {
  const std::lock_guard lock{mutex_};
  return totals_;
}

std::vector<Asker::Line> Asker::take_lines() {
  const std::lock_guard lock{mutex_};
  return std::exchange(lines_, {});
}

std::optional<wire::Address> Asker::take_agreement() {
  const std::lock_guard lock{mutex_};
  return std::exchange(agreement_, {});
}

}  // namespace pfsync::engine::divergence
