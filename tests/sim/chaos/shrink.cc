#include "tests/sim/chaos/shrink.h"

#include <algorithm>

namespace pfsync::sim::chaos {
namespace {

class Shrinker {
 public:
  Shrinker(const Scenario& failing, const std::string& kind, unsigned runs_max,
           const std::function<void(unsigned, const Scenario&)>& told)
      : best_{failing}, kind_{kind}, left_{runs_max}, told_{told} {}

  Scenario work() {
    for (bool smaller = true; smaller && left_ > 0;) {
      smaller = leave_out_events();
      smaller = end_earlier() || smaller;
      smaller = shorten_events() || smaller;
      smaller = simplify() || smaller;
    }
    return best_;
  }

 private:
  /// Whether it fails in the same way; then it is the best one.
  bool attempt(const Scenario& scenario) {
    if (left_ == 0 || scenario == best_) return false;
    --left_;
    ++runs_;
    const bool fails = run(scenario).kind() == kind_;
    if (fails) best_ = scenario;
    if (told_) told_(runs_, best_);
    return fails;
  }
  bool leave_out_events() {
    bool smaller = false;
    for (std::size_t piece = std::max<std::size_t>(best_.events.size() / 2, 1); piece > 0; piece /= 2)
      for (std::size_t at = 0; at < best_.events.size();) {
        Scenario less = best_;
        const auto begin = less.events.begin() + static_cast<std::ptrdiff_t>(at);
        less.events.erase(begin, begin + static_cast<std::ptrdiff_t>(std::min(piece, less.events.size() - at)));
        if (attempt(less))
          smaller = true;
        else
          at += piece;
      }
    return smaller;
  }
  bool end_earlier() {
    const std::uint64_t last = best_.events.empty() ? 0 : best_.events.back().at;
    bool smaller = false;
    for (const std::uint64_t length :
         {last + 1, last + 2'000, last + (best_.length - std::min(best_.length, last)) / 2}) {
      Scenario less = best_;
      less.length = std::max<std::uint64_t>(length, 1);
      if (less.length < best_.length && attempt(less)) smaller = true;
    }
    return smaller;
  }
  bool shorten_events() {
    bool smaller = false;
    for (std::size_t i = 0; i < best_.events.size(); ++i) {
      Scenario less = best_;
      less.events[i].lasts /= 2;
      smaller = (less.events[i].lasts >= 100 && attempt(less)) || smaller;
    }
    return smaller;
  }
  bool simplify() {
    bool smaller = false;
    const auto with = [&](auto change) {
      Scenario less = best_;
      change(less);
      smaller = attempt(less) || smaller;
    };
    if (best_.cores > 1) with([](Scenario& less) { less.cores = 1; });
    if (best_.states > 4) with([](Scenario& less) { less.states /= 2; });
    if (best_.opens_per_s > 0) with([](Scenario& less) { less.opens_per_s /= 2; });
    if (best_.updates_per_s > 5) with([](Scenario& less) { less.updates_per_s /= 2; });
    return smaller;
  }

  Scenario best_;
  std::string kind_;
  unsigned left_, runs_ = 0;
  const std::function<void(unsigned, const Scenario&)>& told_;
};

}  // namespace

Scenario shrink(const Scenario& failing, const std::string& kind, unsigned runs_max,
                const std::function<void(unsigned, const Scenario&)>& told) {
  return Shrinker{failing, kind, runs_max, told}.work();
}

}  // namespace pfsync::sim::chaos
