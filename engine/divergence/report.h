#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "engine/divergence/comparison.h"

namespace pfsync::engine::divergence {

using Json = nlohmann::ordered_json;

/// `states_here`, `states_there`, `different` and how (`only_here`, …), `in_flux`, `mended_here`, …, `bytes`, `error`
/// (null: none). With differences: `differences`, each with `kind`, `id` and both sides' states as show states has
/// them.
[[nodiscard]] Json findings_json(const Findings& findings, bool with_differences);

/// One sentence for the log and the operator.
[[nodiscard]] std::string sentence_of(const Findings& findings, bool was_to_mend);

}  // namespace pfsync::engine::divergence
