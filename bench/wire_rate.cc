// How fast packets are read into values and written from them, beside the plainest loops over the same
// bytes: one that touches every byte once, and memcpy. Everything lies in L2, as it does behind a port.
// Names: op/dialect/impl; bench/README.md tells the question, the goals and the numbers.
#include <benchmark/benchmark.h>

#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "wire/convert.h"
#include "wire/packet_reader.h"
#include "wire/packet_writer.h"

namespace pfsync::bench {
namespace {

bool has_failed = false;  ///< Google Benchmark prints errors, but ends as if all were well
void fail(benchmark::State& run, const char* why) {
  has_failed = true;
  run.SkipWithError(why);
}

using wire::Bytes;
using wire::Dialect;
using wire::Message;

constexpr std::size_t packet_count = 64;    // with the values they are made from, well within 1 MiB
constexpr std::size_t packet_bytes = 1480;  // MTU 1500 less the IPv4 header

wire::State state_of(std::uint64_t number) {
  wire::State state;
  state.id = {0x0123456700000000u + number * 0x9e3779b9u, 0x22222222};
  state.ifname = wire::InterfaceName{"vtnet0"};
  for (auto& key : state.key) {
    key.addr[0] = {{10, 2, 0, 100}};
    key.addr[1] = {{10, 1, static_cast<std::uint8_t>(number >> 8u), static_cast<std::uint8_t>(number)}};
    key.port = {443, static_cast<std::uint16_t>(1024 + number)};
  }
  state.src = {.seqlo = static_cast<std::uint32_t>(number * 77777),
               .seqhi = 66000,
               .max_win = 512,
               .mss = 1460,
               .state = 4,
               .wscale = 0x87};
  state.dst = {.seqlo = static_cast<std::uint32_t>(number * 99991),
               .seqhi = 70000,
               .max_win = 512,
               .mss = 1460,
               .state = 4,
               .wscale = 0x87};
  state.creation_s = 17;
  state.expire_s = 86400;
  state.af = wire::Family::inet;
  state.proto = wire::ipproto::tcp;
  state.direction = wire::Direction::out;
  state.timeout = 2;
  return state;
}

/// Full packets of one kind of message, and the values in them.
struct Traffic {
  Traffic(Dialect in, Message of)
      : dialect{in}, message{of}, packets(packet_count, std::vector<std::uint8_t>(packet_bytes)) {
    for (auto& packet : packets) {
      wire::PacketWriter writer{dialect, packet};
      for (;;) {
        const wire::State state = state_of(messages);
        const wire::Update update{state.id, state.src, state.dst, state.timeout};
        if (!(message == Message::upd_c ? writer.append_update(update) : writer.append_state(message, state))) break;
        message == Message::upd_c ? updates.push_back(update) : states.push_back(state);
        ++messages;
      }
      packet.resize(writer.finish());
      bytes += packet.size();
    }
  }
  void count(benchmark::State& run) const {
    run.SetItemsProcessed(run.iterations() * static_cast<std::int64_t>(messages));
    run.SetBytesProcessed(run.iterations() * static_cast<std::int64_t>(bytes));
  }

  Dialect dialect;
  Message message;
  std::vector<std::vector<std::uint8_t>> packets;
  std::vector<wire::Update> updates;
  std::vector<wire::State> states;
  std::size_t messages = 0;
  std::size_t bytes = 0;
};

/// Checks the packet, walks it, and makes every message a value in memory.
void read(benchmark::State& run, const Traffic& traffic) {
  for (auto _ : run)
    for (const auto& packet : traffic.packets) {
      wire::PacketReader reader{packet};
      wire::Section section;
      while (reader.next(section)) {
        if (section.action->message == Message::upd_c) {
          for (std::size_t i = 0; i < section.count; ++i) {
            wire::Update update = wire::read_update(section.action->layout, section.record(i));
            benchmark::DoNotOptimize(update);
          }
        } else if (section.action->message != Message::eof) {
          for (std::size_t i = 0; i < section.count; ++i) {
            wire::State state = wire::read_state(section.action->layout, section.record(i));
            benchmark::DoNotOptimize(state);
          }
        }
      }
      if (reader.reject()) fail(run, "a packet was refused");
    }
  traffic.count(run);
}

/// Floor of reading: the sum of all 8-byte words.
void touch(benchmark::State& run, const Traffic& traffic) {
  for (auto _ : run)
    for (const auto& packet : traffic.packets) {
      std::uint64_t sum = 0, word = 0;
      for (std::size_t at = 0; at + sizeof word <= packet.size(); at += sizeof word) {
        std::memcpy(&word, packet.data() + at, sizeof word);
        sum += word;
      }
      benchmark::DoNotOptimize(sum);
    }
  traffic.count(run);
}

/// Values into full packets.
void write(benchmark::State& run, const Traffic& traffic) {
  auto rooms = traffic.packets;
  for (auto& room : rooms) room.resize(packet_bytes);
  for (auto _ : run) {
    std::size_t next = 0;
    for (auto& room : rooms) {
      wire::PacketWriter writer{traffic.dialect, room};
      if (traffic.message == Message::upd_c)
        next += writer.append_updates(std::span{traffic.updates}.subspan(next));
      else
        next += writer.append_states(traffic.message, std::span{traffic.states}.subspan(next));
      benchmark::DoNotOptimize(writer.finish());
      benchmark::ClobberMemory();
    }
    if (next != traffic.messages) fail(run, "not every message was written");
  }
  traffic.count(run);
}

/// Floor of writing: the same bytes, copied packet by packet.
void copy(benchmark::State& run, const Traffic& traffic) {
  auto rooms = traffic.packets;
  for (auto _ : run)
    for (std::size_t i = 0; i < rooms.size(); ++i) {
      std::memcpy(rooms[i].data(), traffic.packets[i].data(), traffic.packets[i].size());
      benchmark::ClobberMemory();
    }
  traffic.count(run);
}

void add(const std::string& name, void (*run)(benchmark::State&, const Traffic&), Dialect dialect, Message message) {
  benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) { run(state, Traffic{dialect, message}); });
}

}  // namespace
}  // namespace pfsync::bench

int main(int argc, char** argv) {
  using namespace pfsync::bench;
  for (const auto& info : pfsync::wire::dialect_table)
    for (const Message message : {Message::upd_c, Message::ins}) {
      const std::string what =
          std::string{message == Message::upd_c ? "upd_c/" : "full/"} + std::string{info.word} + "/";
      add("read_" + what + "engine", read, info.dialect, message);
      add("read_" + what + "touch", touch, info.dialect, message);
      add("write_" + what + "engine", write, info.dialect, message);
      add("write_" + what + "memcpy", copy, info.dialect, message);
    }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return has_failed ? 1 : 0;
}
