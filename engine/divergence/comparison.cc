#include "engine/divergence/comparison.h"

#include <algorithm>
#include <span>

#include "statetable/digest.h"

namespace pfsync::engine::divergence {
namespace {

std::optional<Sum> sum_of(const std::optional<wire::State>& state) {
  return state ? std::optional{statetable::digest_of(*state).low} : std::nullopt;
}

bool is_less(const Entry& a, const Entry& b) noexcept { return a.id < b.id; }

}  // namespace

Comparison::Comparison(const Config& config, const statetable::Table& table, Ground ground, Instant now)
    : config_{config},
      reader_{table.reader()},
      ground_{std::move(ground)},
      bucket_bits_{bucket_bits_for(table.size())},
      began_{now},
      due_{now} {}

std::string_view Comparison::step() const noexcept {
  constexpr std::string_view words[]{"begin", "narrow", "list", "settle", "look", "fetch", "mend", "done"};
  return words[static_cast<std::size_t>(step_)];
}

template <class T>
std::vector<T> Comparison::part(const std::vector<T>& all, std::size_t most) const {
  const auto from = all.begin() + static_cast<std::ptrdiff_t>(at_);
  return {from, from + static_cast<std::ptrdiff_t>(std::min(most, all.size() - at_))};
}

Request Comparison::next_request() const {
  switch (step_) {
    case Step::begin: return Begin{config_.seed, static_cast<std::uint8_t>(bucket_bits_)};
    case Step::narrow: return Narrow{config_.seed, static_cast<std::uint8_t>(level_), part(buckets_, parents_max)};
    case Step::list: return List{config_.seed, part(buckets_, buckets_max)};
    case Step::fetch: return Fetch{config_.facts.address, part(ids_, fetched_max)};
    case Step::mend: return Mend{config_.facts.address, part(for_there_, repairs_max)};
    default: return Look{part(ids_, looks_max)};
  }
}

std::optional<std::string> Comparison::request(Instant now, statetable::Seconds now_s) {
  now_s_ = now_s;
  if (step_ == Step::settle && now >= due_) enter(Step::look, now);
  if (step_ == Step::done || step_ == Step::settle) return std::nullopt;
  std::string bytes = encode(next_request());
  findings_.bytes_sent += bytes.size();
  ++findings_.requests;
  return bytes;
}

void Comparison::answered(std::string_view answer, Instant now, statetable::Seconds now_s) {
  now_s_ = now_s;
  findings_.bytes_received += answer.size();
  const auto decoded = decode_answer(answer);
  if (const auto* why = std::get_if<std::string>(&decoded)) return end("the other node's answer: " + *why, now);
  const auto& value = std::get<Answer>(decoded);
  if (const auto* refused = std::get_if<Refused>(&value))
    return end("the other node refused: " + refused->sentence, now);
  const auto fits = [&](Step step, const auto* wanted) { return step_ == step && wanted && take(*wanted, now); };
  const bool is_taken =
      fits(Step::begin, std::get_if<Begun>(&value)) || fits(Step::narrow, std::get_if<Narrowed>(&value)) ||
      fits(Step::list, std::get_if<Listed>(&value)) || fits(Step::look, std::get_if<Looked>(&value)) ||
      fits(Step::fetch, std::get_if<Fetched>(&value)) || fits(Step::mend, std::get_if<Mended>(&value));
  if (!is_taken && !is_done()) end("the other node's answer is not one to what it was asked", now);
}

void Comparison::end(std::string failure, Instant now) {
  findings_.failure = std::move(failure);
  findings_.taken = now - began_;
  step_ = Step::done;
}

void Comparison::too_much(Instant now) {
  findings_.is_too_much = true;
  end("so many states differ that a whole bulk update is the better way: pfsyncctl resync --full", now);
}

/// The steps that have nothing to ask are passed over.
void Comparison::enter(Step step, Instant now) {
  at_ = 0;
  step_ = step;
  switch (step) {
    case Step::narrow:
      if (buckets_.empty()) return end("", now);
      if (buckets_.size() > buckets_differ_max) return too_much(now);
      if (level_ >= bucket_bits_) enter(Step::list, now);
      return;
    case Step::settle:
      findings_.suspects = suspects_.size();
      if (suspects_.empty()) return end("", now);
      ids_.clear();
      for (const Suspect& suspect : suspects_) ids_.push_back(suspect.id);
      due_ = now + on_the_way +
             std::chrono::milliseconds{std::int64_t{config_.facts.delay_ms} + std::int64_t{peer_delay_ms_}};
      return;
    case Step::fetch:
      ids_.clear();
      for (const Suspect& suspect : lasting_) ids_.push_back(suspect.id);
      if (lasting_.size() > different_max) return too_much(now);
      if (lasting_.empty()) end("", now);
      return;
    case Step::mend:
      if (!config_.mend) return end("", now);
      if (for_there_.empty()) mend_here(now);
      return;
    default: return;
  }
}

// --- answers: false when one does not fit ------------------------------------------------------------

bool Comparison::take(const Begun& begun, Instant now) {
  if (begun.sums.size() != std::size_t{1} << level_bits) return false;
  findings_.family = begun.family;
  findings_.peer = peer_ = begun.address;
  constexpr std::uint32_t delay_ms_max = 60'000;  // as the configuration allows
  peer_delay_ms_ = std::min(begun.delay_ms, delay_ms_max);
  sums_.emplace(reader_, config_.seed, bucket_bits_);
  findings_.states_here = sums_->states();
  findings_.states_there = begun.states;
  for (std::uint32_t bucket = 0; bucket < begun.sums.size(); ++bucket)
    if (begun.sums[bucket] != sums_->sum(level_, bucket)) buckets_.push_back(bucket);
  enter(Step::narrow, now);
  return true;
}

bool Comparison::take(const Narrowed& narrowed, Instant now) {
  const std::vector<std::uint32_t> parents = part(buckets_, parents_max);
  const unsigned next = next_level(level_, bucket_bits_);
  const std::uint32_t each = std::uint32_t{1} << (next - level_);
  if (narrowed.sums.size() != parents.size() * each) return false;
  for (std::size_t i = 0; i < narrowed.sums.size(); ++i) {
    const auto child = static_cast<std::uint32_t>(parents[i / each] * each + i % each);
    if (narrowed.sums[i] != sums_->sum(next, child)) children_.push_back(child);
  }
  at_ += parents.size();
  if (at_ < buckets_.size()) return true;
  buckets_ = std::exchange(children_, {});
  level_ = next;
  enter(Step::narrow, now);
  return true;
}

bool Comparison::take(const Listed& listed, Instant now) {
  std::vector<std::uint32_t> asked = part(buckets_, buckets_max);
  if (listed.buckets > asked.size()) return false;
  asked.resize(listed.buckets);
  std::vector<std::uint32_t> in_order = asked;
  std::sort(in_order.begin(), in_order.end());
  for (const Entry& entry : listed.entries)
    if (!std::binary_search(in_order.begin(), in_order.end(), bucket_of(entry.id, config_.seed, bucket_bits_)))
      return false;
  std::vector<Entry> theirs = listed.entries;
  std::sort(theirs.begin(), theirs.end(), is_less);
  const auto same_id = [](const Entry& a, const Entry& b) { return a.id == b.id; };
  if (std::adjacent_find(theirs.begin(), theirs.end(), same_id) != theirs.end()) return false;
  std::size_t taken = 0;
  auto ours = list_buckets(reader_, config_.seed, bucket_bits_, asked, suspects_max, taken);
  if (!ours || taken < asked.size()) {
    too_much(now);
    return true;
  }
  std::sort(ours->begin(), ours->end(), is_less);
  auto here = ours->cbegin();
  auto there = theirs.cbegin();
  while (here != ours->cend() || there != theirs.cend()) {
    const bool is_here = here != ours->cend() && (there == theirs.cend() || here->id <= there->id);
    const bool is_there = there != theirs.cend() && (here == ours->cend() || there->id <= here->id);
    Suspect suspect{.id = is_here ? here->id : there->id, .here = {}, .there = {}};
    if (is_here) suspect.here = (here++)->sum;
    if (is_there) suspect.there = (there++)->sum;
    if (suspect.here != suspect.there) suspects_.push_back(suspect);
  }
  if (suspects_.size() > suspects_max) {
    too_much(now);
    return true;
  }
  at_ += listed.buckets;
  if (at_ == buckets_.size()) enter(Step::settle, now);
  return true;
}

bool Comparison::take(const Looked& looked, Instant now) {
  const std::size_t asked = std::min(looks_max, ids_.size() - at_);
  if (looked.sums.size() != asked) return false;
  for (std::size_t i = 0; i < asked; ++i) {
    const Suspect& before = suspects_[at_ + i];
    const auto here = divergence::sum_of(reader_, before.id, true), &there = looked.sums[i];
    const bool came_or_went =
        here.has_value() != before.here.has_value() || there.has_value() != before.there.has_value();
    if (here == there)
      ++findings_.settled;
    else if (came_or_went || (here != before.here && there != before.there))
      ++findings_.in_flux;
    else
      lasting_.push_back(before);
  }
  at_ += asked;
  if (at_ == ids_.size()) enter(Step::fetch, now);
  return true;
}

bool Comparison::take(const Fetched& fetched, Instant now) {
  const std::size_t asked = std::min(fetched_max, ids_.size() - at_);
  if (fetched.states.size() != asked) return false;
  for (std::size_t i = 0; i < asked; ++i)
    if (fetched.states[i] && fetched.states[i]->id != ids_[at_ + i]) return false;
  for (std::size_t i = 0; i < asked; ++i) judge(lasting_[at_ + i], fetched.states[i]);
  at_ += asked;
  if (at_ == ids_.size()) enter(Step::mend, now);
  return true;
}

/// Of a state that differed at both looks, with what it is now. Whoever is behind must have stood still since the
/// first: else what he lacks is on its way, and more will be.
void Comparison::judge(const Suspect& suspect, const std::optional<wire::State>& there) {
  std::optional<wire::State> here;
  if (const auto found = reader_.find(suspect.id)) here = statetable::to_state(found->hot, found->cold, now_s_);
  const bool here_changed = sum_of(here) != suspect.here, there_changed = sum_of(there) != suspect.there;
  if (sum_of(here) == sum_of(there)) {
    ++findings_.settled;
    return;
  }
  if (!here || !there) {
    if (here.has_value() != suspect.here.has_value() || there.has_value() != suspect.there.has_value()) {
      ++findings_.in_flux;
      return;
    }
    const Kind kind = here ? Kind::only_here : Kind::only_there;
    count(kind, suspect, here, there);
    plan(kind, here ? &*here : nullptr, there ? &*there : nullptr, {});
    return;
  }
  const Versions versions = compare(*here, *there);
  const Kind kind = kind_of(versions);
  const bool here_is_behind = kind != Kind::newer_here, there_is_behind = kind != Kind::newer_there;
  if ((here_is_behind && here_changed) || (there_is_behind && there_changed)) {
    ++findings_.in_flux;
    return;
  }
  count(kind, suspect, here, there);
  plan(kind, &*here, &*there, versions);
}

void Comparison::count(Kind kind, const Suspect& suspect, const std::optional<wire::State>& here,
                       const std::optional<wire::State>& there) {
  ++findings_.of_kind[static_cast<std::size_t>(kind)];
  if (findings_.differences.size() < shown_max) findings_.differences.push_back({suspect.id, kind, here, there});
}

// --- repairs -----------------------------------------------------------------------------------------

void Comparison::plan(Kind kind, const wire::State* here, const wire::State* there, const Versions& versions) {
  const auto give_there = [this](wire::State state) {
    if (ground_.to_theirs) ground_.to_theirs(peer_, state);
    for_there_.push_back({.state = state});
  };
  const auto take_here = [this](const wire::State& state) { for_here_.push_back({.state = state}); };
  if (kind == Kind::unclear || versions.is_unclear()) ++findings_.unclear;
  switch (kind) {
    case Kind::only_here: give_there(*here); break;
    case Kind::only_there: take_here(*there); break;
    case Kind::newer_here: give_there(mended(*there, *here, versions, Newer::here)); break;
    case Kind::newer_there: take_here(mended(*here, *there, versions, Newer::there)); break;
    case Kind::newer_on_both: {
      give_there(mended(*there, *here, versions, Newer::here));
      wire::State mine = mended(*here, *there, versions, Newer::there);
      mine.timeout = here->timeout;  // one of the two, for both
      take_here(mine);
      break;
    }
    case Kind::unclear: break;
  }
}

/// Of what was sent to the other node. What it is certain to have ended ends here, too.
bool Comparison::take(const Mended& mended, Instant now) {
  const std::size_t asked = std::min(repairs_max, for_there_.size() - at_);
  if (mended.outcomes.size() != asked) return false;
  for (std::size_t i = 0; i < asked; ++i) {
    const Repair& sent = for_there_[at_ + i];
    switch (mended.outcomes[i]) {
      case Repair::Outcome::taken:
        ++(sent.kind == Repair::Kind::ended ? findings_.removed_there : findings_.mended_there);
        break;
      case Repair::Outcome::ended:
        if (!is_second_round_) for_here_.push_back({.kind = Repair::Kind::ended, .state = {.id = sent.state.id}});
        break;
      case Repair::Outcome::refused:
      case Repair::Outcome::none: ++findings_.refused; break;
      case Repair::Outcome::same:
      case Repair::Outcome::stale: break;  // it has come by itself meanwhile, or more
    }
  }
  at_ += asked;
  if (at_ == for_there_.size()) mend_here(now);
  return true;
}

void Comparison::mend_here(Instant now) {
  for_there_.clear();
  for (std::span<Repair> left{for_here_}; !left.empty(); left = left.subspan(std::min(left.size(), repairs_max))) {
    const auto some = left.first(std::min(left.size(), repairs_max));
    if (std::string why = ground_.carry_out(peer_, some); !why.empty()) return end(std::move(why), now);
    for (const Repair& repair : some) {
      switch (repair.outcome) {
        case Repair::Outcome::taken:
          ++(repair.kind == Repair::Kind::ended ? findings_.removed_here : findings_.mended_here);
          break;
        case Repair::Outcome::ended:
          for_there_.push_back({.kind = Repair::Kind::ended, .state = {.id = repair.state.id}});
          break;
        case Repair::Outcome::refused:
        case Repair::Outcome::none: ++findings_.refused; break;
        case Repair::Outcome::same:
        case Repair::Outcome::stale: break;
      }
    }
  }
  for_here_.clear();
  if (is_second_round_ || for_there_.empty()) return end("", now);
  is_second_round_ = true;
  at_ = 0;
}

}  // namespace pfsync::engine::divergence
