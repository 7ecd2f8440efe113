#include "engine/divergence/sampler.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>
#include <vector>

namespace pfsync::engine::divergence {
namespace {

constexpr double z = 1.959964;  // 95 % of a normal distribution lie within
constexpr unsigned tries_max = 64;
constexpr statetable::Seconds lasting_s = PeerWatch::lasting.count(), ends_s = 15;
/// Two requests and their answers: none that comes to nothing within this began before the peer was heard again.
constexpr std::chrono::seconds away_last{10};
constexpr unsigned slower = 10;

bool can_be_judged(const statetable::HotState& hot, statetable::Seconds now_s) noexcept {
  return (hot.state_flags & wire::state_flag::nosync) == 0 && std::int64_t{now_s} - hot.created_s >= lasting_s &&
         std::int64_t{hot.expire_at_s} - now_s >= ends_s;
}

}  // namespace

Estimate wilson(std::uint64_t hits, std::uint64_t of) noexcept {
  if (of == 0) return {};
  const auto n = static_cast<double>(of);
  const double share = static_cast<double>(hits) / n;
  const double middle = (share + z * z / (2 * n)) / (1 + z * z / n);
  const double half = z / (1 + z * z / n) * std::sqrt(share * (1 - share) / n + z * z / (4 * n * n));
  return {share, hits == 0 ? 0 : std::max(middle - half, 0.0), hits == of ? 1 : std::min(middle + half, 1.0)};
}

std::optional<wire::StateId> random_state(const statetable::TableReader& reader, statetable::Seconds now_s,
                                          std::mt19937_64& random) {
  using Cursor = statetable::TableReader::Cursor;
  std::vector<std::size_t> begins;  // of each shard's slots, all in a row
  for (Cursor cursor; !reader.at_end(cursor); ++cursor.shard) begins.push_back(reader.progress(cursor).at);
  const std::size_t all = reader.progress({}).of;
  if (all == 0) return std::nullopt;
  for (unsigned look = 0; look < tries_max; ++look) {
    const std::size_t wanted = random() % all;
    const auto shard = std::prev(std::upper_bound(begins.begin(), begins.end(), wanted));
    Cursor cursor{static_cast<std::size_t>(shard - begins.begin()), wanted - *shard};
    std::size_t slots = 1;
    if (const auto found = reader.next(cursor, slots); found && can_be_judged(found->hot, now_s)) return found->hot.id;
  }
  return std::nullopt;
}

bool Sampler::is_due(unsigned per_s, Instant now) {
  if (per_s == 0) return false;
  const std::chrono::nanoseconds between = std::chrono::nanoseconds{std::chrono::seconds{1}} / per_s;
  if (last_ && now - *last_ < (is_answering() ? between : between * slower)) return false;
  last_ = now;
  return true;
}

void Sampler::follow(const Counts& counts, bool answers_otherwise, Instant now) {
  if (!answers_otherwise) away_at_ = now;
  const bool was_away = away_at_ && now < *away_at_ + away_last;
  if (!std::exchange(is_following_, true)) counts_ = counts;
  const auto take = [&](SampleVerdict verdict, auto&& each) {
    const auto i = static_cast<std::size_t>(verdict);
    for (; counts_[i] < counts[i]; ++counts_[i]) each();
    counts_[i] = counts[i];
  };
  const auto judge = [this](bool is_bad) {
    judged_.push_back(is_bad);
    bad_ += is_bad ? 1 : 0;
    if (judged_.size() <= window) return;
    bad_ -= judged_.front() ? 1 : 0;
    judged_.pop_front();
  };
  take(SampleVerdict::missing, [&] {
    if (!was_away) judge(true);
    ++unanswered_;
  });
  take(SampleVerdict::ended, [] {});
  const auto answered = [this] { unanswered_ = 0; };
  take(SampleVerdict::same, [&] { judge(false), answered(); });
  take(SampleVerdict::different, [&] { judge(true), answered(); });
  take(SampleVerdict::in_flux, answered);
}

std::optional<bool> Sampler::take_change() {
  const auto now = estimate();
  if (!now || (is_alarming_ ? now->high > alarming_share : now->low <= alarming_share)) return std::nullopt;
  is_alarming_ = !is_alarming_;
  return is_alarming_;
}

void Sampler::forget() noexcept {
  judged_.clear();
  bad_ = 0;
  is_alarming_ = false;
}

std::optional<Estimate> Sampler::estimate() const {
  if (judged_.empty() || !is_answering()) return std::nullopt;
  return wilson(bad_, judged_.size());
}

}  // namespace pfsync::engine::divergence
