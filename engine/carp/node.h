#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/carp/counters.h"
#include "engine/carp/demotion.h"
#include "engine/carp/host.h"
#include "engine/carp/journal.h"
#include "engine/fair_rate.h"
#include "engine/link/own_addresses.h"
#include "engine/published.h"
#include "wire/address.h"
#include "wire/arp.h"
#include "wire/bytes.h"
#include "wire/ethernet.h"
#include "wire/ip.h"

namespace pfsync::engine::carp {

struct NodeConfig {
  std::string name;       ///< of the port, as in "1@dev0"
  std::uint8_t port = 0;  ///< its number in the journal
  wire::MacAddress mac{};
  wire::Address inet{};  ///< own addresses, what advertisements are sent from; zeros: none
  wire::Address inet6{};
  std::optional<std::uint16_t> vlan{};
  std::vector<HostConfig> hosts;  ///< each VHID once
  bool answers_arp = false;       ///< for `inet`; where a pfsync link stands beside, that does
  std::uint64_t seed = 0;         ///< of the counters in advertisements: not to be guessed
};

/// All virtual hosts of one port: the door for their frames. Takes frames and a time, gives frames and a deadline.
/// Advertisements, ARP, neighbour discovery and echo for virtual addresses, the last three only while master.
/// No I/O inside; after construction no allocation and no throw. Thread-bound, but for what says otherwise.
class Node final : public OwnAddresses {
 public:
  static constexpr std::size_t answers_max = 32;  ///< that wait to be sent
  /// To questions for Ethernet addresses, and as many to echo requests, which have at most half of the places above.
  static constexpr unsigned answers_per_s_max = 1000;
  static constexpr std::size_t answer_bytes_max = 1600;  ///< an echo reply is as large as its request
  static constexpr std::chrono::seconds ask_again{1};    ///< for a unicast peer's Ethernet address

  /// `demotion` and `journal` outlive the node, and may be shared by the nodes of several ports.
  Node(const NodeConfig& config, Demotion& demotion, Journal& journal);

  // Events
  void on_frame(wire::Bytes frame, Instant now) noexcept;
  void on_timeout(Instant now) noexcept;
  /// Whether transmit may have something.
  [[nodiscard]] bool has_to_send() const noexcept { return to_send_; }
  [[nodiscard]] std::optional<Instant> timeout() const noexcept;
  /// Nothing was received for so long that silence means nothing: the process did not run.
  void on_absence(Instant now) noexcept;
  void set_link(bool up, Instant now) noexcept;
  /// Frames wait and the port's device takes none of them: what is written from now on is not sent, dropped or not,
  /// until the device takes a frame again.
  void on_port_refuses(Instant now) noexcept {
    if (!refused_since_) refused_since_ = now;
  }
  void on_port_takes() noexcept { refused_since_.reset(); }
  /// CARP as a whole, for this run of the process: disabled, it says farewell and stands still.
  void set_enabled(bool enabled, Instant now) noexcept { set_enabled(enabled, Event::disabled, now); }
  /// The process ends: farewell, too.
  void leave(Instant now) noexcept { set_enabled(false, Event::leaving, now); }
  /// Takes another list of hosts, that of `next`, in one go: a VHID that both have goes on where it stands, one that
  /// goes says farewell as when it is disabled, one that comes begins in INIT. `next` is made by successor() and holds
  /// afterwards what is to be destroyed, by who may. No allocation. While it runs no other thread reads.
  void adopt(Node& next, Instant now) noexcept;
  /// One host becomes master or backup; false when there is no such VHID or it is in INIT.
  bool order(std::uint8_t vhid, State state, Instant now) noexcept;

  /// The next frame to send, written into `frame`: its bytes, 0 when there is none.
  [[nodiscard]] std::size_t transmit(wire::Room frame, Instant now) noexcept;

  /// Whether packets for this address are ours to take: a virtual address whose master we are.
  [[nodiscard]] bool owns(wire::Family family, const wire::Address& address) const noexcept override;

  [[nodiscard]] const std::vector<Host>& hosts() const noexcept { return hosts_; }

  // Any thread
  /// What adopt() takes: `config` must be that of this node, but for its hosts.
  [[nodiscard]] std::unique_ptr<Node> successor(const NodeConfig& config) const;
  [[nodiscard]] bool enabled() const noexcept {
    return enabled_.load(std::memory_order_relaxed);
  }  // a flag alone: pairs with nothing
  [[nodiscard]] const NodeConfig& config() const noexcept { return config_; }
  [[nodiscard]] const PortCounters& counters() const noexcept { return counters_; }
  [[nodiscard]] HostStatus status(std::size_t host) const noexcept { return published_[host].read(); }

 private:
  struct Answer {
    std::array<std::uint8_t, answer_bytes_max> frame;
    std::size_t bytes = 0;
    std::uint8_t vhid = 0;  ///< given only while its master; 0: the node's own address
    Tally tally{};
  };
  /// A unicast peer of some host.
  struct Peer {
    wire::CarpAddress address{};
    std::optional<wire::MacAddress> mac{};
    bool wanted = false;
    std::optional<Instant> asked_at{};
  };

  /// A last advertisement of a host that is gone.
  struct Farewell {
    std::array<std::uint8_t, 96> frame;
    std::size_t bytes = 0;
  };

  void say_farewell(Host& host, Instant now) noexcept;
  void on_arp(const wire::EthernetFrame& ethernet) noexcept;
  void on_ip(const wire::EthernetFrame& ethernet, const wire::IpPacket& packet, Instant now) noexcept;
  [[nodiscard]] std::optional<wire::CarpReject> on_carp(const wire::EthernetFrame& ethernet,
                                                        const wire::IpPacket& packet, Instant now) noexcept;
  void on_neighbour(const wire::EthernetFrame& ethernet, const wire::IpPacket& packet) noexcept;
  void on_echo(const wire::EthernetFrame& ethernet, const wire::IpPacket& packet) noexcept;
  [[nodiscard]] Host* find(std::uint8_t vhid) noexcept {
    return index_[vhid] < 0 ? nullptr : &hosts_[static_cast<std::size_t>(index_[vhid])];
  }
  /// The host that answers for an address now; its Ethernet address is `mac`. Null with true: the node itself.
  [[nodiscard]] bool answers_for(const wire::CarpAddress& address, std::uint8_t& vhid,
                                 wire::MacAddress& mac) const noexcept;
  /// Whether a frame goes to a group, to `mac` or to the port's own Ethernet address.
  [[nodiscard]] bool is_for(const wire::EthernetFrame& ethernet, const wire::MacAddress& mac) const noexcept;
  [[nodiscard]] const wire::Address& own(wire::Family family) const noexcept {
    return family == wire::Family::inet ? config_.inet : config_.inet6;
  }
  [[nodiscard]] Peer* peer_at(const wire::CarpAddress& address) noexcept;
  void learn(const wire::CarpAddress& address, const wire::MacAddress& mac) noexcept;
  void watch_claim(const wire::CarpAddress& address, const wire::MacAddress& mac) noexcept;

  [[nodiscard]] std::size_t write_advert(Host& host, wire::Family family, wire::Room frame) noexcept;
  [[nodiscard]] std::size_t write_announcement(const Host& host, const wire::CarpAddress& address,
                                               wire::Room frame) const noexcept;
  [[nodiscard]] std::size_t write_question(const wire::CarpAddress& address, wire::Room frame) const noexcept;
  /// Ethernet and IP headers in front of a payload of that many bytes; where the payload belongs.
  [[nodiscard]] wire::Room write_headers(const wire::MacAddress& to, const wire::MacAddress& from,
                                         const wire::IpHeaderFields& ip, std::size_t payload,
                                         wire::Room frame) const noexcept;
  [[nodiscard]] wire::Room payload_room(wire::Family family, wire::Room frame) const noexcept;
  /// Null when too many wait, or the rate is used up; counted.
  [[nodiscard]] Answer* new_answer(AnswerRate& rate, const wire::MacAddress& asker) noexcept;

  void set_enabled(bool enabled, Event why, Instant now) noexcept;
  /// After anything that may have changed a host: what follows for all of them.
  void settle(Instant now) noexcept;
  void publish() noexcept;

  NodeConfig config_;
  Demotion* demotion_;
  Journal* journal_;
  std::uint64_t demotion_seen_;
  std::vector<Host> hosts_;
  std::array<std::int16_t, 256> index_{};
  std::vector<Peer> peers_;
  PortCounters counters_;
  std::unique_ptr<Published<HostStatus>[]> published_;
  std::unique_ptr<std::array<Answer, answers_max>> answers_;
  std::size_t answers_begin_ = 0, answers_count_ = 0;
  std::vector<Farewell> farewells_;  ///< room for those of all hosts that may go
  std::size_t farewells_begin_ = 0, farewells_end_ = 0;
  std::atomic<bool> enabled_{true};
  bool up_ = false, down_counted_ = false;
  std::optional<Instant> refused_since_{};  ///< by the device
  bool to_send_ = false;                    ///< there may be something for transmit()
  Instant now_{};                           ///< of the frame that is looked at
  AnswerRate resolutions_{answers_per_s_max, 2 * answers_max}, echoes_{answers_per_s_max, 2 * answers_max};
};

}  // namespace pfsync::engine::carp
