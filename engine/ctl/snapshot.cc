#include "engine/ctl/snapshot.h"

#include <fmt/format.h>

#include <chrono>
#include <thread>

#include "engine/ctl/text.h"

namespace pfsync::engine::ctl {
namespace {

constexpr std::chrono::milliseconds snapshot_look_every{100};
constexpr int snapshot_looks_max = 6000;  ///< ten minutes: longer than the largest table takes at the usual pace

Json failed(const std::string& sentence) { return {{"ok", false}, {"sentence", sentence}}; }

}  // namespace

std::variant<Json, Unreached> take_snapshot(Client& client) {
  auto answer = client.ask({{"command", "snapshot"}});
  if (std::holds_alternative<Unreached>(answer)) return answer;
  const Json taken = std::get<Json>(answer);
  if (taken.at("ok") == false) return failed(plain(taken.at("error")));
  const std::uint64_t wanted = number(taken, "number");
  for (int looks = 0; looks < snapshot_looks_max; ++looks) {
    std::this_thread::sleep_for(snapshot_look_every);
    auto status = client.ask({{"command", "show"}, {"what", "status"}});
    if (std::holds_alternative<Unreached>(status)) return status;
    const Json snapshot = std::get<Json>(status).at("snapshot");
    if (!snapshot.is_object()) return failed("the configuration has no [snapshot] any more");
    if (number(snapshot, "answered") < wanted) continue;
    if (snapshot.at("error").is_string()) return failed(plain(snapshot.at("error")));
    const Json& last = snapshot.at("last");
    return Json{
        {"ok", true},
        {"sentence", fmt::format("{} states written to {}: {} bytes, in {:.2f} s", number(last, "states"),
                                 plain(snapshot.at("path")), number(last, "bytes"), last.at("seconds").get<double>())},
        {"snapshot", snapshot}};
  }
  return failed("the snapshot is not written yet: pfsyncctl show status tells when it is");
}

}  // namespace pfsync::engine::ctl
