#include "wire/convert.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "tests/wire/examples.h"

namespace pfsync::wire::test {
namespace {

/// A state record in which every byte differs from its neighbours, so that no field can hide in another.
std::vector<std::uint8_t> numbered_record(std::size_t size) {
  std::vector<std::uint8_t> bytes(size);
  std::iota(bytes.begin(), bytes.end(), std::uint8_t{1});
  return bytes;
}

TEST(ReadState, ZeroesWhatLiesBehindAnIpv4Address) {
  auto record = numbered_record(sizeof(freebsd::State1301));
  record[offsetof(freebsd::State1301, af)] = freebsd::af_inet;
  const State state = read_state(Layout::state_1301, record);
  EXPECT_EQ(state.af, Family::inet);
  for (const Key& key : state.key)
    for (const Address& address : key.addr) {
      EXPECT_NE(address.bytes[3], 0);
      EXPECT_TRUE(std::all_of(address.bytes.begin() + 4, address.bytes.end(), [](auto byte) { return byte == 0; }));
    }
  EXPECT_EQ(to_hex(state.rt_addr.bytes), "a1a2a3a4000000000000000000000000");
}

TEST(ReadState, KeepsAllOfAnIpv6Address) {
  auto record = numbered_record(sizeof(freebsd::State1301));
  record[offsetof(freebsd::State1301, af)] = freebsd::af_inet6;
  const State state = read_state(Layout::state_1301, record);
  EXPECT_EQ(state.af, Family::inet6);
  EXPECT_EQ(to_hex(state.key[0].addr[0].bytes), "191a1b1c1d1e1f202122232425262728");
}

TEST(ReadState, KnowsNoFamilyOfAnotherSystem) {
  auto record = numbered_record(sizeof(freebsd::State1301));
  for (const int number : {0, 1, 10, 24, 30, 255}) {
    const auto af = static_cast<std::uint8_t>(number);
    record[offsetof(freebsd::State1301, af)] = af;
    EXPECT_EQ(read_state(Layout::state_1301, record).af, Family::none) << number;
  }
}

TEST(ReadState, EndsAnUnterminatedInterfaceName) {
  auto record = numbered_record(sizeof(freebsd::State1301));
  std::fill_n(record.begin() + offsetof(freebsd::StateHead, ifname), 16, std::uint8_t{'x'});
  const InterfaceName name = read_state(Layout::state_1301, record).ifname;
  EXPECT_EQ(name.view(), std::string(15, 'x'));
  EXPECT_EQ(name.chars[15], '\0');
}

TEST(ReadClear, DropsWhatLiesBehindTheNul) {
  std::vector<std::uint8_t> record(sizeof(ClrRecord), 0xee);
  record[0] = 'e', record[1] = 'm', record[2] = '0', record[3] = 0;
  EXPECT_EQ(read_clear(record), (Clear{InterfaceName{"em0"}, 0xeeeeeeee}));
}

TEST(WriteState, IsUndoneByReadState) {
  auto record = numbered_record(sizeof(freebsd::State1301));
  record[offsetof(freebsd::State1301, af)] = freebsd::af_inet6;
  const State state = read_state(Layout::state_1301, record);
  std::vector<std::uint8_t> written(record.size(), 0xee);
  write_state(Layout::state_1301, state, written);
  EXPECT_EQ(read_state(Layout::state_1301, written), state);
  for (const std::size_t pad : {offsetof(freebsd::StateHead, src) + offsetof(PeerRecord, pad),
                                offsetof(freebsd::State1301, spare), offsetof(freebsd::State1301, updates)})
    EXPECT_EQ(written[pad], 0) << pad;
}

TEST(ReadId, FindsThePairInEveryMessageThatHasOne) {
  const StateId id{0x0102030405060708, 0x3b1c7a52};
  State state;
  state.id = id;
  std::vector<std::uint8_t> record(sizeof(freebsd::State1301));
  write_state(Layout::state_1301, state, record);
  for (const Message message : {Message::ins, Message::upd, Message::del})
    EXPECT_EQ(read_id(message, Layout::state_1301, record), id);
  write_update(Dialect::freebsd_1301, {.id = id, .src = {}, .dst = {}, .timeout = 0}, record);
  EXPECT_EQ(read_id(Message::upd_c, Layout::common, record), id);
  write_id(id, record);
  for (const Message message : {Message::ins_ack, Message::upd_req, Message::del_c})
    EXPECT_EQ(read_id(message, Layout::common, record), id);
}

TEST(ReadUpdate, TakesTheSameFieldsFromAFullState) {
  const auto record = numbered_record(sizeof(freebsd::State1301));
  const State state = read_state(Layout::state_1301, record);
  EXPECT_EQ(read_update(Layout::state_1301, record), (Update{state.id, state.src, state.dst, state.timeout}));
}

TEST(Tdb, IsWrittenAsABsdSocketAddress) {
  const Tdb inet{.spi = 0x11223344,
                 .af = Family::inet,
                 .dst = {{192, 0, 2, 7}},
                 .rpl = 9,
                 .cur_bytes = 0x100000002,
                 .sproto = 50,
                 .updates = 3};
  Tdb inet6 = inet;
  inet6.af = Family::inet6;
  inet6.dst.bytes = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7};
  std::vector<std::uint8_t> record(sizeof(freebsd::TdbRecord), 0xee);
  write_tdb(Layout::tdb_freebsd, inet, record);
  EXPECT_EQ(to_hex(record),
            "11223344"
            "10020000"
            "c0000207"
            "0000000000000000"
            "000000000000000000000000"
            "00000009"
            "0000000100000002"
            "3203"
            "0000");
  EXPECT_EQ(read_tdb(Layout::tdb_freebsd, record), inet);
  write_tdb(Layout::tdb_freebsd, inet6, record);
  EXPECT_EQ(to_hex(record),
            "11223344"
            "1c1c0000"
            "00000000"
            "20010db8000000000000000000000007"
            "00000000"
            "00000009"
            "0000000100000002"
            "3203"
            "0000");
  EXPECT_EQ(read_tdb(Layout::tdb_freebsd, record), inet6);
}

}  // namespace
}  // namespace pfsync::wire::test
