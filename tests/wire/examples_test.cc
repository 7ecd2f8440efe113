// The example packets: read, checked field by field, and written again byte for byte.
#include "tests/wire/examples.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/wire/plain_walk.h"
#include "wire/ip.h"

namespace pfsync::wire::test {
namespace {

Dialect dialect_of(const Example& example) {
  if (example.facts->at("header_version") == header_version_openbsd) return Dialect::openbsd;
  return find_dialect(example.dialect.substr(example.dialect.find('-') + 1)).value();  // "freebsd-1400"
}

// The plain decoder is what the fast one is compared with everywhere else; here it meets the facts.
TEST(Examples, AreReadFieldByField) {
  std::size_t compared = 0;
  for (const Example& example : examples()) {
    SCOPED_TRACE(example.name);
    const IpResult ip = read_ip(example.packet);
    ASSERT_FALSE(ip.reject);
    EXPECT_EQ(ip.packet.protocol, ipproto::pfsync);
    EXPECT_EQ(ip.packet.ttl, link_local_ttl);
    EXPECT_TRUE(ip.packet.dont_fragment);
    PacketReader reader{ip.packet.payload};
    EXPECT_EQ(reader.header().len.host(), example.facts->at("header_len"));
    Section section;
    for (const auto& expected : example.facts->at("sections")) {
      ASSERT_TRUE(reader.next(section));
      EXPECT_EQ(section.action->number, expected.at("action"));
      EXPECT_EQ(section.count, expected.at("count"));
      EXPECT_EQ(section.record_bytes, expected.at("message_size"));
      std::size_t index = 0;
      for (const auto& message : expected.at("messages")) {
        const PlainRecord record{expected.at("message").get<std::string>(), section.record(index++)};
        EXPECT_EQ(record.fields().size(), message.at("fields").size());
        for (const auto& [field, hex] : message.at("fields").items()) {
          EXPECT_EQ(to_hex(record.bytes(field)), hex) << field;
          ++compared;
        }
      }
    }
    EXPECT_FALSE(reader.next(section));
    EXPECT_FALSE(reader.reject());
    EXPECT_EQ(walk(ip.packet.payload), plain_walk(ip.packet.payload));
  }
  EXPECT_EQ(compared, 375u);  // every field of the fourteen packets: an empty loop must not pass
}

TEST(Examples, AreWrittenAgainByteForByte) {
  for (const Example& example : examples()) {
    SCOPED_TRACE(example.name);
    const IpResult ip = read_ip(example.packet);
    ASSERT_FALSE(ip.reject);
    const std::size_t header_bytes = ip_header_bytes(ip.packet.family);

    std::vector<std::uint8_t> room(1500, 0xee);  // what a reused buffer may hold must not reach the wire
    PacketWriter writer{dialect_of(example), Room{room}.subspan(header_bytes),
                        load<Header>(example.payload(), 0).pfcksum};
    for (const ReadMessage& message : walk(ip.packet.payload).messages) ASSERT_TRUE(append(writer, message));
    const std::size_t payload_bytes = writer.finish();
    if (dialect_of(example) == Dialect::openbsd) {  // its IP header has an id of its own
      EXPECT_EQ(to_hex(Bytes{room}.subspan(header_bytes, payload_bytes)), to_hex(example.payload()));
      continue;
    }
    ASSERT_EQ(write_ip_header({ip.packet.family, ip.packet.source, ip.packet.destination, ipproto::pfsync},
                              payload_bytes, room),
              header_bytes);
    EXPECT_EQ(to_hex(Bytes{room}.first(header_bytes + payload_bytes)), example.facts->at("packet_hex"));
  }
}

// E1 to E3 are one connection in three dialects.
TEST(Examples, OfOneConnectionMeanTheSame) {
  const auto state_of = [](std::string_view name) {
    return std::get<State>(walk(example(name).payload()).messages.at(0).body);
  };
  const State state = state_of("E3");
  EXPECT_EQ(state.rt, route::route_to);
  EXPECT_EQ(state.rt_ifname.view(), "em0");
  EXPECT_EQ(state.tag.view(), "WEB");
  EXPECT_EQ(state.orig_ifname.view(), "em0");
  EXPECT_EQ(state.stack_af, Family::none);
  EXPECT_EQ(state.dnpipe, 101);
  EXPECT_EQ(state.max_mss, 1400);
  State as_1400 = state_of("E2");
  EXPECT_EQ(as_1400.ifname.view(), "em0");
  as_1400.ifname = state.ifname;  // E3 has it floating
  as_1400.orig_ifname = state.orig_ifname;
  as_1400.tag = state.tag;
  EXPECT_EQ(as_1400, state);
}

TEST(Examples, CutAnywhereInsideTheIpPacketAreRefusedAsBadip) {
  for (const Example& example : examples())
    for (std::size_t length = 0; length < example.packet.size(); ++length) {
      const ExactCopy cut{Bytes{example.packet}.first(length)};
      ASSERT_EQ(read_ip(cut.bytes()).reject, Reject::badip) << example.name << " cut to " << length;
    }
}

TEST(Examples, CutAnywhereInsideThePayloadAreRefusedWhole) {
  for (const Example& example : examples()) {
    for (std::size_t length = 0; length < example.payload().size(); ++length) {
      const ExactCopy cut{example.payload().first(length)};
      const Walk result = walk(cut.bytes());
      const Reject expected = length < sizeof(Header) ? Reject::hdrops : Reject::badlen;
      ASSERT_EQ(result.reject, expected) << example.name << " cut to " << length;
      ASSERT_TRUE(result.messages.empty());
    }
  }
}

TEST(Examples, CutWithAMatchingLengthYieldOnlyWholeMessages) {
  for (const Example& example : examples()) {
    const Walk whole = walk(example.payload());
    for (std::size_t length = sizeof(Header); length < example.payload().size(); ++length) {
      ExactCopy cut{example.payload().first(length)};
      store(cut.room(), offsetof(Header, len), Be16{static_cast<std::uint16_t>(length)});
      const Walk result = walk(cut.bytes());
      SCOPED_TRACE(example.name + " cut to " + std::to_string(length));
      ASSERT_LE(result.messages.size(), whole.messages.size());
      ASSERT_TRUE(std::equal(result.messages.begin(), result.messages.end(), whole.messages.begin()));
      if (result.reject) {
        ASSERT_TRUE(result.reject == Reject::badlen || result.reject == whole.reject);
      }
    }
  }
}

}  // namespace
}  // namespace pfsync::wire::test
