#include "engine/divergence/answerer.h"

#include <algorithm>

namespace pfsync::engine::divergence {
namespace {

const Refused out_of_date{"the comparison that this belongs to is over here: begin it again"};

/// Of the top level down to that one.
bool is_level(unsigned level, unsigned bits) { return level < bits && level % level_bits == 0 && level >= level_bits; }

bool are_below(const std::vector<std::uint32_t>& buckets, unsigned bits) {
  return std::all_of(buckets.begin(), buckets.end(),
                     [bits](std::uint32_t bucket) { return bucket < std::uint32_t{1} << bits; });
}

bool has_twins(std::vector<std::uint32_t> buckets) {
  std::sort(buckets.begin(), buckets.end());
  return std::adjacent_find(buckets.begin(), buckets.end()) != buckets.end();
}

}  // namespace

std::string Answerer::answer(std::string_view request, Instant now, statetable::Seconds now_s) {
  auto decoded = decode_request(request);
  if (auto* why = std::get_if<std::string>(&decoded)) return encode(Answer{Refused{std::move(*why)}});
  asked_at_ = now;
  struct Visitor {
    Answerer& self;
    Instant now;
    statetable::Seconds now_s;
    Answer operator()(const Begin& begin) const { return self.answer(begin, now); }
    Answer operator()(const Narrow& narrow) const { return self.answer(narrow); }
    Answer operator()(const List& list) const { return self.answer(list); }
    Answer operator()(const Look& look) const { return self.answer(look); }
    Answer operator()(const Fetch& fetch) const { return self.answer(fetch, now_s); }
    Answer operator()(Mend& mend) const { return self.answer(mend); }
  };
  return encode(std::visit(Visitor{*this, now, now_s}, std::get<Request>(decoded)));
}

Answer Answerer::answer(const Begin& begin, Instant now) {
  if (walked_at_ != Instant{} && now - walked_at_ < walk_pause)
    return Refused{"another comparison began a moment ago: try again"};
  walked_at_ = now;
  lists_left_ = lists_max;
  sums_.emplace(reader_, begin.seed, begin.bucket_bits);
  Begun begun{.family = facts_.family,
              .address = facts_.address,
              .delay_ms = facts_.delay_ms,
              .states = sums_->states(),
              .sums = {}};
  for (std::uint32_t bucket = 0; bucket < 1U << level_bits; ++bucket)
    begun.sums.push_back(sums_->sum(level_bits, bucket));
  return begun;
}

Answer Answerer::answer(const Narrow& narrow) const {
  if (!sums_ || sums_->seed() != narrow.seed) return out_of_date;
  if (!is_level(narrow.bits, sums_->bits()) || !are_below(narrow.parents, narrow.bits))
    return Refused{"there is no such bucket in this comparison"};
  Narrowed narrowed;
  for (const std::uint32_t parent : narrow.parents) sums_->add_children(narrow.bits, parent, narrowed.sums);
  return narrowed;
}

Answer Answerer::answer(const List& list) {
  if (!sums_ || sums_->seed() != list.seed || lists_left_ == 0) return out_of_date;
  if (!are_below(list.buckets, sums_->bits()) || has_twins(list.buckets))
    return Refused{"there is no such bucket in this comparison, or it is asked for twice"};
  --lists_left_;
  std::size_t taken = 0;
  auto entries = list_buckets(reader_, list.seed, sums_->bits(), list.buckets, entries_max, taken);
  if (!entries) return Refused{"a bucket has more states than one answer may tell"};
  return Listed{static_cast<std::uint32_t>(taken), std::move(*entries)};
}

Answer Answerer::answer(const Look& look) const {
  Looked looked;
  looked.sums.reserve(look.ids.size());
  for (const wire::StateId& id : look.ids) looked.sums.push_back(sum_of(reader_, id, true));
  return looked;
}

Answer Answerer::answer(const Fetch& fetch, statetable::Seconds now_s) const {
  Fetched fetched;
  fetched.states.reserve(fetch.ids.size());
  for (const wire::StateId& id : fetch.ids) {
    auto& state = fetched.states.emplace_back();
    const auto found = reader_.find(id);
    if (!found) continue;
    state = statetable::to_state(found->hot, found->cold, now_s);
    if (ground_.to_theirs) ground_.to_theirs(fetch.from, *state);
  }
  return fetched;
}

Answer Answerer::answer(Mend& mend) {
  if (std::string why = ground_.carry_out(mend.from, mend.repairs); !why.empty()) return Refused{std::move(why)};
  Mended mended;
  mended.outcomes.reserve(mend.repairs.size());
  for (const Repair& repair : mend.repairs) mended.outcomes.push_back(repair.outcome);
  return mended;
}

}  // namespace pfsync::engine::divergence
