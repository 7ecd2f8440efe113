// One end of a link, driven flat out for some seconds; bench/link_rate.py starts both ends and compares.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <deque>
#include <iostream>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "bench/work.h"
#include "engine/dpdk/clock.h"
#include "engine/dpdk/device.h"
#include "engine/dpdk/eal.h"
#include "engine/dpdk/part_path.h"
#include "engine/dpdk/port.h"
#include "engine/link/link.h"
#include "engine/session/partitioned_session.h"
#include "wire/packet_writer.h"

namespace pfsync::bench {
namespace {

using engine::Instant;
using engine::dpdk::Port;
using std::chrono::nanoseconds;

struct Options {
  std::string device;
  std::string role;
  std::string mode;
  double seconds = 2;
  std::uint64_t states = 100'000;
  unsigned cores = 1;  ///< of the receiving node
};

engine::dpdk::Device device_or_throw(const std::string& name) {
  auto result = engine::dpdk::find_device(name, 1500, "link");
  if (const auto* sentence = std::get_if<std::string>(&result)) throw std::runtime_error{*sentence};
  return std::get<engine::dpdk::Device>(std::move(result));
}

/// Of this thread, or of all of the process.
double cpu_s(bool all = false) {
  rusage used{};
  getrusage(all ? RUSAGE_SELF : RUSAGE_THREAD, &used);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

constexpr wire::MacAddress somebody{{2, 0, 0, 0, 0, 9}};  ///< who is behind a port is not looked at

/// A node as pfsyncd's data path has it, filled with the same states at both ends. A hub passes on to a second peer, on
/// the same port, what the first one says.
class Node {
 public:
  struct Shape {
    std::uint8_t host = 1;
    std::uint64_t states = 0;
    bool is_full = true;
    unsigned cores = 1;
    bool is_hub = false;
  };
  Node(Port& port, const Shape& shape)
      : port_{port},
        table_{std::get<std::unique_ptr<statetable::Table>>(
            statetable::Table::create({.states_max = 2 * shape.states + 1'000'000,
                                       .shard_bits = 2,
                                       .hash_seed = hash_seed,
                                       .by_connection = true,
                                       .reserve = true}))},
        node_{session_config(shape), *table_, shape.cores, Port::place_bytes(1500)},
        link_{link_config(port, shape), session().counters()} {
    std::vector<std::uint8_t> room(packet_bytes);
    for (std::uint64_t n = 0; shape.is_full && n < shape.states; ++n) {
      for (unsigned part = 0; part < node_.parts(); ++part) node_.part(part).insert(state_of(n), Instant{});
      if (n % 1000 != 999 && n + 1 != shape.states) continue;
      for (unsigned part = 0; part < node_.parts(); ++part) {
        node_.part(part).push();
        for (unsigned peer = 0; peer < session().peers(); ++peer)
          while (node_.part(part).transmit(peer, room, Instant{}) > 0) {
          }
      }
    }
    for (unsigned part = 1; part < node_.parts(); ++part) {
      Other& other = others_.emplace_back();
      for (unsigned peer = 0; peer < session().peers(); ++peer) {
        other.pointers.push_back(&other.lanes.emplace_back(engine::dpdk::PartPath::buffers_max));
        other.lanes.back().supply(port);
      }
      other.path.emplace(engine::dpdk::PartPath::Parts{.session = node_,
                                                       .number = part,
                                                       .link = link_,
                                                       .lanes = other.pointers,
                                                       .synthetic = nullptr,
                                                       .clock = {},
                                                       .busy = true});
      other.thread = std::thread{[&path = *other.path] { path.run(); }};
    }
  }
  ~Node() {
    for (Other& other : others_) {
      other.path->stop();
      other.thread.join();
    }
  }
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  /// Its first part.
  [[nodiscard]] engine::Session& session() noexcept { return node_.first(); }
  /// What all parts have counted so far.
  [[nodiscard]] std::uint64_t sum(engine::Tally tally) const noexcept {
    engine::Counters sums;
    node_.add_counters(sums);
    return sums[tally].value();
  }
  [[nodiscard]] std::uint64_t updates() const noexcept { return sum(engine::Tally::updates); }

  /// Returns how many frames there were.
  std::size_t receive(Instant now) noexcept {
    if (!node_.has_room()) return 0;
    const auto frames = port_.receive();
    std::size_t count = 0;
    for (const Bytes frame : frames)
      if (const auto packet = link_.on_frame(frame)) packets_[count++] = *packet;
    if (count > 0) node_.on_packets({packets_.data(), count}, now);
    node_.turn(0, now);
    return frames.size();
  }
  /// Hands what is due to the device. Returns how many frames.
  std::size_t transmit(Instant now) noexcept {
    std::size_t frames = 0;
    for (unsigned peer = 0; peer < session().peers(); ++peer) {
      for (Other& other : others_) {
        const std::size_t sent = other.lanes[peer].send(port_, link_, peer, Port::burst_max);
        if (sent > 0) other.lanes[peer].supply(port_);
        frames += sent;
      }
      for (;; ++frames) {
        const wire::Room room = port_.room();
        if (room.empty()) break;
        const std::size_t bytes = session().transmit(peer, link_.packet_room(room, wire::Dialect::freebsd_1301), now);
        port_.commit(bytes == 0 ? 0 : link_.finish(room, bytes, peer));
        if (bytes == 0) break;
      }
    }
    port_.flush();
    return frames;
  }

 private:
  static engine::SessionConfig session_config(const Shape& shape) {
    engine::SessionConfig config{.creatorid = shape.host, .request_bulk = false};
    config.timeouts.value[engine::pftm::adaptive_start] = 0;
    if (shape.is_hub) config.peers.resize(2);
    return config;
  }
  static engine::LinkConfig link_config(const Port& port, const Shape& shape) {
    engine::LinkConfig config{.mac = port.mac(), .address = {{192, 0, 2, shape.host}}};
    if (shape.is_hub) config.peers = {{{{192, 0, 2, 1}}, somebody, {}}, {{{192, 0, 2, 3}}, somebody, {}}};
    return config;
  }
  /// A further core.
  struct Other {
    std::deque<engine::dpdk::FrameExchange> lanes;
    std::vector<engine::dpdk::FrameExchange*> pointers;
    std::optional<engine::dpdk::PartPath> path;
    std::thread thread;
  };
  Port& port_;
  std::unique_ptr<statetable::Table> table_;
  engine::PartitionedSession node_;
  engine::Link link_;
  std::array<engine::Arrival, Port::burst_max> packets_;
  std::deque<Other> others_;
};

/// A full frame of UPD_C, copied into every buffer: the plain sender that says what the port can do.
std::vector<std::uint8_t> plain_frame(const Port& port) {
  const wire::State state = state_of(0);
  std::vector<std::uint8_t> packet(packet_bytes);
  wire::PacketWriter writer{wire::Dialect::freebsd_1301, packet};
  while (writer.append_update({state.id, state.src, state.dst, state.timeout})) {
  }
  engine::Counters counters;
  const engine::Link link{{.mac = port.mac(), .address = {{192, 0, 2, 1}}}, counters};
  std::vector<std::uint8_t> frame(2048);
  const wire::Room room = link.packet_room(frame, wire::Dialect::freebsd_1301);
  const std::size_t bytes = writer.finish();
  std::copy_n(packet.begin(), bytes, room.begin());
  frame.resize(link.finish(frame, bytes));
  return frame;
}

class End {
 public:
  explicit End(const Options& options)
      : options_{options},
        eal_{{.program = "link_rate", .allow = device_or_throw(options.device).allow}},
        port_{device_or_throw(options.device).port},
        length_{static_cast<std::int64_t>(options.seconds * 1e9)} {
    const bool sends = options.role != "receiver", receives = options.role != "sender";
    if (options.mode == "raw") {
      if (sends) frame_ = plain_frame(port_);
      return;
    }
    const bool is_through = options.mode == "through";
    if (is_through && options.role == "both") throw std::runtime_error{"through is for two processes"};
    const bool is_full = options.mode != "insert";
    if (!is_full && options.role != "both") throw std::runtime_error{"insert is for one process with both ends"};
    if (sends && is_through) plain_.emplace(engine::LinkConfig{.mac = port_.mac(), .address = {{192, 0, 2, 1}}}, none_);
    if (sends && !is_through)
      sender_ = std::make_unique<Node>(port_, Node::Shape{.host = 1, .states = options.states, .is_full = is_full});
    if (receives)
      receiver_ = std::make_unique<Node>(
          port_,
          Node::Shape{
              .host = 2, .states = options.states, .is_full = is_full, .cores = options.cores, .is_hub = is_through});
  }

  void run() {
    std::cout << "ready" << std::endl;
    for (int i = 0; i < 500 && !port_.link_up(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds{10});
    if (!port_.link_up()) throw std::runtime_error{"the link has not come up: start the other end"};
    if (options_.mode == "insert")
      insert();
    else if (options_.mode == "ack")
      options_.role == "receiver" ? serve(clock_.now() + length_ + std::chrono::seconds{2}) : ask();
    else if (options_.role == "sender")
      send();
    else
      count();
  }

 private:
  /// What new states cost: sent and received on one core, so that none of its time is spent waiting.
  void insert() {
    constexpr std::size_t burst = 96;
    std::array<wire::State, burst> states;
    std::array<engine::Session::Local, burst> results;
    const Instant begin = clock_.now();
    const double cpu_before = cpu_s();
    for (std::uint64_t n = 0; n < options_.states; n += burst) {
      for (std::size_t i = 0; i < burst; ++i) {
        states[i] = state_of(n + i);
        states[i].id.creatorid = 1;
      }
      const Instant now = clock_.now();
      sender_->session().insert(states, results, now);
      sender_->session().push();
      while (sender_->session().queued() > 0) sender_->transmit(now);
      while (receiver_->receive(now) > 0) {
      }
    }
    const std::uint64_t inserts = receiver_->session().counters()[engine::Tally::inserts].value();
    if (inserts < options_.states) throw std::runtime_error{"states were lost on the way"};
    std::printf("{\"inserts\": %llu, \"per_cpu_s\": %.0f, \"seconds\": %.3f}\n",
                static_cast<unsigned long long>(inserts), static_cast<double>(inserts) / (cpu_s() - cpu_before),
                std::chrono::duration<double>(clock_.now() - begin).count());
  }

  /// Updates of random states, each newer than all before; what comes back is dropped.
  void send_news() {
    static const wire::State state = state_of(0);
    constexpr wire::Dialect dialect = wire::Dialect::freebsd_1301;
    for (unsigned i = 0; i < Port::burst_max; ++i) {
      const wire::Room room = port_.room();
      if (room.empty()) break;
      wire::PacketWriter writer{dialect, plain_->packet_room(room, dialect)};
      wire::Peer src = state.src;
      ++news_;
      src.seqlo += news_;
      src.seqhi += news_;
      while (writer.append_update({id_of(numbers_.next()), src, state.dst, state.timeout})) {
      }
      port_.commit(plain_->finish(room, writer.finish()));
    }
    port_.flush();
    while (!port_.receive().empty()) {
    }
  }

  void send_some(Instant now) {
    if (plain_) {
      send_news();
      return;
    }
    if (sender_ == nullptr) {
      for (unsigned i = 0; i < Port::burst_max; ++i) {
        const wire::Room room = port_.room();
        if (room.empty()) break;
        std::copy(frame_.begin(), frame_.end(), room.begin());
        port_.commit(frame_.size());
      }
      port_.flush();
      return;
    }
    if (!port_.can_send()) return;
    constexpr std::size_t frames = 16, a_frame = 17;
    static const wire::State state = state_of(0);
    static std::array<wire::Update, frames * a_frame> updates;
    static std::array<engine::Session::Local, updates.size()> results;
    for (wire::Update& update : updates) update = {id_of(numbers_.next()), state.src, state.dst, state.timeout};
    sender_->session().update(updates, results, now);
    sender_->session().push();
    while (sender_->session().queued() > 0 && sender_->transmit(now) > 0) {
    }
  }

  /// Longer than the other end counts, so that it never waits for the end.
  void send() {
    const Instant until = clock_.now() + length_ + std::chrono::seconds{1};
    for (Instant now = clock_.now(); now < until; now = clock_.now()) send_some(now);
  }

  std::size_t receive(Instant now) {
    if (receiver_ == nullptr) return port_.receive().size();
    const std::size_t frames = receiver_->receive(now);
    if (options_.mode == "through") frames_out_ += receiver_->transmit(now);
    return frames;
  }

  /// From a moment after the first frame on.
  void count() {
    const bool loops = options_.role == "both";
    constexpr nanoseconds settling = std::chrono::milliseconds{300};
    const Instant give_up = clock_.now() + std::chrono::seconds{20};
    Instant begin = Instant::max(), now{};
    std::uint64_t frames = 0, updates_before = 0;
    double cpu_before = 0;
    for (bool counts = false;;) {
      now = clock_.now();
      if (loops) send_some(now);
      const std::size_t got = receive(now);
      if (got > 0 && begin == Instant::max()) begin = now + settling;
      if (begin == Instant::max() && now > give_up) throw std::runtime_error{"no frame has come for 20 seconds"};
      if (!counts && now >= begin) {
        counts = true;
        frames = 0;
        updates_before = receiver_ != nullptr ? receiver_->updates() : 0;
        frames_out_ = 0;
        cpu_before = cpu_s(true);
      }
      frames += got;
      if (counts && now >= begin + length_) break;
    }
    const double seconds = std::chrono::duration<double>(now - begin).count();
    const std::uint64_t updates = receiver_ != nullptr ? receiver_->updates() - updates_before : 0;
    std::printf(
        "{\"frames_per_s\": %.0f, \"states_per_s\": %.0f, \"frames_out_per_s\": %.0f, \"cpu_s\": %.3f, "
        "\"seconds\": %.3f}\n",
        static_cast<double>(frames) / seconds, static_cast<double>(updates) / seconds,
        static_cast<double>(frames_out_) / seconds, cpu_s(true) - cpu_before, seconds);
  }

  void serve(Instant until) {
    for (Instant now = clock_.now(); now < until; now = clock_.now()) {
      receiver_->receive(now);
      receiver_->transmit(now);
    }
  }

  /// A new state whose sender holds a packet until the other end has it; and the next one when the answer is here.
  void ask() {
    const auto acks = [&] { return sender_->session().counters().in(wire::Message::ins_ack).value(); };
    std::vector<double> took_us;
    const Instant until = clock_.now() + length_;
    for (std::uint64_t n = options_.states; clock_.now() < until; ++n) {
      wire::State state = state_of(n);
      state.id.creatorid = 1;
      state.state_flags |= wire::state_flag::ack;
      const std::uint64_t before = acks();
      const Instant asked = clock_.now();
      sender_->session().insert(state, asked);
      sender_->session().push();
      sender_->transmit(asked);
      Instant now = clock_.now();
      while (acks() == before && now < asked + std::chrono::milliseconds{100}) {
        sender_->receive(now);
        now = clock_.now();
      }
      if (acks() == before) {
        ++lost_;
        continue;
      }
      took_us.push_back(std::chrono::duration<double, std::micro>(now - asked).count());
    }
    if (took_us.empty()) throw std::runtime_error{"no insert was acknowledged"};
    std::sort(took_us.begin(), took_us.end());
    const auto at = [&](double part) {
      return took_us[static_cast<std::size_t>(part * static_cast<double>(took_us.size() - 1))];
    };
    std::printf("{\"acks\": %zu, \"lost\": %llu, \"median_us\": %.2f, \"p99_us\": %.2f}\n", took_us.size(),
                static_cast<unsigned long long>(lost_), at(0.5), at(0.99));
  }

  Options options_;
  engine::dpdk::Eal eal_;
  engine::dpdk::CycleClock clock_;
  Port port_;
  nanoseconds length_;
  std::unique_ptr<Node> sender_, receiver_;  ///< neither for raw frames
  std::vector<std::uint8_t> frame_;
  engine::Counters none_;
  std::optional<engine::Link> plain_;  ///< of a sender that is no node
  std::uint32_t news_ = 0;
  std::uint64_t frames_out_ = 0;
  Uniform numbers_{options_.states};
  std::uint64_t lost_ = 0;
};

}  // namespace
}  // namespace pfsync::bench

// NOLINTNEXTLINE(bugprone-exception-escape): CLI11 throws here only for options declared wrongly
int main(int argc, char** argv) {
  pfsync::bench::Options options;
  CLI::App app{
      "One end of a link, driven flat out: bench/link_rate.py starts both. Prints \"ready\", one JSON line and "
      "\"done\"; then it waits until its input ends."};
  app.add_option("--device", options.device, "as link.device of pfsyncd.toml")->required();
  app.add_option("--role", options.role)->required()->check(CLI::IsMember({"sender", "receiver", "both"}));
  app.add_option(
         "--mode", options.mode,
         "raw: frames alone; engine: updates of states; insert: new states; ack: INS to INS_ACK, one at a time; "
         "through: updates that the receiver passes on to a second peer")
      ->required()
      ->check(CLI::IsMember({"raw", "engine", "insert", "ack", "through"}));
  app.add_option("--seconds", options.seconds)->check(CLI::Range(0.1, 60.0))->capture_default_str();
  app.add_option("--cores", options.cores, "of the receiver")->check(CLI::Range(1, 4))->capture_default_str();
  app.add_option("--states", options.states)->check(CLI::Range(1000, 10'000'000))->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    pfsync::bench::End end{options};
    end.run();
    // net_memif of DPDK 22.11 unmaps the shared memory of an end that left, and may do so under the other's reader:
    // neither leaves before both have measured.
    std::cout << "done" << std::endl;
    std::cin.ignore(std::numeric_limits<std::streamsize>::max());
  } catch (const std::exception& error) {
    std::cerr << "link_rate: " << error.what() << ".\n";
    return 1;
  }
  return 0;
}
