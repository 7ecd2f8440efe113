#include "engine/divergence/report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "engine/control/report.h"
#include "wire/address.h"

namespace pfsync::engine::divergence {
namespace {

Json side_json(const std::optional<wire::State>& state) { return state ? state_json(*state) : Json(nullptr); }

}  // namespace

Json findings_json(const Findings& findings, bool with_differences) {
  const bool is_known = findings.family != wire::Family::none;
  Json json{{"peer", is_known ? Json(wire::to_string(findings.peer, findings.family)) : Json(nullptr)},
            {"error", findings.failure.empty() ? Json(nullptr) : Json(findings.failure)},
            {"too_many", findings.is_too_much},
            {"states_here", findings.states_here},
            {"states_there", findings.states_there},
            {"suspects", findings.suspects},
            {"settled", findings.settled},
            {"in_flux", findings.in_flux},
            {"different", findings.different()}};
  for (std::size_t i = 0; i < kinds; ++i) json[std::string{word(static_cast<Kind>(i))}] = findings.of_kind[i];
  json["mended_here"] = findings.mended_here;
  json["mended_there"] = findings.mended_there;
  json["removed_here"] = findings.removed_here;
  json["removed_there"] = findings.removed_there;
  json["refused"] = findings.refused;
  json["not_judged"] = findings.unclear;
  json["requests"] = findings.requests;
  json["bytes_sent"] = findings.bytes_sent;
  json["bytes_received"] = findings.bytes_received;
  json["seconds"] = std::chrono::duration<double>(findings.taken).count();
  if (!with_differences) return json;
  Json& differences = json["differences"] = Json::array();
  for (const Difference& each : findings.differences)
    differences.push_back({{"kind", word(each.kind)},
                           {"id", state_id_text(each.id)},
                           {"here", side_json(each.here)},
                           {"there", side_json(each.there)}});
  return json;
}

Json sampling_json(const Sampler& sampler, unsigned per_s) {
  Json json{{"per_s", per_s}, {"asked", sampler.number_asked()}};
  for (std::size_t i = 0; i < sample_verdicts; ++i)
    json[std::string{word(static_cast<SampleVerdict>(i))}] = sampler.counts()[i];
  json["answering"] = sampler.is_answering();
  json["judged"] = sampler.judged();
  json["alarming"] = sampler.alarm().has_value();
  const auto estimate = sampler.estimate();
  json["share"] = estimate ? Json(estimate->share) : Json(nullptr);
  json["low"] = estimate ? Json(estimate->low) : Json(nullptr);
  json["high"] = estimate ? Json(estimate->high) : Json(nullptr);
  return json;
}

std::string sentence_of(const Findings& findings, bool was_to_mend) {
  if (!findings.failure.empty()) return findings.failure;
  const std::string both = fmt::format("of {} states here and {} there", findings.states_here, findings.states_there);
  const std::string flux =
      findings.in_flux == 0 ? "" : fmt::format(" ({} were changing all the time)", findings.in_flux);
  if (findings.different() == 0) return both + " none differs" + flux;
  std::string text =
      fmt::format("{} {} {}{}", both, findings.different(), findings.different() == 1 ? "differs" : "differ", flux);
  if (!was_to_mend) return text;
  text += fmt::format(": {} mended here, {} there", findings.mended_here, findings.mended_there);
  if (const auto removed = findings.removed_here + findings.removed_there; removed > 0)
    text += fmt::format(", {} that had ended removed", removed);
  if (findings.refused > 0) text += fmt::format(", {} refused", findings.refused);
  if (findings.unclear > 0) text += fmt::format(", {} left, since neither version is the newer", findings.unclear);
  return text;
}

std::string trouble_of(const Findings& findings, bool was_to_mend) {
  const std::string who = findings.family == wire::Family::none
                              ? "the paired engine"
                              : "the paired engine " + wire::to_string(findings.peer, findings.family);
  if (findings.is_too_much)
    return fmt::format(
        "{} has so many states otherwise than this node ({} here, {} there) that they are not mended one by one: "
        "pfsyncctl resync --full on the node that lacks them, then pfsyncctl diff",
        who, findings.states_here, findings.states_there);
  const std::uint64_t left = findings.failure.empty() ? findings.left(was_to_mend) : 0;
  if (left == 0) return "";
  const char* verb = left == 1 ? "state differs" : "states differ";
  if (was_to_mend)
    return fmt::format(
        "{} {} from those of {} after a repair, too ({} refused, {} of which neither version is the newer): pfsyncctl "
        "show counters tells why on the node that refused; kill what nobody needs",
        left, verb, who, findings.refused, findings.unclear);
  const auto count = [&](Kind kind) { return findings.of_kind[static_cast<std::size_t>(kind)]; };
  return fmt::format(
      "{} {} from those of {} ({} only here, {} only there), as the last comparison found: pfsyncctl diff shows "
      "them, pfsyncctl diff --repair mends them",
      left, verb, who, count(Kind::only_here), count(Kind::only_there));
}

}  // namespace pfsync::engine::divergence
