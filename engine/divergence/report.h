#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "engine/divergence/comparison.h"
#include "engine/divergence/sampler.h"

namespace pfsync::engine::divergence {

using Json = nlohmann::ordered_json;

/// `peer` (the other node's address on the sync network), `states_here`, `states_there`, `different` and how
/// (`only_here`, …), `in_flux`, `mended_here`, …, `bytes`, `error` (null: none). With differences: `differences`, each
/// with `kind`, `id` and both sides' states as show states has them.
[[nodiscard]] Json findings_json(const Findings& findings, bool with_differences);

/// Of a peer: `per_s`, `asked`, `same`, `different`, `missing`, `in_flux`, `ended`, `answering`, and of the last
/// samples that could be judged `judged` (how many), `share`, `low`, `high` (null: none) and `alarming`.
[[nodiscard]] Json sampling_json(const Sampler& sampler, unsigned per_s);

/// One sentence for the log and the operator.
[[nodiscard]] std::string sentence_of(const Findings& findings, bool was_to_mend);
/// What somebody has to do about it; empty: nothing. Of a comparison that came to no end nothing is known, unless too
/// much differed.
[[nodiscard]] std::string trouble_of(const Findings& findings, bool was_to_mend);

}  // namespace pfsync::engine::divergence
