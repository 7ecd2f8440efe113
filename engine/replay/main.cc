/// pfsync-replay: a capture through the daemon's own session, as a passive third node.

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <variant>

#include "engine/dpdk/sender.h"
#include "engine/replay/capture.h"
#include "engine/replay/dump.h"
#include "engine/replay/player.h"
#include "engine/replay/progress_bar.h"
#include "engine/replay/report.h"
#include "engine/replay/survey.h"
#include "wire/reject.h"
#include "wire/text.h"

namespace {

namespace replay = pfsync::engine::replay;
namespace wire = pfsync::wire;
using Clock = std::chrono::steady_clock;

constexpr int exit_unreadable = 2;
constexpr int exit_usage = 2;
constexpr int exit_output = 1;
constexpr int exit_device = 1;
constexpr std::uintmax_t bar_from_bytes = 16u << 20u;
constexpr std::uint64_t bar_from_packets = 500'000;
constexpr double burst_from_rate = 100'000;  // messages/s; below, packets go one by one, evenly

struct Options {
  std::string file;
  bool json = false;
  bool dump = false;
  bool states = false;
  bool no_expire = false;
  std::uint64_t loops = 1;
  double rate = 0;  ///< messages per second; 0 = as fast as it goes
  bool timed = false;
  std::string peer;  ///< device to send the packets out of; empty: none
};

int refuse(const std::string& sentence, int status = exit_unreadable) {
  std::cerr << "pfsync-replay: " << sentence << ".\n";
  return status;
}

/// Plays one packet at a time and prints each, with what the session refused in it.
void play_dumping(const replay::Capture& capture, replay::Player& player) {
  std::array<std::uint64_t, wire::reject_count> before{};
  while (player.burst() > 0) {
    const auto& packet = capture.packets()[player.played()];
    std::cout << replay::dump_text(packet.unix_time, capture.bytes(packet));
    player.play(1);
    for (const auto& row : wire::reject_table) {
      const auto i = static_cast<std::size_t>(row.reject);
      const std::uint64_t now = player.counters()[row.reject].value();
      // What was wrong with the packet as a whole stands in the dump already.
      const bool of_messages = row.reject == wire::Reject::badval || row.reject == wire::Reject::stale ||
                               row.reject == wire::Reject::badstate;
      if (of_messages && now > before[i]) std::cout << "    " << row.word << ": " << now - before[i] << "\n";
      before[i] = now;
    }
  }
}

/// What all runs together have done, for pacing and the bar.
struct Pace {
  double rate = 0;
  std::uint64_t messages_before = 0;  ///< of the runs before this one
  Clock::time_point began = Clock::now();

  void wait_for(std::uint64_t messages) const {
    if (rate <= 0) return;
    std::this_thread::sleep_until(began + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(
                                              static_cast<double>(messages_before + messages) / rate)));
  }
};

/// Sends what is about to be played; throws when the device does not take it.
class Wire {
 public:
  explicit Wire(const std::string& device) {
    if (!device.empty()) sender_.emplace(device);
  }

  void send(const replay::Capture& capture, std::size_t first, std::size_t count) {
    if (!sender_) return;
    for (std::size_t i = first; i < first + count; ++i) {
      const auto& packet = capture.packets()[i];
      if (packet.cut) continue;  // its end is not in the capture
      if (!sender_->send(capture.bytes(packet)))
        throw std::runtime_error{"frame " + std::to_string(i + 1) +
                                 " could not be sent: it is larger than the device's MTU, or the device takes nothing"};
    }
    if (!sender_->flush()) throw std::runtime_error{"the device has taken no frame for two seconds: check the link"};
  }
  [[nodiscard]] std::optional<std::uint64_t> sent() const {
    return sender_ ? std::optional{sender_->sent()} : std::nullopt;
  }

 private:
  std::optional<pfsync::engine::dpdk::Sender> sender_;
};

void play(const replay::Capture& capture, replay::Player& player, const Pace& pace, Wire& wire,
          const std::function<void(std::size_t)>& progress) {
  const bool one_by_one = pace.rate > 0 && pace.rate < burst_from_rate;
  for (std::size_t count = player.burst(); count > 0; count = player.burst()) {
    pace.wait_for(player.messages());
    if (one_by_one) count = 1;
    wire.send(capture, player.played(), count);
    player.play(count);
    progress(player.played());
  }
}

int run(const Options& options) {
  std::error_code error;
  const auto file_bytes = std::filesystem::file_size(options.file, error);
  std::optional<replay::Capture> capture;
  {
    replay::ProgressBar bar{"reading", !error && file_bytes >= bar_from_bytes};
    auto loaded = replay::Capture::load(options.file, [&](double fraction) { bar.show(fraction); });
    if (const auto* why = std::get_if<std::string>(&loaded)) return refuse(*why);
    capture.emplace(std::get<replay::Capture>(std::move(loaded)));
  }
  const replay::Survey survey = replay::survey(*capture);

  std::optional<Wire> wire;
  try {
    wire.emplace(options.peer);
  } catch (const std::exception& refusal) {
    std::string_view sentence = refusal.what();
    if (constexpr std::string_view key = "link.device: "; sentence.starts_with(key)) sentence.remove_prefix(key.size());
    return refuse("--peer: " + std::string{sentence}, exit_device);
  }

  replay::Report report;
  report.seconds = std::chrono::duration<double>(capture->span()).count();
  report.loops = options.loops;
  const std::uint64_t packets = capture->packets().size() * options.loops;
  replay::ProgressBar bar{"playing", !options.dump && (packets >= bar_from_packets || options.rate > 0)};
  Clock::duration busy{0};
  Pace pace{.rate = options.rate};
  for (std::uint64_t loop = 0; loop < options.loops; ++loop) {
    // A fresh node each time: were the states kept, every later loop would only meet what it knows.
    auto made = replay::Player::create(*capture, {.states_max = survey.distinct_states, .expire = !options.no_expire});
    if (const auto* why = std::get_if<std::string>(&made)) return refuse(*why);
    auto& player = *std::get<std::unique_ptr<replay::Player>>(made);
    const auto began = Clock::now();
    if (options.dump) {
      play_dumping(*capture, player);
    } else {
      try {
        play(*capture, player, pace, *wire, [&](std::size_t played) {
          bar.show(static_cast<double>(loop * capture->packets().size() + played) / static_cast<double>(packets));
        });
      } catch (const std::runtime_error& refusal) {
        return refuse(std::string{"--peer: "} + refusal.what(), exit_device);
      }
    }
    player.finish();
    pace.wait_for(player.messages());
    busy += Clock::now() - began;
    pace.messages_before += player.messages();
    report.add_run(*capture, survey, player.counters());
    if (loop + 1 == options.loops) report.states = player.states();
  }
  report.frames_sent = wire->sent();
  if (options.timed) {
    // At a given rate the making of tables is part of the pace; as fast as it goes, it would falsify the speed.
    if (options.rate > 0) busy = Clock::now() - pace.began;
    const double busy_s = std::chrono::duration<double>(busy).count();
    report.messages_per_second = busy_s > 0 ? static_cast<double>(pace.messages_before) / busy_s : 0;
  }

  if (options.states)
    for (const wire::State& state : report.states) std::cout << wire::state_text(state);
  if (options.json) std::cout << replay::json_text(report);
  if (!options.json && !options.states && !options.dump) std::cout << replay::summary_text(report, options.file);
  std::cout.flush();
  if (!std::cout) {
    std::cerr << "pfsync-replay: standard output could not be written: free some space or give another place.\n";
    return exit_output;
  }
  return 0;
}

}  // namespace

// NOLINTNEXTLINE(bugprone-exception-escape): CLI11 throws here only for options declared wrongly
int main(int argc, char** argv) {
  Options options;
  CLI::App app{
      "Plays every pfsync frame of a capture into a passive node, on the capture's own clock, and shows what it "
      "learned. Without an option: a summary."};
  app.name("pfsync-replay");
  app.add_option("FILE", options.file, "pcap or pcapng: Ethernet, Linux cooked v1/v2, raw IP; VLAN tags; IPv4 and IPv6")
      ->required();
  auto* json = app.add_flag("--json", options.json, "one JSON object: frames, messages, counters, dialects, states");
  auto* dump = app.add_flag("--dump", options.dump, "every frame and message, in the manner of tcpdump");
  auto* states = app.add_flag("--states", options.states, "the final table, in the manner of pfctl -ss -vv");
  app.add_flag("--no-expire", options.no_expire, "states do not time out");
  auto* loop = app.add_option("--loop", options.loops,
                              "play N times, each time into an empty table; counts are sums over all loops")
                   ->type_name("N")
                   ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1'000'000'000}));
  auto* rate = app.add_option("--rate", options.rate, "play R messages per second instead of as fast as it goes")
                   ->type_name("R")
                   ->check(CLI::Range(0.001, 1e12));
  auto* peer =
      app.add_option("--peer", options.peer,
                     "send the frames out of a device too: an interface, a PCI address or a DPDK virtual device")
          ->type_name("DEV");
  dump->excludes(peer);
  json->excludes(dump)->excludes(states);
  dump->excludes(loop)->excludes(rate);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);  // --help
    std::cerr << "pfsync-replay: " << e.what() << " (pfsync-replay --help shows the usage).\n";
    return exit_usage;
  }
  options.timed = loop->count() > 0 || rate->count() > 0;
  std::ios::sync_with_stdio(false);
  return run(options);
}
