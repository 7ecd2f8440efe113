#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string_view>
#include <vector>

#include "engine/counters.h"
#include "statetable/time.h"
#include "wire/address.h"
#include "wire/bytes.h"
#include "wire/describes_each.h"
#include "wire/ip.h"
#include "wire/membership.h"

namespace pfsync::engine {

struct MembershipConfig {
  wire::MacAddress mac{};
  wire::Address inet{};   ///< own addresses; zeros: none, and reports come from 0.0.0.0 (RFC 3376 section 4.2.13)
  wire::Address inet6{};  ///< link-local; zeros: none, and reports come from :: (RFC 3590 section 4)
  std::optional<std::uint16_t> vlan{};
  std::vector<wire::Group> groups{};  ///< what nobody reports (224.0.0.1, ff02::1) and repetitions are left out
  std::uint64_t seed = 0;             ///< of the delays: not the same on two nodes
};

enum class MembershipTally : std::uint8_t { queries, reports, dropped, refused };
struct MembershipTallyInfo {
  MembershipTally tally;
  std::string_view word;
  std::string_view sentence;
};
inline constexpr std::array membership_tally_table{
    MembershipTallyInfo{MembershipTally::queries, "membership_queries", "IGMP and MLD queries heard"},
    MembershipTallyInfo{MembershipTally::reports, "membership_reports", "IGMP and MLD reports and leaves sent"},
    MembershipTallyInfo{MembershipTally::dropped, "membership_dropped",
                        "IGMP and MLD reports not sent: more than ten within a second, or too large for a frame"},
    MembershipTallyInfo{MembershipTally::refused, "membership_refused",
                        "IGMP and MLD queries and reports not taken: not sound, or from beyond this link"},
};
static_assert(wire::describes_each(membership_tally_table, &MembershipTallyInfo::tally, MembershipTally::refused),
              "membership_tally_table[i] must describe MembershipTally(i), and every MembershipTally");

/// Written by the data path, read by any.
struct MembershipCounters {
  std::array<Counter, membership_tally_table.size()> tallies;

  [[nodiscard]] Counter& operator[](MembershipTally tally) noexcept { return tallies[static_cast<std::size_t>(tally)]; }
  [[nodiscard]] const Counter& operator[](MembershipTally tally) const noexcept {
    return tallies[static_cast<std::size_t>(tally)];
  }
};

/// A host's side of IGMP and MLD, for a port that no kernel stands behind: says which groups this port wants, since
/// switches that snoop give it no others. Every membership is EXCLUDE {}: all sources. Takes frames and a time, gives
/// frames and a deadline. No I/O inside; after construction no allocation and no throw. Thread-bound, but for the
/// counters. Source: RFC 3376 sections 5 and 7.2, RFC 3810 sections 6 and 8.2, RFC 2236 section 3, RFC 2710 section 4.
class Membership {
 public:
  using Instant = statetable::Instant;
  using Duration = statetable::Duration;
  static constexpr unsigned robustness = 2;                     ///< how often a change is said
  static constexpr std::chrono::seconds unsolicited_within{1};  ///< the second time after at most this
  /// How long the version of an older querier is spoken. Source: RFC 3376 section 8.12, RFC 3810 section 9.12.
  static constexpr std::chrono::seconds older_querier_present{260};
  static constexpr std::size_t reports_per_s_max = 10;  ///< frames within any second; leaves are not held to it
  static constexpr std::size_t groups_max = 24;         ///< of one family: one report tells all of them with any MTU
  static constexpr std::size_t sources_max = 16;        ///< of one answer; asked about more, the whole group is told
  static constexpr std::size_t frame_bytes_max = 18 + 576;  ///< every frame finds room in so many

  /// Throws std::length_error when there are more than groups_max groups of one family.
  explicit Membership(const MembershipConfig& config);

  /// The link comes up: the groups are joined. It goes down: nothing is said or heard.
  void set_link(bool up, Instant now) noexcept;
  /// Any frame that arrived; only queries, and reports of other hosts, mean something.
  void on_frame(wire::Bytes frame, Instant now) noexcept;
  /// Takes the groups of `next`, which was made by successor(): those that come are joined, those that go are left, the
  /// others stay as they are. `next` holds afterwards what is to be destroyed, by who may. No allocation.
  void adopt(Membership& next, Instant now) noexcept;
  /// The process ends: what is transmitted now are leaves. Until the link comes up anew nothing else is.
  void leave(Instant now) noexcept;

  /// The next frame that is due, written into `frame`: its bytes, 0 when there is none.
  [[nodiscard]] std::size_t transmit(wire::Room frame, Instant now) noexcept;
  /// When transmit has something next.
  [[nodiscard]] std::optional<Instant> timeout() const noexcept;

  /// What is spoken now, after the queriers heard.
  [[nodiscard]] wire::MembershipVersion version(wire::Family family, Instant now) const noexcept {
    return side_of(family).version(now);
  }
  /// Any thread, but not while adopt() runs: what it takes. `config` is that of this port with other groups.
  [[nodiscard]] std::unique_ptr<Membership> successor(const MembershipConfig& config) const;
  /// Any thread.
  [[nodiscard]] const MembershipCounters& counters() const noexcept { return counters_; }

 private:
  struct Member {
    wire::Address group{};
    std::optional<Instant> answer_at{};
    std::array<wire::Address, sources_max> sources{};  ///< the answer is about these; none: about the group
    std::size_t source_count = 0;
    bool reported_last = false;  ///< by us, not by another host: then the leave is ours to say, too
  };
  /// One family on this port.
  struct Side {
    wire::Family family = wire::Family::none;
    wire::Address source{};
    std::vector<Member> members{};
    std::vector<wire::GroupRecord> records{};  ///< scratch: room for all members
    std::optional<Instant> v1_until{}, v2_until{};
    std::optional<Instant> general_at{};  ///< v3: the answer to a general query
    unsigned changes_left = 0;            ///< joins, or leaves, to say
    Instant change_at{};
    std::size_t change_next = 0;  ///< older versions: the member whose turn it is
    /// Groups that are not wanted any more, and how often that is still to be said.
    std::vector<Member> left{};
    unsigned leaves_left = 0;

    [[nodiscard]] wire::MembershipVersion version(Instant now) const noexcept {
      if (v1_until && now < *v1_until) return wire::MembershipVersion::v1;
      return v2_until && now < *v2_until ? wire::MembershipVersion::v2 : wire::MembershipVersion::v3;
    }
    [[nodiscard]] Member* find(const wire::Address& group) noexcept;
    [[nodiscard]] std::optional<Instant> answer_at() const noexcept;
    void forget_answers() noexcept;
  };
  enum class Phase : std::uint8_t { down, joined, leaving };

  [[nodiscard]] const Side& side_of(wire::Family family) const noexcept {
    return sides_[family == wire::Family::inet6 ? 1 : 0];
  }
  [[nodiscard]] Side& side_of(wire::Family family) noexcept { return sides_[family == wire::Family::inet6 ? 1 : 0]; }
  void on_query(Side& side, const wire::MembershipMessage& query, Instant now) noexcept;
  [[nodiscard]] static bool hear_version(Side& side, const wire::MembershipMessage& query, Instant now) noexcept;
  static void ask(Member& member, wire::Bytes sources, std::size_t address_bytes, Instant at) noexcept;
  [[nodiscard]] Duration delay(Duration within) noexcept;

  [[nodiscard]] std::size_t write_change(Side& side, wire::Room frame, Instant now) noexcept;
  [[nodiscard]] std::size_t write_leaves(Side& side, wire::Room frame, Instant now) noexcept;
  [[nodiscard]] std::size_t write_older_change(Side& side, wire::Room frame, Instant now) noexcept;
  [[nodiscard]] std::size_t write_answer(Side& side, wire::Room frame, Instant now) noexcept;
  /// A frame of what stands in `side.records`.
  [[nodiscard]] std::size_t write_records(const Side& side, wire::Room frame) const noexcept;
  [[nodiscard]] std::size_t write_older(const Side& side, wire::OlderMessage message, const wire::Address& group,
                                        wire::Room frame) const noexcept;
  [[nodiscard]] std::size_t write_ethernet(wire::Family family, std::size_t packet_bytes,
                                           wire::Room frame) const noexcept;
  [[nodiscard]] wire::Room packet_room(wire::Room frame) const noexcept;
  /// When another frame may be sent.
  [[nodiscard]] Instant free_at() const noexcept;
  [[nodiscard]] std::size_t count_sent(std::size_t bytes, Instant now) noexcept;

  wire::MacAddress mac_;
  std::optional<std::uint16_t> vlan_;
  std::array<Side, 2> sides_;
  Phase phase_ = Phase::down;
  std::mt19937_64 random_;
  std::array<Instant, reports_per_s_max> sent_at_{};  ///< frame n at [n % 10]
  std::size_t sent_ = 0;
  MembershipCounters counters_;
};

}  // namespace pfsync::engine
