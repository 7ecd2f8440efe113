#include "engine/link/membership.h"

#include <algorithm>
#include <stdexcept>

#include "wire/ethernet.h"

namespace pfsync::engine {

using wire::Family;
using wire::GroupRecord;
using wire::MembershipMessage;
using wire::MembershipVersion;
using wire::OlderMessage;

namespace {

constexpr std::chrono::seconds rate_window{1};
/// What the headers leave of the smallest MTU, 576: IPv6, hop-by-hop, and the report's own.
constexpr std::size_t record_bytes_max = 576 - 40 - 8 - sizeof(wire::ReportRecord);
static_assert(Membership::groups_max * (sizeof(wire::GroupRecordHeader) + 16) <= record_bytes_max,
              "all groups fit one report");
static_assert(Membership::sources_max + 1 <= record_bytes_max / 16 - 1, "one group with its sources fits one report");

void be_at_most(std::optional<statetable::Instant>& at, statetable::Instant limit) noexcept {
  if (!at || limit < *at) at = limit;
}

}  // namespace

Membership::Member* Membership::Side::find(const wire::Address& group) noexcept {
  const auto found = std::ranges::find(members, group, &Member::group);
  return found == members.end() ? nullptr : &*found;
}

std::optional<statetable::Instant> Membership::Side::answer_at() const noexcept {
  std::optional<Instant> earliest = general_at;
  for (const Member& member : members)
    if (member.answer_at) be_at_most(earliest, *member.answer_at);
  return earliest;
}

void Membership::Side::forget_answers() noexcept {
  general_at.reset();
  for (Member& member : members) {
    member.answer_at.reset();
    member.source_count = 0;
  }
}

Membership::Membership(const MembershipConfig& config) : mac_{config.mac}, vlan_{config.vlan}, random_{config.seed} {
  sides_[0].family = Family::inet;
  sides_[0].source = config.inet;
  sides_[1].family = Family::inet6;
  sides_[1].source = config.inet6;
  for (const wire::Group& group : config.groups) {
    Side& side = side_of(group.family);
    if (!wire::is_reported(group) || side.find(group.address) != nullptr) continue;
    if (side.members.size() == groups_max) throw std::length_error{"more than 24 multicast groups of one family"};
    side.members.push_back({.group = group.address});
  }
  for (Side& side : sides_) side.records.reserve(side.members.size());
}

std::unique_ptr<Membership> Membership::successor(const MembershipConfig& config) const {
  auto next = std::make_unique<Membership>(config);
  for (std::size_t family = 0; family < sides_.size(); ++family) {
    Side& side = next->sides_[family];
    side.left.reserve(sides_[family].members.size());
    side.records.reserve(std::max(side.members.size(), sides_[family].members.size()));
  }
  return next;
}

void Membership::adopt(Membership& next, Instant now) noexcept {
  for (std::size_t family = 0; family < sides_.size(); ++family) {
    Side &side = sides_[family], &wanted = next.sides_[family];
    bool comes = false;
    for (Member& member : wanted.members) {
      if (const Member* known = side.find(member.group))
        member = *known;
      else
        comes = true;
    }
    for (const Member& member : side.members)
      if (wanted.find(member.group) == nullptr) wanted.left.push_back(member);
    std::swap(side.members, wanted.members);
    std::swap(side.left, wanted.left);
    std::swap(side.records, wanted.records);
    const bool says = phase_ == Phase::joined && (comes || !side.left.empty());
    side.leaves_left = phase_ == Phase::joined && !side.left.empty() ? robustness : 0;
    if (side.members.empty()) side.changes_left = 0;
    if (!says) continue;
    // Those that stay are told again, which changes nothing.
    if (comes) side.changes_left = robustness;
    side.change_at = now;
    side.change_next = 0;
  }
}

void Membership::set_link(bool up, Instant now) noexcept {
  if (up == (phase_ == Phase::joined)) return;
  phase_ = up ? Phase::joined : Phase::down;
  for (Side& side : sides_) {
    side.forget_answers();
    // The older querier heard before is believed: newer ones understand its version as well, it not theirs.
    side.changes_left = up && !side.members.empty() ? robustness : 0;
    side.leaves_left = 0;
    side.change_at = now;
    side.change_next = 0;
  }
}

void Membership::leave(Instant now) noexcept {
  if (phase_ != Phase::joined) return;
  phase_ = Phase::leaving;
  for (Side& side : sides_) {
    side.forget_answers();
    side.changes_left = side.members.empty() ? 0 : robustness;
    side.leaves_left = 0;
    side.change_at = now;
    side.change_next = 0;
  }
}

void Membership::on_frame(wire::Bytes frame, Instant now) noexcept {
  if (phase_ != Phase::joined) return;
  const auto ethernet = wire::read_ethernet(frame);
  if (!ethernet || ethernet->vlan != vlan_ || ethernet->source == mac_) return;
  if (ethernet->ethertype != wire::ethertype::ipv4 && ethernet->ethertype != wire::ethertype::ipv6) return;
  const wire::IpResult ip = wire::read_ip(ethernet->payload);
  if (ip.reject) return;
  Side& side = side_of(ip.packet.family);
  if (side.members.empty()) return;
  const MembershipMessage message = wire::read_membership(ip.packet);
  switch (message.kind) {
    case MembershipMessage::Kind::other: return;
    case MembershipMessage::Kind::refused: return counters_[MembershipTally::refused].add();
    case MembershipMessage::Kind::query: return on_query(side, message, now);
    case MembershipMessage::Kind::report: break;
  }
  // One report of a group is enough for an older querier.
  if (Member* member = side.find(message.group); member != nullptr && side.version(now) != MembershipVersion::v3) {
    member->answer_at.reset();
    member->reported_last = false;
  }
}

/// True when an older version is spoken from now on.
bool Membership::hear_version(Side& side, const MembershipMessage& query, Instant now) noexcept {
  if (query.version == MembershipVersion::v3 || !query.is_general()) return false;
  const MembershipVersion before = side.version(now);
  (query.version == MembershipVersion::v1 ? side.v1_until : side.v2_until) = now + older_querier_present;
  return side.version(now) < before;
}

void Membership::on_query(Side& side, const MembershipMessage& query, Instant now) noexcept {
  counters_[MembershipTally::queries].add();
  // What was meant for another querier is forgotten (RFC 3376 section 7.2.1); this one is answered below. Differs: when
  // the older one's time is over, what is pending is not forgotten but said in the newer version.
  if (hear_version(side, query, now)) {
    side.forget_answers();
    side.changes_left = 0;
  }
  const bool older = side.version(now) != MembershipVersion::v3;
  if (query.is_general() && older) {
    for (Member& member : side.members) ask(member, {}, 1, now + delay(query.response_max));
    return;
  }
  const Instant at = now + delay(query.response_max);
  if (query.is_general()) return be_at_most(side.general_at, at);
  if (Member* member = side.find(query.group); member != nullptr)
    ask(*member, older ? wire::Bytes{} : query.sources, side.family == Family::inet ? 4 : 16, at);
}

/// Source: RFC 3376 section 5.2, the five rules; the older versions have their result for a query without sources.
void Membership::ask(Member& member, wire::Bytes sources, std::size_t address_bytes, Instant at) noexcept {
  const bool about_group = sources.empty() || (member.answer_at && member.source_count == 0);
  be_at_most(member.answer_at, at);
  if (about_group) {
    member.source_count = 0;
    return;
  }
  for (; !sources.empty(); sources = sources.subspan(address_bytes)) {
    wire::Address source;
    std::copy_n(sources.begin(), address_bytes, source.bytes.begin());
    const auto end = member.sources.begin() + static_cast<std::ptrdiff_t>(member.source_count);
    if (std::find(member.sources.begin(), end, source) != end) continue;
    if (member.source_count == sources_max) {
      member.source_count = 0;  // all sources of the group are wanted, and that is said instead
      return;
    }
    member.sources[member.source_count++] = source;
  }
}

statetable::Duration Membership::delay(Duration within) noexcept {
  // Not quite even, by less than 2^-20: no range has more than 2^43 ns.
  return Duration{static_cast<Duration::rep>(random_() % (static_cast<std::uint64_t>(within.count()) + 1))};
}

std::size_t Membership::transmit(wire::Room frame, Instant now) noexcept {
  // Changes first: they wait for their turn, and are few. Of answers none is owed that a querier asks too often for.
  for (Side& side : sides_)
    while (side.changes_left + side.leaves_left > 0 && side.change_at <= now &&
           (phase_ == Phase::leaving || free_at() <= now))
      if (const std::size_t bytes = write_change(side, frame, now)) return count_sent(bytes, now);
  for (Side& side : sides_)
    for (auto at = side.answer_at(); at && *at <= now; at = side.answer_at()) {
      if (const std::size_t bytes = write_answer(side, free_at() <= now ? frame : wire::Room{}, now))
        return count_sent(bytes, now);
      counters_[MembershipTally::dropped].add();
    }
  return 0;
}

std::optional<statetable::Instant> Membership::timeout() const noexcept {
  std::optional<Instant> earliest;
  for (const Side& side : sides_) {
    if (side.changes_left + side.leaves_left > 0)
      be_at_most(earliest, phase_ == Phase::leaving ? side.change_at : std::max(side.change_at, free_at()));
    if (const auto at = side.answer_at()) be_at_most(earliest, *at);
  }
  return earliest;
}

/// 0 when there is nothing left to say of this change, or it does not fit.
std::size_t Membership::write_change(Side& side, wire::Room frame, Instant now) noexcept {
  if (side.leaves_left > 0 && side.leaves_left >= side.changes_left) return write_leaves(side, frame, now);
  if (side.version(now) != MembershipVersion::v3) return write_older_change(side, frame, now);
  const auto type = phase_ == Phase::leaving ? GroupRecord::Type::to_include : GroupRecord::Type::to_exclude;
  side.records.clear();
  for (Member& member : side.members) {
    side.records.push_back({.type = type, .group = member.group});
    member.reported_last = true;
  }
  side.forget_answers();  // this says more than they would
  --side.changes_left;
  side.change_at = now + delay(unsolicited_within);
  const std::size_t bytes = write_records(side, frame);
  if (bytes == 0) counters_[MembershipTally::dropped].add();
  return bytes;
}

/// Of groups that are not wanted any more, in a report of their own: all groups, old and new, need not fit one.
std::size_t Membership::write_leaves(Side& side, wire::Room frame, Instant now) noexcept {
  std::size_t bytes = 0;
  if (const MembershipVersion version = side.version(now); version == MembershipVersion::v3) {
    side.records.clear();
    for (const Member& member : side.left)
      side.records.push_back({.type = GroupRecord::Type::to_include, .group = member.group});
    --side.leaves_left;
    if (side.changes_left == 0) side.change_at = now + delay(unsolicited_within);
    bytes = write_records(side, frame);
  } else {
    // As in write_older_change(): some leaves are not said, and each once.
    while (!side.left.empty() && (version == MembershipVersion::v1 || !side.left.back().reported_last))
      side.left.pop_back();
    if (side.left.empty()) {
      side.leaves_left = 0;
      return 0;
    }
    bytes = write_older(side, OlderMessage::leave, side.left.back().group, frame);
    side.left.pop_back();
  }
  if (bytes == 0) counters_[MembershipTally::dropped].add();
  return bytes;
}

std::size_t Membership::write_older_change(Side& side, wire::Room frame, Instant now) noexcept {
  const bool leaves = phase_ == Phase::leaving;
  const MembershipVersion version = side.version(now);
  while (side.change_next < side.members.size()) {
    Member& member = side.members[side.change_next++];
    // Version 1 knows no leave; one that another host reported last is not ours alone (RFC 2236 section 3).
    if (leaves && (version == MembershipVersion::v1 || !member.reported_last)) continue;
    const auto report = version == MembershipVersion::v1 ? OlderMessage::report_v1 : OlderMessage::report_v2;
    const std::size_t bytes = write_older(side, leaves ? OlderMessage::leave : report, member.group, frame);
    // The second time as if asked for, so that another host's report spares it; a leave is said once.
    if (!leaves) be_at_most(member.answer_at, now + delay(unsolicited_within));
    member.reported_last = true;
    if (bytes != 0) return bytes;
    counters_[MembershipTally::dropped].add();
  }
  side.changes_left = 0;
  return 0;
}

/// What is due is said, or forgotten when it does not fit.
std::size_t Membership::write_answer(Side& side, wire::Room frame, Instant now) noexcept {
  const auto is_due = [now](const std::optional<Instant>& at) { return at && *at <= now; };
  if (const MembershipVersion version = side.version(now); version != MembershipVersion::v3) {
    const auto due = std::ranges::find_if(side.members, is_due, &Member::answer_at);
    due->answer_at.reset();
    due->reported_last = true;
    const auto report = version == MembershipVersion::v1 ? OlderMessage::report_v1 : OlderMessage::report_v2;
    return write_older(side, report, due->group, frame);
  }
  if (is_due(side.general_at)) {
    side.forget_answers();
    for (Member& member : side.members) member.answer_at = now;
  }
  const std::size_t address_bytes = side.family == Family::inet ? 4 : 16;
  std::size_t bytes = 0;
  side.records.clear();
  for (Member& member : side.members) {
    if (!is_due(member.answer_at)) continue;
    bytes += sizeof(wire::GroupRecordHeader) + (1 + member.source_count) * address_bytes;
    // With many sources the rest is the next frame's.
    if (bytes > record_bytes_max && !side.records.empty()) break;
    // Of the sources that were asked about, those are told that are wanted: all of them.
    const bool about_group = member.source_count == 0;
    side.records.push_back({.type = about_group ? GroupRecord::Type::is_exclude : GroupRecord::Type::is_include,
                            .group = member.group,
                            .sources = std::span{member.sources}.first(member.source_count)});
    member.reported_last = true;
    member.answer_at.reset();
    member.source_count = 0;
  }
  return write_records(side, frame);
}

wire::Room Membership::packet_room(wire::Room frame) const noexcept {
  return frame.subspan(std::min<std::size_t>(frame.size(), vlan_ ? 18 : 14));
}

std::size_t Membership::write_records(const Side& side, wire::Room frame) const noexcept {
  return write_ethernet(side.family,
                        write_membership_report(side.family, side.source, side.records, packet_room(frame)), frame);
}

std::size_t Membership::write_older(const Side& side, OlderMessage message, const wire::Address& group,
                                    wire::Room frame) const noexcept {
  return write_ethernet(side.family,
                        write_older_membership(message, {side.family, group}, side.source, packet_room(frame)), frame);
}

std::size_t Membership::write_ethernet(Family family, std::size_t packet_bytes, wire::Room frame) const noexcept {
  if (packet_bytes == 0) return 0;
  const wire::IpResult ip = wire::read_ip(packet_room(frame));
  const std::uint16_t type = family == Family::inet ? wire::ethertype::ipv4 : wire::ethertype::ipv6;
  return packet_bytes +
         wire::write_ethernet_header(wire::multicast_mac(family, ip.packet.destination), mac_, vlan_, type, frame);
}

statetable::Instant Membership::free_at() const noexcept {
  return sent_ < sent_at_.size() ? Instant::min() : sent_at_[sent_ % sent_at_.size()] + rate_window;
}

std::size_t Membership::count_sent(std::size_t bytes, Instant now) noexcept {
  sent_at_[sent_++ % sent_at_.size()] = now;
  counters_[MembershipTally::reports].add();
  return bytes;
}

}  // namespace pfsync::engine
