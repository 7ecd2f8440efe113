// Malformed frames through Link and Session, as a port hands them over: each is refused under the one
// counter that pfsync's receiver rules name for it, and nothing else moves.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <string>

#include "engine/link/link.h"
#include "tests/engine/session/session_fixture.h"
#include "tests/wire/examples.h"
#include "wire/ethernet.h"
#include "wire/ip.h"

namespace pfsync::engine {
namespace {

using Frame = std::vector<std::uint8_t>;

constexpr wire::Address own_address = wire::ipv4_address(10, 0, 0, 1), peer_address = wire::ipv4_address(10, 0, 0, 2);
constexpr wire::MacAddress peer_mac{{2, 0, 0, 0, 0, 2}};
constexpr std::size_t ip_at = 14, packet_at = ip_at + 20, section_at = packet_at + sizeof(wire::Header),
                      record_at = section_at + sizeof(wire::Subheader);

/// A link and a session behind it, as one core runs them.
struct Node {
  explicit Node(const LinkConfig& link_config = {.address = own_address,
                                                 .sources = {{peer_address, peer_mac}, {own_address}}})
      : table{std::get<std::unique_ptr<statetable::Table>>(
            statetable::Table::create({.states_max = 3000, .shard_bits = 1, .hash_seed = 7}))},
        session{{.creatorid = own_creatorid, .ids_queued_max = 256, .request_bulk = false}, *table},
        link{link_config, session.counters()} {
    session.start(t0);
  }
  void receive(const Frame& frame) {
    // A copy with no byte to spare, so that AddressSanitizer sees the first byte read too far.
    const wire::test::ExactCopy exact{frame};
    if (const auto packet = link.on_frame(exact.bytes())) session.on_packet(*packet, t0);
  }
  /// Every counter that is not zero, messages apart.
  [[nodiscard]] std::map<std::string, std::uint64_t> counted() const {
    std::map<std::string, std::uint64_t> result;
    const Counters& counters = session.counters();
    for (const auto& info : wire::reject_table) result[std::string{info.word}] = counters[info.reject].value();
    for (const auto& info : tally_table) result[std::string{info.word}] = counters[info.tally].value();
    std::erase_if(result, [](const auto& entry) { return entry.second == 0; });
    return result;
  }
  [[nodiscard]] std::uint64_t refused() const {
    std::uint64_t sum = 0;
    for (const auto& info : wire::reject_table) sum += session.counters()[info.reject].value();
    return sum;
  }
  std::unique_ptr<statetable::Table> table;
  Session session;
  Link link;
};

void put(Frame& frame, std::size_t at, std::initializer_list<int> bytes) {
  for (const int byte : bytes) frame.at(at++) = static_cast<std::uint8_t>(byte);
}

/// The IP header's checksum made right again, so that only what a test spoils is wrong.
void fix_checksum(Frame& frame) {
  put(frame, ip_at + 10, {0, 0});
  const std::uint16_t sum = wire::internet_checksum(wire::Bytes{frame}.subspan(ip_at, 20));
  put(frame, ip_at + 10, {sum >> 8, sum & 0xff});
}

Frame frame_of(wire::Bytes packet, wire::Address source = peer_address) {
  Frame frame(packet_at + packet.size());
  static_cast<void>(
      wire::write_ethernet_header({{1, 0, 0x5e, 0, 0, 0xf0}}, peer_mac, {}, wire::ethertype::ipv4, frame));
  const wire::IpHeaderFields fields{wire::Family::inet, source, wire::pfsync_group_inet, wire::ipproto::pfsync};
  static_cast<void>(wire::write_ip_header(fields, packet.size(), wire::Room{frame}.subspan(ip_at)));
  std::copy(packet.begin(), packet.end(), frame.begin() + packet_at);
  return frame;
}

template <class F>
Frame frame_with(F&& append) {
  std::vector<std::uint8_t> room(2000);
  wire::PacketWriter writer{wire::Dialect::freebsd_1301, room};
  EXPECT_TRUE(append(writer));
  return frame_of(wire::Bytes{room}.first(writer.finish()));
}
/// State 1 is held before each case, state 2 is not.
Frame state_frame(Message message, std::uint64_t id) {
  return frame_with([&](wire::PacketWriter& writer) { return writer.append_state(message, tcp_state(id)); });
}
Frame update_frame(std::uint64_t id) {
  return frame_with([&](wire::PacketWriter& writer) { return writer.append_update(update_of(tcp_state(id))); });
}
Frame id_frame(Message message, wire::StateId id) {
  return frame_with([&](wire::PacketWriter& writer) { return writer.append_id(message, id); });
}
Frame tdb_frame(const wire::Tdb& tdb) {
  return frame_with([&](wire::PacketWriter& writer) { return writer.append_tdb(tdb); });
}
Frame spoilt(Frame frame, std::size_t at, std::initializer_list<int> bytes) {
  put(frame, at, bytes);
  return frame;
}
Frame spoilt_ip(Frame frame, std::size_t at, std::initializer_list<int> bytes) {
  put(frame, ip_at + at, bytes);
  fix_checksum(frame);
  return frame;
}
Frame cut(const Frame& frame, std::size_t bytes) {
  return {frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(bytes)};
}

/// The first bytes of the frame's packet, in an IP packet of their length.
Frame cut_packet(const Frame& frame, std::size_t bytes) {
  return frame_of(wire::Bytes{frame}.subspan(packet_at, bytes));
}
Frame with_garbage(const Frame& frame, std::size_t bytes) {
  std::vector<std::uint8_t> packet(frame.begin() + packet_at, frame.end());
  packet.resize(packet.size() + bytes, 0xee);
  return frame_of(packet);
}

struct Case {
  std::string what;
  std::string counter;  ///< "" = counted nowhere, as the rules say
  bool reaches_session;
  Frame frame;
};

// Offsets in a record: struct pfsync_state_1301 and struct pfsync_upd_c, as wire/freebsd.h asserts them.
constexpr std::size_t src_state = 120, dst_state = 152, creator = 228, family = 232, direction = 234, timeout = 239;
constexpr std::size_t upd_c_src_state = 32, upd_c_dst_state = 64, upd_c_creator = 72, upd_c_timeout = 80;

std::vector<Case> cases() {
  const Frame update = update_frame(1), insert = state_frame(Message::ins, 2), upd = state_frame(Message::upd, 2);
  const Frame arp_request_cut = [] {
    Frame frame(14 + 27, 0);
    put(frame, 12, {0x08, 0x06});
    return frame;
  }();
  const wire::Tdb tdb{.spi = 256, .af = wire::Family::inet, .sproto = 50};
  wire::Tdb reserved = tdb, familyless = tdb;
  reserved.spi = 255;
  familyless.af = wire::Family::none;
  std::vector<Case> all{
      // Link: the frame and the IP header.
      {"a source that is no peer", "badif", false,
       frame_of(wire::Bytes{update}.subspan(packet_at), wire::ipv4_address(10, 0, 0, 66))},
      {"TTL 254", "badttl", false, spoilt_ip(update, 8, {254})},
      {"TTL 1", "badttl", false, spoilt_ip(update, 8, {1})},
      {"a wrong header checksum", "badsum", false, spoilt(update, ip_at + 10, {0x12, 0x34})},
      {"more fragments follow", "fragment", false, spoilt_ip(update, 6, {0x20, 0})},
      {"a fragment offset", "fragment", false, spoilt_ip(update, 6, {0, 1})},
      {"the peer's address from another host", "badmac", false,
       [&] {
         Frame frame = update;
         put(frame, 11, {3});
         return frame;
       }()},
      {"the own source address", "looped", false, frame_of(wire::Bytes{update}.subspan(packet_at), own_address)},
      {"a frame without its Ethernet header", "badip", false, cut(update, 13)},
      {"a frame without its IP header", "badip", false, cut(update, packet_at - 1)},
      {"IP version 5", "badip", false, spoilt_ip(update, 0, {0x55})},
      {"an IP header of 16 bytes", "badip", false, spoilt_ip(update, 0, {0x44})},
      {"an IP length below its header", "badip", false, spoilt_ip(update, 2, {0, 19})},
      {"an IP length beyond the frame", "badip", false, spoilt_ip(update, 2, {0x05, 0xdc})},
      {"half an ARP request", "badip", false, arp_request_cut},
      // PacketReader: header and sections.
      {"no pfsync header at all", "hdrops", true, cut_packet(update, 0)},
      {"19 bytes of a pfsync header", "hdrops", true, cut_packet(update, 19)},
      {"header version 4", "badver", true, spoilt(update, packet_at, {4})},
      {"header version 7", "badver", true, spoilt(update, packet_at, {7})},
      {"a header length of 0", "badlen", true, spoilt(update, packet_at + 2, {0, 0})},
      {"a header length of 19", "badlen", true, spoilt(update, packet_at + 2, {0, 19})},
      {"a header length beyond the packet", "badlen", true, spoilt(update, packet_at + 2, {0xff, 0xff})},
      {"a count that the packet cannot hold", "badlen", true, spoilt(update, section_at + 2, {0, 2})},
      {"the largest count", "badlen", true, spoilt(update, section_at + 2, {0xff, 0xff})},
      {"EOF in front", "badlen", true, spoilt(update, section_at, {12})},
      {"action 255", "badact", true, spoilt(update, section_at, {255})},
      {"action 19", "badact", true, spoilt(update, section_at, {19})},
      // Session: values, and states that should be there.
      {"INS with a timeout beyond the last", "badval", true, spoilt(insert, record_at + timeout, {25})},
      {"INS with a src level of 13", "badval", true, spoilt(insert, record_at + src_state, {13})},
      {"INS with a dst level of 13", "badval", true, spoilt(insert, record_at + dst_state, {13})},
      {"INS with direction 3", "badval", true, spoilt(insert, record_at + direction, {3})},
      {"INS of no family", "badval", true, spoilt(insert, record_at + family, {0})},
      {"INS of Linux's AF_INET6", "badval", true, spoilt(insert, record_at + family, {10})},
      {"UPD with a timeout of 255", "badval", true, spoilt(upd, record_at + timeout, {255})},
      {"UPD of an unknown state with direction 3", "badval", true, spoilt(upd, record_at + direction, {3})},
      {"UPD_C with a timeout beyond the last", "badval", true, spoilt(update, record_at + upd_c_timeout, {25})},
      {"UPD_C with a src level of 255", "badval", true, spoilt(update, record_at + upd_c_src_state, {255})},
      {"UPD_C with a dst level of 13", "badval", true, spoilt(update, record_at + upd_c_dst_state, {13})},
      {"INS by creator 0", "badstate", true, spoilt(insert, record_at + creator, {0, 0, 0, 0})},
      {"UPD by creator 0", "badstate", true, spoilt(upd, record_at + creator, {0, 0, 0, 0})},
      {"UPD_C by creator 0", "badstate", true, spoilt(update, record_at + upd_c_creator, {0, 0, 0, 0})},
      {"UPD_C of the pair that asks for everything", "badstate", true,
       spoilt(spoilt(update, record_at + upd_c_creator, {0, 0, 0, 0}), record_at, {0, 0, 0, 0, 0, 0, 0, 0})},
      {"DEL_C of an unknown state", "badstate", true, id_frame(Message::del_c, {2, peer_creatorid})},
      {"DEL of an unknown state", "badstate", true, state_frame(Message::del, 2)},
      {"UPD_REQ for an unknown state", "badstate", true, id_frame(Message::upd_req, {2, peer_creatorid})},
      {"TDB with a reserved SPI", "badstate", true, tdb_frame(reserved)},
      {"TDB of no family", "badstate", true, tdb_frame(familyless)},
      {"INS_ACK of an unknown state", "", true, id_frame(Message::ins_ack, {2, peer_creatorid})},
  };
  wire::Update stale = update_of(tcp_state(1));
  stale.src.seqlo -= 1;
  stale.dst.state = wire::tcps::syn_sent;
  all.push_back({"UPD_C older than what is held", "stale", true,
                 frame_with([&](wire::PacketWriter& writer) { return writer.append_update(stale); })});
  all.push_back({"garbage behind EOF, the rest applied", "badlen", true,
                 with_garbage(id_frame(Message::ins_ack, {1, peer_creatorid}), 20)});
  return all;
}

TEST(Malformed, EachRefusalRaisesItsOneCounterByOneAndNothingElse) {
  std::map<std::string, int> tried;
  for (const Case& each : cases()) {
    SCOPED_TRACE(each.what);
    Node node;
    node.receive(state_frame(Message::ins, 1));
    auto expected = node.counted();
    ASSERT_EQ(expected, (std::map<std::string, std::uint64_t>{{"ipackets", 1}, {"inserts", 1}}));
    const auto digest = node.table->digest();
    node.receive(each.frame);
    if (each.reaches_session) ++expected["ipackets"];
    if (!each.counter.empty()) ++expected[each.counter];
    EXPECT_EQ(node.counted(), expected);
    EXPECT_EQ(node.table->digest(), digest);
    ++tried[each.counter];
  }
  // badauth is left out: no dialect that is spoken here carries an HMAC.
  for (const auto& info : wire::reject_table)
    EXPECT_TRUE(info.reject == Reject::badauth || tried[std::string{info.word}] > 0) << info.word;
}

// --- the example packets, cut and flipped ----------------------------------------------------------

/// The link that takes an example: its own address is what the example was sent to.
LinkConfig link_for(const wire::IpPacket& ip) {
  LinkConfig config{.family = ip.family};
  config.destination = ip.family == wire::Family::inet ? wire::pfsync_group_inet : wire::pfsync_group_inet6;
  config.address = wire::is_multicast(ip.family, ip.destination) ? wire::Address{{192, 0, 2, 1}} : ip.destination;
  return config;
}

Frame frame_of(const wire::test::Example& example, const wire::IpPacket& ip) {
  Frame frame(14, 0);
  static_cast<void>(wire::write_ethernet_header(
      {{1, 0, 0x5e, 0, 0, 0xf0}}, {{2, 0, 0, 0, 0, 2}}, {},
      ip.family == wire::Family::inet ? wire::ethertype::ipv4 : wire::ethertype::ipv6, frame));
  frame.insert(frame.end(), example.packet.begin(), example.packet.end());
  return frame;
}

/// Calls f(example, ip, frame) for each example; each is accepted as it is.
void for_each_example(const std::function<void(const wire::test::Example&, const wire::IpPacket&, const Frame&)>& f) {
  for (const auto& example : wire::test::examples()) {
    SCOPED_TRACE(example.name);
    const wire::IpResult ip = wire::read_ip(example.packet);
    ASSERT_FALSE(ip.reject);
    const Frame frame = frame_of(example, ip.packet);
    Node node{link_for(ip.packet)};
    node.receive(frame);
    ASSERT_EQ(node.counted()["ipackets"], 1u);
    f(example, ip.packet, frame);
  }
}

TEST(Malformed, EveryTruncationOfAFrameIsBadip) {
  for_each_example([](const auto&, const wire::IpPacket& ip, const Frame& frame) {
    Node node{link_for(ip)};
    for (std::size_t bytes = 0; bytes < frame.size(); ++bytes) node.receive(cut(frame, bytes));
    EXPECT_EQ(node.counted(), (std::map<std::string, std::uint64_t>{{"badip", frame.size()}}));
  });
}

TEST(Malformed, EveryTruncationOfAPacketIsHdropsOrBadlen) {
  for_each_example([](const wire::test::Example& example, const wire::IpPacket&, const Frame&) {
    const wire::Bytes packet = example.payload();
    Node node;
    for (std::size_t bytes = 0; bytes < packet.size(); ++bytes) node.receive(frame_of(packet.first(bytes)));
    auto counted = node.counted();
    EXPECT_EQ(counted["ipackets"], packet.size());
    EXPECT_EQ(counted["hdrops"], sizeof(wire::Header));
    // badver for as long as a dialect is not spoken here
    EXPECT_EQ(counted["badlen"] + counted["badver"], packet.size() - sizeof(wire::Header));
    EXPECT_EQ(node.refused(), packet.size());
    EXPECT_EQ(node.table->size(), 0u);
  });
}

TEST(Malformed, EveryTruncationWithItsLengthPutRightIsRefusedOnceAtMost) {
  for_each_example([](const wire::test::Example& example, const wire::IpPacket&, const Frame&) {
    const wire::Bytes packet = example.payload();
    for (std::size_t bytes = sizeof(wire::Header); bytes < packet.size(); ++bytes) {
      Node node;  // anew: the refusals of one frame are counted
      Frame frame = frame_of(packet.first(bytes));
      put(frame, packet_at + 2, {static_cast<int>(bytes >> 8), static_cast<int>(bytes & 0xff)});
      node.receive(frame);
      auto counted = node.counted();
      EXPECT_LE(counted["badlen"] + counted["badact"] + counted["badver"], 1u) << bytes;
      EXPECT_EQ(counted["hdrops"] + counted["badip"], 0u) << bytes;
    }
  });
}

TEST(Malformed, EveryFlippedBitOfAnIpv4HeaderIsSeen) {
  for_each_example([](const auto&, const wire::IpPacket& ip, const Frame& frame) {
    if (ip.family != wire::Family::inet) return;  // IPv6 has no checksum of its header
    Node node{link_for(ip)};
    for (std::size_t bit = 8 * ip_at; bit < 8 * packet_at; ++bit) {
      Frame flipped = frame;
      flipped[bit / 8] = static_cast<std::uint8_t>(flipped[bit / 8] ^ (1u << (bit % 8)));
      const std::uint64_t before = node.refused() + node.link.frames_other();
      node.receive(flipped);
      // Other: with version 6 it is a datagram of the other family.
      EXPECT_EQ(node.refused() + node.link.frames_other(), before + 1) << bit;
    }
    auto counted = node.counted();
    EXPECT_EQ(counted["badsum"] + counted["badip"], node.refused());
    EXPECT_EQ(counted["ipackets"], 0u);
  });
}

/// What any spoilt frame may do at most: be refused as a whole or message by message; never grow the
/// table beyond its bound, break a state that is held, or keep the next good frame from being taken.
void survive(Node& node, const Frame& frame, std::uint64_t next_id) {
  node.receive(frame);
  EXPECT_LE(node.table->size(), node.table->slot_count());
  const auto reader = node.table->reader();
  statetable::TableReader::Cursor cursor;
  while (const auto snapshot = reader.next(cursor)) {
    EXPECT_NE(snapshot->hot.id.creatorid, 0u);
    EXPECT_LT(snapshot->hot.timeout, pftm_max);
    EXPECT_LE(snapshot->hot.src.state, wire::peer_state_max);
    EXPECT_LE(snapshot->hot.dst.state, wire::peer_state_max);
    EXPECT_LE(snapshot->hot.expire_at_s, statetable::to_seconds(t0) + 120'000);  // the longest timeout there is
  }
  std::vector<std::uint8_t> room(1480);
  while (const std::size_t bytes = node.session.transmit(room, t0)) {
    wire::PacketReader said{wire::Bytes{room}.first(bytes)};
    wire::Section section;
    while (said.next(section)) {
    }
    EXPECT_FALSE(said.reject());
  }
  const wire::State state = tcp_state(next_id);
  EXPECT_EQ(node.session.insert(state, t0), Session::Local::done);
  EXPECT_EQ(node.session.erase(state.id, t0), Session::Local::done);
}

TEST(Malformed, EveryFlippedBitOfAPacketIsSurvived) {
  for_each_example([](const wire::test::Example& example, const wire::IpPacket& ip, const Frame& frame) {
    const std::size_t first = 14 + example.pfsync_offset;
    std::optional<Node> node;
    for (std::size_t bit = 8 * first; bit < 8 * frame.size(); ++bit) {
      if (!node || bit % 64 == 0) node.emplace(link_for(ip));  // a flipped id is a new state: before the table is full
      Frame flipped = frame;
      flipped[bit / 8] = static_cast<std::uint8_t>(flipped[bit / 8] ^ (1u << (bit % 8)));
      survive(*node, flipped, bit);
    }
  });
}

TEST(Malformed, ManyFlippedBitsAreSurvived) {
  std::mt19937 random{1};  // the same frames in every run
  for_each_example([&](const auto&, const wire::IpPacket& ip, const Frame& frame) {
    Node node{link_for(ip)};
    for (std::uint64_t round = 1; round <= 2000; ++round) {
      Frame flipped = frame;
      for (unsigned flips = 1 + random() % 8; flips > 0; --flips) {
        std::uint8_t& byte = flipped[random() % flipped.size()];
        byte = static_cast<std::uint8_t>(byte ^ (1u << (random() % 8)));
      }
      node.receive(flipped);
      if (round % 100 == 0) survive(node, frame, round);
    }
  });
}

}  // namespace
}  // namespace pfsync::engine
