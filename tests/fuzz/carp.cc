// What follows an IP header of protocol 112: told apart from VRRP, read, written again, signed and verified.
#include <algorithm>
#include <array>
#include <cstdint>
#include <variant>
#include <vector>

#include "tests/fuzz/check.h"
#include "tests/fuzz/mutate.h"
#include "wire/carp.h"
#include "wire/carp_digest.h"
#include "wire/ip.h"

namespace pfsync::fuzz {
namespace {

using namespace wire;

const CarpDigest& digest() {
  static const std::array addresses{CarpAddress{Family::inet, ipv4_address(192, 168, 1, 100)}};
  static const CarpDigest it{carp_key("mekmitasdigoat"), 1, addresses};
  return it;
}

void check_advert(CarpAdvert advert) {
  std::array<std::uint8_t, sizeof(CarpRecord)> room;
  check(write_carp(advert, room) == room.size(), "an advertisement fits its record");
  const auto again = read_carp(room);
  check(std::holds_alternative<CarpAdvert>(again) && std::get<CarpAdvert>(again) == advert,
        "an advertisement that we write reads as what was written");
  advert.md = digest().md(advert.counter);
  check(digest().verifies(advert), "an HMAC that we make verifies");
  advert.md[advert.vhid % advert.md.size()] ^= 1u;
  check(!digest().verifies(advert), "a damaged HMAC does not verify");
}

void check_payload(Bytes payload) {
  const auto result = read_carp(payload);
  if (const auto* advert = std::get_if<CarpAdvert>(&result)) return check_advert(*advert);
  const CarpReject why = std::get<CarpReject>(result);
  switch (why) {
    case CarpReject::vrrp: return check(vrrp_id(payload).has_value(), "VRRP has an id");
    case CarpReject::badlen:
      return check(payload.size() < sizeof(CarpRecord), "what is too short is shorter than a record");
    case CarpReject::badver: return check(payload[0] >> 4u != carp_version, "a bad version is not 2");
    case CarpReject::badsum: break;
    default: check(false, "an advertisement is refused in a documented way");
  }
  // A random checksum is nearly always wrong: set it right, so that what lies behind the check is reached.
  std::vector<std::uint8_t> corrected(payload.begin(), payload.begin() + sizeof(CarpRecord));
  store(Room{corrected}, offsetof(CarpRecord, checksum), Be16{0});
  store(Room{corrected}, offsetof(CarpRecord, checksum), Be16{internet_checksum(corrected)});
  const auto second = read_carp(corrected);
  if (const auto* advert = std::get_if<CarpAdvert>(&second)) return check_advert(*advert);
  check(std::get<CarpReject>(second) == CarpReject::vrrp, "with its checksum right it is CARP or VRRP");
}

/// A record with its version, its checksum and sometimes its HMAC right, whatever else it says.
void mend(Input& input, Random& random) {
  if (input.size() < sizeof(CarpRecord)) input.resize(sizeof(CarpRecord));
  const Room room{input};
  const std::size_t bytes = random.one_in(4) ? input.size() : sizeof(CarpRecord);
  if (!random.one_in(8)) input[0] = 0x21;
  if (random.one_in(2)) {
    CarpAdvert advert{.vhid = input[1],
                      .advbase = input[5],
                      .advskew = input[2],
                      .demote = input[4],
                      .counter = random.next(),
                      .md = {}};
    advert.md = digest().md(advert.counter);
    static_cast<void>(write_carp(advert, room));
  }
  store(room, offsetof(CarpRecord, checksum), Be16{0});
  store(room, offsetof(CarpRecord, checksum), Be16{internet_checksum(Bytes{input}.first(bytes))});
}

}  // namespace
}  // namespace pfsync::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  pfsync::fuzz::check_payload({data, size});
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  using namespace pfsync;
  return fuzz::mutated(data, size, max_size, seed, [](fuzz::Input& input, fuzz::Random& random) {
    fuzz::mutate_bytes(input);
    fuzz::mend(input, random);
  });
}
