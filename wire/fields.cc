#include "wire/fields.h"

#include "wire/limits.h"

namespace pfsync::wire {

Fields differences(const State& a, const State& b) noexcept {
  Fields fields;
  fields.add(Field::id, a.id != b.id);
  fields.add(Field::ifname, a.ifname != b.ifname);
  fields.add(Field::key, a.key != b.key);
  fields.add(Field::src, a.src != b.src);
  fields.add(Field::dst, a.dst != b.dst);
  fields.add(Field::rt_addr, a.rt_addr != b.rt_addr);
  fields.add(Field::rule, a.rule != b.rule);
  fields.add(Field::anchor, a.anchor != b.anchor);
  fields.add(Field::nat_rule, a.nat_rule != b.nat_rule);
  fields.add(Field::creation, a.creation_s != b.creation_s);
  fields.add(Field::expire, a.expire_s != b.expire_s);
  fields.add(Field::packets, a.packets != b.packets);
  fields.add(Field::bytes, a.bytes != b.bytes);
  fields.add(Field::af, a.af != b.af);
  fields.add(Field::proto, a.proto != b.proto);
  fields.add(Field::direction, a.direction != b.direction);
  fields.add(Field::log, a.log != b.log);
  fields.add(Field::timeout, a.timeout != b.timeout);
  fields.add(Field::state_flags, a.state_flags != b.state_flags);
  fields.add(Field::sync_flags, a.sync_flags != b.sync_flags);
  fields.add(Field::rt, a.rt != b.rt);
  fields.add(Field::min_ttl, a.min_ttl != b.min_ttl);
  fields.add(Field::set_tos, a.set_tos != b.set_tos);
  fields.add(Field::set_prio, a.set_prio != b.set_prio);
  fields.add(Field::max_mss, a.max_mss != b.max_mss);
  fields.add(Field::rtableid, a.rtableid != b.rtableid);
  fields.add(Field::rt_ifname, a.rt_ifname != b.rt_ifname);
  fields.add(Field::qid, a.qid != b.qid);
  fields.add(Field::pqid, a.pqid != b.pqid);
  fields.add(Field::dnpipe, a.dnpipe != b.dnpipe);
  fields.add(Field::dnrpipe, a.dnrpipe != b.dnrpipe);
  fields.add(Field::stack_af, a.stack_af != b.stack_af);
  fields.add(Field::stack_proto, a.stack_proto != b.stack_proto);
  fields.add(Field::rt_af, a.rt_af != b.rt_af);
  fields.add(Field::rdomain, a.rdomain != b.rdomain);
  fields.add(Field::orig_ifname, a.orig_ifname != b.orig_ifname);
  fields.add(Field::tag, a.tag != b.tag);
  return fields;
}

Fields lost(const State& state, Dialect dialect) noexcept {
  const bool is_1301 = dialect == Dialect::freebsd_1301;
  const bool is_1500 = dialect == Dialect::freebsd_1500;
  const bool is_openbsd = dialect == Dialect::openbsd;
  Fields fields;
  fields.add(Field::rt_addr, !says_next_hop(state, dialect) && state.rt_addr != Address{});
  fields.add(Field::timeout, said_timeout(state.timeout, dialect) != state.timeout);
  fields.add(Field::state_flags, said_flags(state.state_flags, dialect) != state.state_flags);
  fields.add(Field::sync_flags, said_sync_flags(state.sync_flags, dialect) != state.sync_flags);
  fields.add(Field::rt, said_rt(state, dialect) != state.rt);
  fields.add(Field::min_ttl, is_1301 && state.min_ttl != 0);
  fields.add(Field::set_tos, is_1301 && state.set_tos != 0);
  fields.add(Field::set_prio, is_1301 && (state.set_prio[0] != 0 || state.set_prio[1] != 0));
  fields.add(Field::max_mss, is_1301 && state.max_mss != 0);
  fields.add(Field::rtableid, said_rtableid(state.rtableid, dialect) != state.rtableid);
  const bool has_freebsd_extras = !is_1301 && !is_openbsd;
  fields.add(Field::rt_ifname, !has_freebsd_extras && !state.rt_ifname.empty());
  fields.add(Field::qid, !has_freebsd_extras && state.qid != 0);
  fields.add(Field::pqid, !has_freebsd_extras && state.pqid != 0);
  fields.add(Field::dnpipe, !has_freebsd_extras && state.dnpipe != 0);
  fields.add(Field::dnrpipe, !has_freebsd_extras && state.dnrpipe != 0);
  fields.add(Field::stack_af, !is_1500 && !is_openbsd && state.stack_af != Family::none);
  fields.add(Field::stack_proto, !is_1500 && state.stack_proto != 0);
  fields.add(Field::rt_af, !is_1500 && state.rt_af != Family::none);
  fields.add(Field::rdomain, !is_openbsd && (state.rdomain[0] != 0 || state.rdomain[1] != 0));
  fields.add(Field::orig_ifname, !is_1500 && !state.orig_ifname.empty());
  fields.add(Field::tag, !is_1500 && !state.tag.empty());
  return fields;
}

Fields lost(const Tdb& tdb, Dialect dialect) noexcept {
  Fields fields;
  fields.add(Field::tdb_rpl, dialect != Dialect::openbsd && tdb.rpl > 0xffffffffu);
  fields.add(Field::tdb_rdomain, dialect != Dialect::openbsd && tdb.rdomain != 0);
  return fields;
}

Fields lost(const Update& update, Dialect dialect) noexcept {
  Fields fields;
  fields.add(Field::timeout, said_timeout(update.timeout, dialect) != update.timeout);
  return fields;
}

}  // namespace pfsync::wire
