#include "wire/carp.h"

#include "wire/ip.h"

namespace pfsync::wire {

std::optional<std::uint8_t> vrrp_id(Bytes payload) noexcept {
  constexpr std::size_t header = 8, authentication = 8;
  if (payload.size() < header || (payload[0] & 0x0fu) != carp_type_advertisement) return std::nullopt;
  const std::size_t addresses = payload[3];
  switch (payload[0] >> 4u) {
    case 2: {
      // Some leave the authentication out when it is none. With 7 addresses that would be an advertisement of CARP.
      const std::size_t bare = header + 4 * addresses;
      const bool fits =
          payload.size() == bare + authentication || (payload.size() == bare && payload.size() < sizeof(CarpRecord));
      if (addresses == 0 || !fits || internet_checksum(payload) != 0) return std::nullopt;
      return payload[1];
    }
    case 3:
      if (addresses == 0 || (payload.size() != header + 4 * addresses && payload.size() != header + 16 * addresses))
        return std::nullopt;
      return payload[1];
    default: return std::nullopt;
  }
}

std::variant<CarpAdvert, CarpReject> read_carp(Bytes payload) noexcept {
  if (vrrp_id(payload)) return CarpReject::vrrp;
  if (payload.size() < sizeof(CarpRecord)) return CarpReject::badlen;
  const auto record = load<CarpRecord>(payload, 0);
  if (record.version_type >> 4u != carp_version) return CarpReject::badver;
  if (internet_checksum(payload.first(sizeof(CarpRecord))) != 0) return CarpReject::badsum;
  return CarpAdvert{.vhid = record.vhid,
                    .advbase = record.advbase,
                    .advskew = record.advskew,
                    .demote = record.demote,
                    .counter = record.counter.host(),
                    .md = record.md};
}

std::size_t write_carp(const CarpAdvert& advert, Room room) noexcept {
  if (room.size() < sizeof(CarpRecord)) return 0;
  CarpRecord record{.version_type = carp_version << 4u | carp_type_advertisement,
                    .vhid = advert.vhid,
                    .advskew = advert.advskew,
                    .authlen = carp_authlen,
                    .demote = advert.demote,
                    .advbase = advert.advbase,
                    .checksum = Be16{0},
                    .counter = Be64{advert.counter},
                    .md = advert.md};
  store(room, 0, record);
  record.checksum = Be16{internet_checksum(room.first(sizeof(CarpRecord)))};
  store(room, 0, record);
  return sizeof(CarpRecord);
}

}  // namespace pfsync::wire
