// The example packets: read, checked field by field, and written again byte for byte.
#include "tests/wire/examples.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "tests/wire/walk.h"
#include "wire/ip.h"

namespace pfsync::wire::test {
namespace {

using Fields = std::map<std::string, std::string>;  // the facts' field name -> hex of its bytes

template <class T>
std::string hex_of(T value) {
  const Be<T> be{value};
  std::array<std::uint8_t, sizeof(T)> bytes;
  std::memcpy(bytes.data(), &be, sizeof(T));
  return to_hex(bytes);
}

std::string hex_of(const InterfaceName& name) {
  std::string hex;
  for (const char c : name.chars) hex += hex_of(static_cast<std::uint8_t>(c));
  return hex;
}

std::string freebsd_family_hex(Family family) {
  if (family == Family::inet) return "02";
  return family == Family::inet6 ? "1c" : "00";
}

void add_id(Fields& fields, StateId id) {
  fields["id"] = hex_of(id.id);
  fields["creatorid"] = hex_of(id.creatorid);
}

void add_peer(Fields& fields, const std::string& name, const Peer& peer) {
  fields[name + ".scrub.pfss_flags"] = hex_of(peer.scrub.pfss_flags);
  fields[name + ".scrub.pfss_ttl"] = hex_of(peer.scrub.pfss_ttl);
  fields[name + ".scrub.scrub_flag"] = hex_of(peer.scrub.scrub_flag);
  fields[name + ".scrub.pfss_ts_mod"] = hex_of(peer.scrub.pfss_ts_mod);
  fields[name + ".seqlo"] = hex_of(peer.seqlo);
  fields[name + ".seqhi"] = hex_of(peer.seqhi);
  fields[name + ".seqdiff"] = hex_of(peer.seqdiff);
  fields[name + ".max_win"] = hex_of(peer.max_win);
  fields[name + ".mss"] = hex_of(peer.mss);
  fields[name + ".state"] = hex_of(peer.state);
  fields[name + ".wscale"] = hex_of(peer.wscale);
  fields[name + ".pad"] = "000000000000";
}

struct FieldsOf {
  Fields operator()(const State& state) const {
    Fields fields;
    add_id(fields, state.id);
    fields["ifname"] = hex_of(state.ifname);
    for (std::size_t side = 0; side < 2; ++side)
      for (std::size_t end = 0; end < 2; ++end) {
        const std::string key = "key[" + std::to_string(side) + "].", index = "[" + std::to_string(end) + "]";
        fields[key + "addr" + index] = to_hex(state.key[side].addr[end].bytes);
        fields[key + "port" + index] = hex_of(state.key[side].port[end]);
      }
    add_peer(fields, "src", state.src);
    add_peer(fields, "dst", state.dst);
    fields["rt_addr"] = to_hex(state.rt_addr.bytes);
    fields["rule"] = hex_of(state.rule);
    fields["anchor"] = hex_of(state.anchor);
    fields["nat_rule"] = hex_of(state.nat_rule);
    fields["creation"] = hex_of(state.creation_s);
    fields["expire"] = hex_of(state.expire_s);
    fields["packets[0]"] = hex_of(state.packets[0]);
    fields["packets[1]"] = hex_of(state.packets[1]);
    fields["bytes[0]"] = hex_of(state.bytes[0]);
    fields["bytes[1]"] = hex_of(state.bytes[1]);
    fields["af"] = freebsd_family_hex(state.af);
    fields["proto"] = hex_of(state.proto);
    fields["direction"] = hex_of(static_cast<std::uint8_t>(state.direction));
    fields["__spare"] = "0000";
    fields["log"] = hex_of(state.log);
    fields["state_flags"] = hex_of(static_cast<std::uint8_t>(state.state_flags));
    fields["timeout"] = hex_of(state.timeout);
    fields["sync_flags"] = hex_of(state.sync_flags);
    fields["updates"] = "00";
    return fields;
  }
  Fields operator()(const Update& update) const {
    Fields fields{{"expire", "00000000"}, {"_pad", "000000"}};
    add_id(fields, update.id);
    add_peer(fields, "src", update.src);
    add_peer(fields, "dst", update.dst);
    fields["timeout"] = hex_of(update.timeout);
    return fields;
  }
  Fields operator()(const StateId& id) const {
    Fields fields;
    add_id(fields, id);
    return fields;
  }
  Fields operator()(const Clear& clear) const {
    return {{"ifname", hex_of(clear.ifname)}, {"creatorid", hex_of(clear.creatorid)}};
  }
  Fields operator()(const BulkStatus& bus) const {
    return {{"creatorid", hex_of(bus.creatorid)},
            {"endtime", hex_of(bus.endtime_s)},
            {"status", hex_of(bus.status)},
            {"_pad", "000000"}};
  }
  Fields operator()(const Tdb&) const { return {}; }  // no example has one; see convert_test.cc
};

/// Whether a 1301 node understands every message of the packet: a 1400 node's UPD_C is the same as its own.
bool is_common_to_1301(const Example& example) {
  if (example.facts.at("header_version") != header_version_freebsd) return false;
  const std::set<std::string> foreign{"state_1400", "state_1500"};
  for (const auto& section : example.facts.at("sections"))
    if (foreign.contains(section.at("message").get<std::string>())) return false;
  return true;
}

TEST(Examples, AreReadFieldByField) {
  std::size_t compared = 0;
  for (const Example& example : examples()) {
    if (!is_common_to_1301(example)) continue;
    SCOPED_TRACE(example.name);
    const IpResult ip = read_ip(example.packet);
    ASSERT_FALSE(ip.reject);
    EXPECT_EQ(ip.packet.protocol, ipproto::pfsync);
    EXPECT_EQ(ip.packet.ttl, link_local_ttl);
    EXPECT_TRUE(ip.packet.dont_fragment);
    PacketReader reader{ip.packet.payload};
    EXPECT_EQ(reader.header().len.host(), example.facts.at("header_len"));
    Section section;
    for (const auto& expected : example.facts.at("sections")) {
      ASSERT_TRUE(reader.next(section));
      EXPECT_EQ(section.action->number, expected.at("action"));
      EXPECT_EQ(section.count, expected.at("count"));
      EXPECT_EQ(section.record_bytes, expected.at("message_size"));
      std::size_t index = 0;
      for (const auto& message : expected.at("messages")) {
        const Body body = read_body(*section.action, section.record(index++));
        EXPECT_EQ(std::visit(FieldsOf{}, body), message.at("fields").get<Fields>());
        compared += message.at("fields").size();
      }
    }
    EXPECT_FALSE(reader.next(section));
    EXPECT_FALSE(reader.reject());
  }
  EXPECT_EQ(compared, 138u);  // every field of the nine packets: an empty loop must not pass
}

TEST(Examples, AreWrittenAgainByteForByte) {
  std::size_t written = 0;
  for (const Example& example : examples()) {
    if (!is_common_to_1301(example)) continue;
    SCOPED_TRACE(example.name);
    const IpResult ip = read_ip(example.packet);
    ASSERT_FALSE(ip.reject);
    const std::size_t header_bytes = ip_header_bytes(ip.packet.family);

    std::vector<std::uint8_t> room(1500, 0xee);  // what a reused buffer may hold must not reach the wire
    PacketWriter writer{Dialect::freebsd_1301, Room{room}.subspan(header_bytes), load<Header>(example.payload(), 0).pfcksum};
    for (const ReadMessage& message : walk(ip.packet.payload).messages) ASSERT_TRUE(append(writer, message));
    const std::size_t payload_bytes = writer.finish();
    ASSERT_EQ(write_ip_header({ip.packet.family, ip.packet.source, ip.packet.destination, ipproto::pfsync}, payload_bytes, room),
              header_bytes);
    EXPECT_EQ(to_hex(Bytes{room}.first(header_bytes + payload_bytes)), example.facts.at("packet_hex"));
    ++written;
  }
  EXPECT_EQ(written, 9u);
}

TEST(Examples, OfOtherMessageVersionsAreBadact) {
  std::size_t refused = 0;
  for (const Example& example : examples()) {
    if (example.facts.at("header_version") != header_version_freebsd || is_common_to_1301(example)) continue;
    SCOPED_TRACE(example.name);
    const Walk result = walk(example.payload());
    EXPECT_EQ(result.reject, Reject::badact);
    EXPECT_EQ(result.unknown_action, example.facts.at("sections").at(0).at("action"));
    EXPECT_TRUE(result.messages.empty());
    ++refused;
  }
  EXPECT_EQ(refused, 2u);
}

TEST(Examples, OfOpenBsdAreBadver) {
  std::size_t refused = 0;
  for (const Example& example : examples()) {
    if (example.facts.at("header_version") != header_version_openbsd) continue;
    EXPECT_EQ(walk(example.payload()).reject, Reject::badver) << example.name;
    ++refused;
  }
  EXPECT_EQ(refused, 3u);
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
    const bool known = example.facts.at("header_version") == header_version_freebsd;
    for (std::size_t length = 0; length < example.payload().size(); ++length) {
      const ExactCopy cut{example.payload().first(length)};
      const Walk result = walk(cut.bytes());
      const Reject expected = length < sizeof(Header) ? Reject::hdrops : known ? Reject::badlen : Reject::badver;
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
