#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/carp/demotion.h"
#include "engine/carp/election.h"
#include "engine/carp/journal.h"
#include "engine/carp/watch.h"
#include "wire/carp.h"
#include "wire/carp_digest.h"

namespace pfsync::engine::carp {

/// An address that means something else on every port.
[[nodiscard]] constexpr bool is_link_local(const wire::CarpAddress& address) noexcept {
  return address.family == wire::Family::inet6 && address.address.bytes[0] == 0xfe &&
         (address.address.bytes[1] & 0xc0u) == 0x80;
}

/// One VHID on one port, as the operator wants it.
struct HostConfig {
  std::uint8_t vhid = 1;
  std::uint8_t advbase = 1;  ///< s, 1 to 255
  std::uint8_t advskew = 0;  ///< 1/256 s, 0 to 254
  std::string password;      ///< its bytes are the key: wire::carp_key
  std::vector<wire::CarpAddress> addresses;
  wire::Address peer_inet = wire::carp_group_inet;  ///< a group, or the one peer
  wire::Address peer_inet6 = wire::carp_group_inet6;
  bool preempt = true;   ///< pfSense's and OPNsense's setting; a kernel's own default is off
  bool openbsd = false;  ///< the demote count is sent and judged
  bool both_families =
      false;  ///< only the silence of both families is a master's death (Differs: the kernels take either)

  friend bool operator==(const HostConfig&, const HostConfig&) = default;
};

/// What is known of a host, to be looked at. Trivially copyable, so that it can be published.
struct HostStatus {
  struct Move {
    Instant at{};
    State from = State::init, to = State::init;
    Event event = Event::ready;
  };
  struct Reign {  ///< whose advertisements ruled from when on; family none: our own
    Instant at{};
    Source source{};
    bool is_vacant = false;  ///< we left MASTER for INIT: nobody's that is known here
  };
  std::uint8_t vhid = 0;
  State state = State::init;
  std::uint8_t advbase = 1, advskew = 0, skew_now = 0;
  Instant since{};
  bool heard = false;  ///< `advert`, `source` and `heard_at` are of the last sound advertisement of another node
  wire::CarpAdvert advert{};
  Source source{};
  Instant heard_at{};
  std::uint64_t adverts_in = 0, adverts_out = 0, adverts_unsent = 0, badauth = 0;
  std::array<std::uint64_t, 3> entered{};  ///< how often each State was
  std::array<Sighting, mistake_count> mistakes{};
  std::uint32_t moves = 0;  ///< how many there were; the last eight are kept, number n at [n % 8]
  std::array<Move, 8> move{};
  std::uint32_t reigns = 0;
  std::array<Reign, 8> reign{};
};

/// The state machine of one VHID. Bytes belong to Node: here come advertisements as values, and out come wishes to
/// send. Source: FreeBSD sys/netinet/ip_carp.c. Thread-bound.
class Host {
 public:
  static constexpr unsigned errors_max = 3;  ///< in a row, until this node stands back; as many successes end it
  /// A backup advertises nothing that could succeed: a node that stands back for send errors tries its port instead.
  static constexpr std::chrono::seconds try_again{1};
  static constexpr unsigned announcements = 3;  ///< on becoming master, a second apart: frames get lost
  static constexpr std::chrono::seconds announce_again{1};
  /// Farewells: whoever misses all waits for the master-down time instead.
  static constexpr std::uint8_t bow_out_copies = 3;
  /// A master that hears a worse one says so at once, but not more often than this.
  static constexpr std::chrono::milliseconds assert_again{250};
  /// With a unicast peer no advertisement shows switches where the virtual Ethernet address is.
  static constexpr std::chrono::seconds unicast_refresh{30};
  /// After a change of the password or the addresses, what agrees with the former ones is still believed for so long:
  /// the other nodes are changed a moment before or after this one.
  static constexpr std::chrono::seconds grace{30};
  /// What a wrong HMAC means is found out by trying others, some 300 of them; begun no more after so many in a second.
  static constexpr unsigned hmacs_per_s_max = 1000;
  /// A master that hears a wrong HMAC announces its addresses, not more often than this.
  static constexpr std::chrono::seconds tell_stranger_again{10};

  Host(const HostConfig& config, std::uint8_t port, Demotion& demotion, Journal& journal, std::uint64_t seed);

  [[nodiscard]] const HostConfig& config() const noexcept { return config_; }
  [[nodiscard]] State state() const noexcept { return status_.state; }
  [[nodiscard]] const HostStatus& status() const noexcept { return status_; }
  /// Contract: there was one.
  [[nodiscard]] const HostStatus::Move& last_move() const noexcept { return status_.move[(status_.moves + 7) % 8]; }
  [[nodiscard]] bool has(wire::Family family) const noexcept {
    return family == wire::Family::inet ? has_inet_ : has_inet6_;
  }
  [[nodiscard]] bool has(const wire::CarpAddress& address) const noexcept;
  [[nodiscard]] const wire::Address& peer(wire::Family family) const noexcept {
    return family == wire::Family::inet ? config_.peer_inet : config_.peer_inet6;
  }
  [[nodiscard]] bool multicast(wire::Family family) const noexcept { return wire::is_multicast(family, peer(family)); }

  /// Goes on where `former`, of the same VHID under other settings, stands: its state, timers and counters become
  /// this one's, and no event is made of it. `former` is left without a meaning, to be destroyed. No allocation.
  /// Differs: FreeBSD leaves and enters BACKUP when an address comes or goes, and so hands over.
  void succeed(Host& former, Instant now) noexcept;

  // Events
  void on_event(Event event, Instant now) noexcept;
  /// An advertisement of this VHID over a family that it has. `own`: the address ours are sent from.
  /// Errors: badauth, badaddrs, looped.
  [[nodiscard]] std::optional<wire::CarpReject> on_advert(const wire::CarpAdvert& advert, const Source& source,
                                                          const wire::Address& own, Instant now) noexcept;
  /// Somebody announces this address with the virtual Ethernet address of this VHID.
  void on_claim(const wire::CarpAddress& address) noexcept;
  void on_vrrp(const Source& source, Instant now) noexcept { note(Mistake::vrrp_clash, source, {}, now); }
  /// `refused_since`: since when the port's device has taken no frame, if it takes none.
  void on_timeout(Instant now, std::optional<Instant> refused_since = std::nullopt) noexcept;
  [[nodiscard]] std::optional<Instant> timeout() const noexcept;
  /// The demotion has changed: a master says so now.
  void on_demotion(Instant now) noexcept;
  /// Nothing was received for so long that a master's silence means nothing: timers of a backup begin anew. A master
  /// announces its addresses again.
  void on_absence(Instant now) noexcept;

  /// A master advertises now, and again after an interval.
  void advertise_again(Instant now) noexcept;

  // What is to be sent
  [[nodiscard]] bool advert_due(wire::Family family) const noexcept {
    return due_[family == wire::Family::inet6 ? 1 : 0] > 0;
  }
  /// The advertisement that is due, with a counter and HMAC of its own.
  [[nodiscard]] wire::CarpAdvert take_advert(wire::Family family) noexcept;
  /// The next address to be announced by gratuitous ARP or an unsolicited neighbour advertisement.
  [[nodiscard]] const wire::CarpAddress* announcement() const noexcept {
    return announcing_ < config_.addresses.size() ? &config_.addresses[announcing_] : nullptr;
  }
  /// Every other round in the form of a reply: some hosts take only requests, some only replies.
  [[nodiscard]] bool announces_as_reply() const noexcept { return announcements_left_ % 2 == 1; }
  void announced() noexcept { ++announcing_; }
  /// Whether some frame is to be sent, whatever it is, that shows if the port takes any.
  [[nodiscard]] bool take_trial() noexcept { return std::exchange(trial_due_, false); }

  /// Whether the status has changed since this was last asked.
  [[nodiscard]] bool take_changed() noexcept { return std::exchange(publish_, false); }

 private:
  [[nodiscard]] Rank rank() const noexcept;
  void become(State state, Event event, Instant now) noexcept;
  void request_adverts(std::uint8_t copies, Instant now) noexcept;
  void announce(Instant now) noexcept;
  void wait_for_master(Instant now) noexcept;
  void reign_of(const Source& source, Instant now) noexcept;
  void hear_over(wire::Family family, Instant now) noexcept;
  [[nodiscard]] bool decides_ties(wire::Family family, Instant now) const noexcept;
  [[nodiscard]] bool announces() const noexcept;
  [[nodiscard]] bool is_own(const wire::CarpAdvert& advert) const noexcept;
  [[nodiscard]] bool is_believed(const wire::CarpAdvert& advert, Instant now) const noexcept;
  [[nodiscard]] std::uint64_t next_counter() noexcept;
  void note(Mistake mistake, const Source& source, const wire::CarpAdvert& advert, Instant now,
            const wire::CarpAddress& odd = {}) noexcept;
  [[nodiscard]] wire::CarpAddress explain(const wire::CarpAdvert& advert, Instant now) noexcept;
  [[nodiscard]] wire::CarpAddress odd_address(const wire::CarpAdvert& advert) noexcept;
  void announce_to_stranger(Instant now) noexcept;
  void note_sending(bool sent, Instant now) noexcept;
  void try_port(Instant now) noexcept;

  /// Sound advertisements of one family. `since`: from when on without a pause as long as the master-down time.
  struct Hearing {
    std::optional<Instant> at{};
    Instant since{};
  };
  /// What an advertisement is known by.
  struct Digests {
    Digests(const HostConfig& config, const wire::CarpKey& key, const std::vector<wire::CarpAddress>& list);
    [[nodiscard]] bool verify(const wire::CarpAdvert& advert) const noexcept {
      return all.verifies(advert) || (without_link_local && without_link_local->verifies(advert));
    }
    wire::CarpDigest all;
    std::optional<wire::CarpDigest> without_link_local;  ///< OpenBSD leaves those addresses out
  };

  HostConfig config_;
  wire::CarpKey key_;
  std::vector<wire::CarpAddress> list_;  ///< the addresses as they are hashed
  Digests digests_;
  bool has_inet_, has_inet6_;
  std::optional<Digests> former_digests_{};  ///< before the last change
  Instant former_until_{};
  Demotion* demotion_;
  Journal* journal_;
  std::uint8_t port_;
  Watch watch_;
  HostStatus status_;
  bool publish_ = true;

  Instant advert_at_{};                                ///< master: when the next advertisement is due
  Instant adverted_at_{};                              ///< and when the last one was
  std::array<std::optional<Instant>, 2> silent_at_{};  ///< backup: when the master is taken for dead, by family
  std::array<Hearing, 2> hearing_{};                   ///< by family
  std::array<std::uint8_t, 2> due_{};                  ///< advertisements to send, by family
  bool bowing_out_ = false;
  std::size_t announcing_ = SIZE_MAX;  ///< index of the next address to announce
  unsigned announcements_left_ = 0;
  Instant announce_at_{};

  std::uint64_t random_;
  bool heard_ = false;  ///< a sound advertisement of another node: its counter is continued
  std::uint64_t counter_ = 0;
  std::array<wire::CarpAdvert, 64> sent_{};  ///< the last ones, to know them again
  std::size_t sent_count_ = 0;
  std::array<wire::CarpAddress, 4> claims_{};  ///< of others, addresses that are not in our list
  std::size_t claims_count_ = 0;               ///< that there ever were: the last ones are kept
  wire::CarpAddress odd_{};                    ///< the last explanation
  Instant explained_since_{};
  unsigned hmacs_ = 0;  ///< tried since then, within a second
  std::optional<Instant> stranger_told_at_{};
  unsigned errors_ = 0, successes_ = 0;
  bool failing_ = false;
  bool trial_due_ = false;
  Instant tried_at_{};  ///< backup that is failing: when the last trial was wanted
};

}  // namespace pfsync::engine::carp
