// Messages that the dialects share, and TDB.
#include "wire/convert.h"

#include <algorithm>

#include "wire/convert_parts.h"
#include "wire/limits.h"

namespace pfsync::wire {

namespace {

[[gnu::always_inline]] inline void write_update_at(std::uint8_t* record, const Update& update,
                                                   std::uint32_t timeout) noexcept {
  // Field by field where it goes: a record made elsewhere and copied would wait for its own narrow stores.
  const Be64 id{update.id.id};
  std::memcpy(record + offsetof(UpdCRecord, id), &id, sizeof id);
  write_peer(update.src, record + offsetof(UpdCRecord, src));
  write_peer(update.dst, record + offsetof(UpdCRecord, dst));
  const std::uint64_t creatorid_expire = std::uint64_t{update.id.creatorid} << 32u | update.expire_s;
  const Be64 tail{creatorid_expire};
  std::memcpy(record + offsetof(UpdCRecord, creatorid), &tail, sizeof tail);
  const std::uint32_t last = timeout;  // the byte, and the pad behind it: little-endian
  std::memcpy(record + offsetof(UpdCRecord, timeout), &last, sizeof last);
}

}  // namespace

void write_updates(Dialect dialect, std::span<const Update> updates, Room records) noexcept {
  std::uint8_t* record = records.data();
  for (const Update& update : updates) {
    write_update_at(record, update, said_timeout(update.timeout, dialect));
    record += sizeof(UpdCRecord);
  }
}

void write_id(StateId id, Room record) noexcept { store(record, 0, IdRecord{Be64{id.id}, Be32{id.creatorid}}); }

Clear read_clear(Bytes record) noexcept {
  const auto wire = load<ClrRecord>(record, 0);
  return {.ifname = read_name<16>(record.data() + offsetof(ClrRecord, ifname)), .creatorid = wire.creatorid.host()};
}

void write_clear(const Clear& clear, Room record) noexcept {
  store(record, 0, ClrRecord{clear.ifname.chars, Be32{clear.creatorid}});
}

BulkStatus read_bulk_status(Bytes record) noexcept {
  const auto wire = load<BusRecord>(record, 0);
  return {.creatorid = wire.creatorid.host(), .endtime_s = wire.endtime.host(), .status = wire.status};
}

void write_bulk_status(const BulkStatus& status, Room record) noexcept {
  store(record, 0, BusRecord{Be32{status.creatorid}, Be32{status.endtime_s}, status.status, {}});
}

namespace {

// The sockaddr inside TDB: byte 0 length, byte 1 family, then for IPv4 the address at 4, for IPv6 at 8.
// Source: FreeBSD sys/netinet/in.h, struct sockaddr_in; sys/netinet6/in6.h, struct sockaddr_in6.
using Sockaddr = std::array<std::uint8_t, 28>;

void read_sockaddr(Tdb& tdb, const Sockaddr& sockaddr, Family family) noexcept {
  tdb.af = family;
  if (family == Family::inet) std::copy_n(sockaddr.begin() + 4, 4, tdb.dst.bytes.begin());
  if (family == Family::inet6) std::copy_n(sockaddr.begin() + 8, 16, tdb.dst.bytes.begin());
}

Sockaddr to_sockaddr(const Tdb& tdb, std::uint8_t af) noexcept {
  Sockaddr sockaddr{};
  sockaddr[1] = af;
  if (tdb.af == Family::inet) {
    sockaddr[0] = 16;
    std::copy_n(tdb.dst.bytes.begin(), 4, sockaddr.begin() + 4);
  } else if (tdb.af == Family::inet6) {
    sockaddr[0] = 28;
    std::copy_n(tdb.dst.bytes.begin(), 16, sockaddr.begin() + 8);
  }
  return sockaddr;
}

template <class Record>
Tdb to_tdb(const Record& record) noexcept {
  return {.spi = record.spi.host(),
          .rpl = record.rpl.host(),
          .cur_bytes = record.cur_bytes.host(),
          .sproto = record.sproto,
          .updates = record.updates};
}

}  // namespace

Tdb read_tdb(Layout layout, Bytes bytes) noexcept {
  if (layout == Layout::tdb_freebsd) {
    const auto record = load<freebsd::TdbRecord>(bytes, 0);
    Tdb tdb = to_tdb(record);
    read_sockaddr(tdb, record.dst, freebsd_family(record.dst[1]));
    return tdb;
  }
  if (layout != Layout::tdb_openbsd) return {};
  const auto record = load<openbsd::TdbRecord>(bytes, 0);
  Tdb tdb = to_tdb(record);
  read_sockaddr(tdb, record.dst, openbsd_family(record.dst[1]));
  tdb.rdomain = record.rdomain.host();
  return tdb;
}

void write_tdb(Layout layout, const Tdb& tdb, Room room) noexcept {
  if (layout == Layout::tdb_freebsd)
    store(room, 0,
          freebsd::TdbRecord{.spi = Be32{tdb.spi},
                             .dst = to_sockaddr(tdb, freebsd_af(tdb.af)),
                             .rpl = Be32{static_cast<std::uint32_t>(tdb.rpl)},
                             .cur_bytes = Be64{tdb.cur_bytes},
                             .sproto = tdb.sproto,
                             .updates = tdb.updates,
                             .pad = {}});
  else if (layout == Layout::tdb_openbsd)
    store(room, 0,
          openbsd::TdbRecord{.spi = Be32{tdb.spi},
                             .dst = to_sockaddr(tdb, openbsd_af(tdb.af)),
                             .rpl = Be64{tdb.rpl},
                             .cur_bytes = Be64{tdb.cur_bytes},
                             .sproto = tdb.sproto,
                             .updates = tdb.updates,
                             .rdomain = Be16{tdb.rdomain}});
}

}  // namespace pfsync::wire
