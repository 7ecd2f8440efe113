#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/counters.h"
#include "engine/fair_rate.h"
#include "engine/link/arrival.h"
#include "engine/link/own_addresses.h"
#include "statetable/time.h"
#include "wire/address.h"
#include "wire/bytes.h"
#include "wire/dialect.h"
#include "wire/ip.h"
#include "wire/state.h"

namespace pfsync::engine {

/// A unicast destination.
struct LinkPeer {
  wire::Address address{};
  std::optional<wire::MacAddress> mac{};  ///< needs no resolving
  /// A shared address to send from, and to send only while it is ours; none: the own address.
  std::optional<wire::Address> source{};
};

/// Who may send to us.
struct LinkSource {
  wire::Address address{};
  std::optional<wire::MacAddress> mac{};  ///< and from where; none: from anywhere

  friend bool operator==(const LinkSource&, const LinkSource&) = default;
};

struct LinkConfig {
  wire::MacAddress mac{};
  wire::Family family = wire::Family::inet;
  wire::Address address{};                              ///< own, source of what is sent
  wire::Address destination = wire::pfsync_group_inet;  ///< a group, or the one peer
  std::optional<wire::MacAddress> peer_mac{};           ///< of the one peer, as in LinkPeer
  std::vector<LinkPeer> peers{};                        ///< instead of the two above, when there are several
  std::optional<std::uint16_t> vlan{};
  std::size_t mtu = 1500;  ///< bytes from the IP header on; at least 576
  /// Who may send to us; empty: anybody on a multicast link, only the peers on a unicast one.
  /// Of several peers each is known by its source address, so that nobody else's packets are taken.
  std::vector<LinkSource> sources{};
};

/// The one door between frames and the session: checks what comes in, in the kernels' order, wraps
/// what goes out, answers ARP and finds the peers' Ethernet addresses, since no kernel stands behind the port. No I/O
/// inside. Thread-bound.
/// Source: FreeBSD sys/netpfil/pf/if_pfsync.c, pfsync_input(); RFC 826 for ARP, RFC 4861 for IPv6.
class Link {
 public:
  using Instant = statetable::Instant;
  static constexpr std::chrono::seconds resolve_retry{1};
  /// A peer's Ethernet address is asked for anew when it has not been heard for this long; the old one is used
  /// meanwhile.
  static constexpr std::chrono::seconds reachable{60};
  /// A peer that was heard once, but neither by ARP or neighbour discovery nor by a packet for `probe_after`, is asked
  /// whether it is there; who does not answer for `silent_after` is taken for dead. In a group that is whoever
  /// spoke last. A peer whose Ethernet address is configured is not asked: it may have a reason.
  static constexpr std::chrono::seconds probe_after{10}, silent_after{16};
  /// ARP requests answered in a second.
  static constexpr unsigned answers_per_s = 1000;
  /// Largest room that headers take: Ethernet with a tag, IPv6.
  static constexpr std::size_t headers_max = 18 + 40;

  /// Refusals are counted in `counters`, which the session owns.
  Link(const LinkConfig& config, Counters& counters);

  /// Packets for these are taken as well, and peers that know us by one of them are spoken with. Outlives the link;
  /// null: none.
  void take_also(const OwnAddresses* more) noexcept { more_addresses_ = more; }

  /// Takes the peers and the sources of `next`, a link of the same port. `before`: for each of its peers, as which of
  /// the present ones it goes on, so that its Ethernet address is known; none: it is new. No allocation.
  void adopt(Link& next, std::span<const std::optional<std::size_t>> before) noexcept;

  /// The pfsync packet of a frame, borrowed from it; nullopt when it holds none for us.
  [[nodiscard]] std::optional<Arrival> on_frame(wire::Bytes frame) noexcept;

  /// Whether the peer is ours to speak with: it may know us by a shared address that another node holds now.
  [[nodiscard]] bool may_speak(unsigned peer = 0) const noexcept;
  /// Whether pfsync packets can be sent now: a peer's Ethernet address may not be known yet.
  [[nodiscard]] bool can_send(unsigned peer = 0) const noexcept {
    return peers_[peer].mac.has_value() && may_speak(peer);
  }
  /// Since when a peer has given no sign of life, although it was asked for one; nullopt: it has, or never did.
  [[nodiscard]] std::optional<Instant> silent_since(unsigned peer, Instant now) const noexcept;
  /// Where the pfsync packet belongs in a frame's room, MTU and headers considered; empty when the room
  /// is too small.
  [[nodiscard]] wire::Room packet_room(wire::Room frame, wire::Dialect dialect) const noexcept;
  /// Writes the headers in front of a packet of that many bytes that stands in `packet_room(frame)`.
  /// Returns the frame's bytes. Contract: can_send(peer).
  [[nodiscard]] std::size_t finish(wire::Room frame, std::size_t packet_bytes, unsigned peer = 0) const noexcept;

  /// A frame for finding Ethernet addresses, if one is due: an answer to ARP, or a question for a peer by ARP or
  /// neighbour solicitation. 0: none.
  [[nodiscard]] std::size_t transmit_resolution(wire::Room frame, Instant now) noexcept;

  /// Frames that were neither pfsync nor ARP for us, and ARP requests answered.
  [[nodiscard]] std::uint64_t frames_other() const noexcept { return frames_other_.value(); }
  [[nodiscard]] std::uint64_t arp_replies() const noexcept { return arp_replies_.value(); }
  /// Those not answered, since there were too many.
  [[nodiscard]] std::uint64_t answers_dropped() const noexcept { return answers_dropped_.value(); }
  [[nodiscard]] std::uint64_t arp_requests() const noexcept { return arp_requests_.value(); }
  [[nodiscard]] std::uint64_t neighbour_requests() const noexcept { return neighbour_requests_.value(); }

 private:
  void on_arp(wire::Bytes payload) noexcept;
  void on_neighbour(const wire::IpPacket& packet) noexcept;
  /// What a peer says of itself, question or answer, is taken (RFC 826, "Merge_flag"; RFC 4861, 7.2.3 and 7.2.5).
  void learn(const wire::Address& address, const wire::MacAddress& mac) noexcept;
  struct Peer;
  [[nodiscard]] std::size_t write_question(const wire::Address& of, wire::Room frame) const noexcept;
  void note_alive(Peer& peer, const wire::Address& who) const noexcept;
  [[nodiscard]] static bool wants_probe(const Peer& peer, Instant now) noexcept;
  /// Whether a source is listed; `elsewhere`: only with other Ethernet addresses.
  enum class Listed : std::uint8_t { no, elsewhere, yes };
  [[nodiscard]] Listed listed(const wire::Address& address, const wire::MacAddress& mac) const noexcept;
  /// Whether a peer's own packets come from another Ethernet address than the configured one, which is not listed.
  [[nodiscard]] bool is_elsewhere(const Peer& peer, const wire::Address& source,
                                  const wire::MacAddress& mac) const noexcept;
  /// Which peer's the packets of a source are; nullopt: it may not send.
  [[nodiscard]] std::optional<unsigned> peer_of(const wire::Address& source, Listed listed) const noexcept;
  [[nodiscard]] std::size_t ethernet_bytes() const noexcept { return config_.vlan ? 18 : 14; }

  LinkConfig config_;
  bool multicast_;
  struct Peer {
    wire::Address address{};
    std::optional<wire::MacAddress> mac{};
    bool is_resolved = false;  ///< by us: `mac` may be learned
    std::optional<wire::Address> source{};
    std::optional<Instant> asked_at{};
    Instant heard_at{};                    ///< when it last said where it is
    Instant alive_at{};                    ///< that, or a packet
    std::optional<wire::Address> alive{};  ///< who is asked for a sign of life; none: nobody was heard
    bool has_answered = false;             ///< it has said where it is: its silence means something
    std::optional<Instant> probed_at{};    ///< since the last sign: the first question
  };
  std::vector<Peer> peers_;
  struct Answer {
    wire::MacAddress mac{};
    wire::Address address{};
  };
  static constexpr std::size_t answers_max = 32;  ///< that wait to be sent
  std::array<Answer, answers_max> answers_due_{};
  std::size_t answers_due_count_ = 0;
  Counters* counters_;
  const OwnAddresses* more_addresses_ = nullptr;
  AnswerRate answers_{answers_per_s, answers_max};
  Instant now_{};  ///< of the last transmit_resolution
  Counter frames_other_, arp_replies_, arp_requests_, neighbour_requests_, answers_dropped_;
};

}  // namespace pfsync::engine
