#pragma once

#include <array>
#include <functional>
#include <memory>
#include <variant>
#include <vector>

#include "engine/link/link.h"
#include "engine/session/bulk_sender.h"
#include "engine/session/session.h"
#include "statetable/table.h"
#include "wire/ethernet.h"

namespace pfsync::sim {

using namespace std::chrono_literals;
using engine::Duration;
using engine::Instant;

/// Two engines and the cable between them: sessions behind links, whole frames, a clock turned by hand. What is sent
/// arrives at once.
class TwoEngines {
 public:
  static constexpr std::array<std::uint32_t, 2> creators{0x11111111, 0x22222222};
  using Frame = std::vector<std::uint8_t>;

  struct Options {
    wire::Dialect dialect = wire::Dialect::freebsd_1301;
    wire::Family family = wire::Family::inet;
    bool multicast = true;
    engine::SessionConfig session{};
    bool second_is_there = true;  ///< or comes with add_second()
  };

  explicit TwoEngines(Options options) : options_{std::move(options)} {
    ends_[0] = make(0);
    if (options_.second_is_there) add_second();
  }
  void add_second() { ends_[1] = make(1); }
  /// Its memory is lost.
  void kill(std::size_t end) { ends_[end].reset(); }

  [[nodiscard]] engine::Session& session(std::size_t end) { return ends_[end]->session; }
  [[nodiscard]] Instant now() const { return now_; }
  [[nodiscard]] std::optional<wire::State> held(std::size_t end, wire::StateId id) const {
    const auto entry = ends_[end]->table->reader().find(id);
    if (!entry) return std::nullopt;
    return statetable::to_state(entry->hot, entry->cold, statetable::to_seconds(now_));
  }
  /// Opens a state on an end; its creator is that end.
  wire::StateId open(std::size_t end, wire::State state) {
    state.id.creatorid = creators[end];
    EXPECT_EQ(session(end).insert(state, now_), engine::Session::Local::done);
    return state.id;
  }
  /// Time in steps of a millisecond, all frames of which go over the cable.
  void pass(Duration duration) {
    for (const Instant end = now_ + duration;; now_ += 1ms) {
      exchange();
      if (now_ >= end) return;
    }
  }
  void exchange() {
    for (bool more = true; more;) {
      more = false;
      for (std::size_t end = 0; end < 2; ++end)
        if (ends_[end])
          for (const Frame& frame : frames_of(end)) {
            more = true;
            deliver(1 - end, frame);
          }
    }
  }
  void deliver(std::size_t end, const Frame& frame) {
    if (!ends_[end]) return;
    if (on_frame_) on_frame_(end, frame);
    if (const auto packet = ends_[end]->link.on_frame(frame)) ends_[end]->session.on_packet(*packet, now_);
  }
  /// Called for each frame that arrives, before it does.
  void watch(std::function<void(std::size_t, const Frame&)> on_frame) { on_frame_ = std::move(on_frame); }
  [[nodiscard]] std::uint64_t frames_other(std::size_t end) const { return ends_[end]->link.frames_other(); }

 private:
  struct End {
    End(const engine::SessionConfig& config, const engine::LinkConfig& at, std::unique_ptr<statetable::Table> of)
        : table{std::move(of)},
          session{config, *table, &gate},
          link{at, session.counters()},
          bulk{{.creatorid = config.creatorid, .dialect = config.dialect, .states_per_s = 0}, *table, &gate} {}
    std::unique_ptr<statetable::Table> table;
    engine::BulkGate gate;
    engine::Session session;
    engine::Link link;
    engine::BulkSender bulk;
  };

  [[nodiscard]] wire::Address address(std::size_t end) const {
    const auto last = static_cast<std::uint8_t>(end + 1);
    if (options_.family == wire::Family::inet) return wire::ipv4_address(192, 0, 2, last);
    return wire::Address{{0xfd, 0x2c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last}};
  }
  [[nodiscard]] std::unique_ptr<End> make(std::size_t end) const {
    engine::SessionConfig config = options_.session;
    config.creatorid = creators[end];
    config.dialect = options_.dialect;
    const bool six = options_.family == wire::Family::inet6;
    const engine::LinkConfig at{.mac = {{2, 0, 0, 0, 0, static_cast<std::uint8_t>(end + 1)}},
                                .family = options_.family,
                                .address = address(end),
                                .destination = !options_.multicast ? address(1 - end)
                                               : six               ? wire::pfsync_group_inet6
                                                                   : wire::pfsync_group_inet};
    auto table =
        statetable::Table::create({.states_max = 1000, .shard_bits = 1, .hash_seed = 7, .by_connection = true});
    auto made = std::make_unique<End>(config, at, std::move(std::get<std::unique_ptr<statetable::Table>>(table)));
    made->session.start(now_);
    return made;
  }
  [[nodiscard]] std::vector<Frame> frames_of(std::size_t number) {
    End& end = *ends_[number];
    std::vector<Frame> frames;
    const auto sent = [&](Frame& room, std::size_t bytes) {
      room.resize(bytes);
      frames.push_back(std::move(room));
      room = Frame(1600);
    };
    if (now_ >= end.session.timeout(now_)) end.session.on_timeout(now_);
    Frame room(1600);
    while (const std::size_t bytes = end.link.transmit_resolution(room, now_)) sent(room, bytes);
    if (!end.link.can_send()) return frames;
    const auto packet_room = [&] { return end.link.packet_room(room, options_.dialect); };
    while (const std::size_t bytes = end.session.transmit(packet_room(), now_))
      sent(room, end.link.finish(room, bytes));
    if (end.session.take_bulk_request()) end.bulk.start(now_);
    while (const std::size_t bytes = end.bulk.transmit(packet_room(), now_)) {
      sent(room, end.link.finish(room, bytes));
      end.gate.frame_handed_over();
    }
    return frames;
  }

  Options options_;
  std::array<std::unique_ptr<End>, 2> ends_;
  std::function<void(std::size_t, const Frame&)> on_frame_;
  Instant now_ = Instant{} + 1000s;
};

}  // namespace pfsync::sim
