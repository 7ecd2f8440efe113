#include "engine/control/health.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <tuple>

#include "engine/session/peer_watch.h"
#include "statetable/names.h"

namespace pfsync::engine {

using std::chrono::seconds;

namespace {

constexpr std::array windows{seconds{10}, seconds{60}, seconds{300}};
constexpr seconds bulk_patience{7};    // the second request has had time to be answered
constexpr seconds alone_patience{10};  // so long a start is waited for, too, see Readiness
constexpr seconds names_last{60}, refused_last{60};

/// It names the peer, or a node of the group that it is.
bool is_about(const Reason& reason, const PeerFacts& peer) {
  return reason.peer == peer.address ||
         std::ranges::any_of(peer.nodes, [&](const NodeFacts& node) { return node.address == reason.peer; });
}

double seconds_between(statetable::Instant from, statetable::Instant to) {
  return std::max(std::chrono::duration<double>(to - from).count(), 0.0);
}

/// "igb0, igb1 and 2 more"
std::string list_of(const std::vector<std::string>& names) {
  constexpr std::size_t listed = 3;
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), listed); ++i) text += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > listed) text += fmt::format(" and {} more", names.size() - listed);
  return text;
}

PeerCounts difference(const PeerCounts& now, const PeerCounts& then) {
  return {.packets_received = now.packets_received - then.packets_received,
          .packets_refused = now.packets_refused - then.packets_refused,
          .packets_full = now.packets_full - then.packets_full,
          .inserts_received = now.inserts_received - then.inserts_received,
          .insert_packets_received = now.insert_packets_received - then.insert_packets_received,
          .missed = now.missed - then.missed,
          .unknown = now.unknown - then.unknown,
          .stale = now.stale - then.stale,
          .inserts_sent = now.inserts_sent - then.inserts_sent,
          .insert_packets_sent = now.insert_packets_sent - then.insert_packets_sent,
          .asked = now.asked - then.asked,
          .missed_by_peer = now.missed_by_peer - then.missed_by_peer,
          .asked_again = now.asked_again - then.asked_again,
          .probes_received = now.probes_received - then.probes_received,
          .names_unmapped = now.names_unmapped - then.names_unmapped};
}

/// Whether it is another peer of the same address, or one that was forgotten meanwhile.
bool is_behind(const PeerCounts& now, const PeerCounts& then) {
  return now.packets_received < then.packets_received || now.inserts_sent < then.inserts_sent ||
         now.names_unmapped < then.names_unmapped;
}

/// And so hears this node. Another engine asks for states without hearing anything, too, as a sign of life and to
/// compare them, but for none that is young.
bool asks_for_what_is_told(const PeerCounts& recent) {
  return recent.missed_by_peer + recent.asked_again > 0 || (recent.asked > 0 && recent.probes_received == 0);
}

/// One packet that was lost is no loss to speak of, nor a few in very many.
bool is_loss(const LossEstimate& loss, std::uint64_t packets) {
  constexpr std::uint64_t states_min = 3;
  constexpr double packets_min = 1.5, percent_min = 0.25;
  if (loss.missed < states_min || loss.percent < percent_min) return false;
  const double a_packet = packets == 0 ? 1 : static_cast<double>(loss.told) / static_cast<double>(packets);
  return static_cast<double>(loss.missed) / std::max(a_packet, 1.0) >= packets_min;
}

/// No exponent, as {:.2g} has of 100.
std::string two_digits(double percent) {
  return percent < 10 ? fmt::format("{:.2g}", percent) : fmt::format("{:.0f}", percent);
}

std::string percent_text(const LossEstimate& loss) {
  return fmt::format("about {} % ({} to {})", two_digits(loss.percent), two_digits(loss.low), two_digits(loss.high));
}

}  // namespace

LossEstimate estimate_loss(std::uint64_t told, std::uint64_t packets, std::uint64_t missed, double window_s) noexcept {
  LossEstimate loss{.missed = missed, .told = told, .window_s = window_s};
  if (told + missed == 0) return loss;
  const double a_packet = packets == 0 ? 1 : std::max(static_cast<double>(told) / static_cast<double>(packets), 1.0);
  const double lost = static_cast<double>(missed) / a_packet;
  const double n = static_cast<double>(packets) + lost;
  if (n <= 0) return loss;
  constexpr double z = 1.96;
  const double p = lost / n;
  const double middle = (p + z * z / (2 * n)) / (1 + z * z / n);
  const double half = z * std::sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n);
  loss.percent = 100 * p;
  loss.low = 100 * std::max(middle - half, 0.0);
  loss.high = 100 * std::min(middle + half, 1.0);
  return loss;
}

HealthMonitor::Growth HealthMonitor::growth(const History& history, Instant now, seconds window, Instant from) {
  if (history.samples.empty()) return {};
  const Instant begin = std::max(now - window - sample_every, from);
  const auto first = std::ranges::find_if(history.samples, [&](const Sample& sample) { return sample.at >= begin; });
  if (first == history.samples.end()) return {};
  const Sample& last = history.samples.back();
  return {difference(last.counts, first->counts), seconds_between(first->at, last.at)};
}

void HealthMonitor::remember(const HealthFacts& facts) {
  std::erase_if(histories_, [&](const auto& one) {
    return std::ranges::none_of(facts.peers, [&](const PeerFacts& peer) { return peer.address == one.first; });
  });
  const bool has_refused = facts.states_refused != states_refused_;
  for (const PeerFacts& peer : facts.peers) {
    History& history = histories_[peer.address];
    if (!history.samples.empty() && is_behind(peer.counts, history.samples.back().counts)) history = {};
    // New states whose insert came before this node was there, or lay in the bulk update.
    const bool is_asking = peer.phase == BulkPhase::asked || peer.phase == BulkPhase::receiving;
    if (is_asking || history.samples.empty()) history.in_from = facts.now + seconds{2};
    // What was said while nothing of it arrived is told by that; whoever asks for it now lacks no single packets.
    for (const NodeFacts& node : peer.nodes)
      if (node.heard_again_at != Instant{}) {
        history.in_from = std::max(history.in_from, node.heard_again_at + PeerWatch::young);
        history.out_from = std::max(history.out_from, node.heard_again_at + PeerWatch::young);
      }
    // Nor was lost what this node had no room for; its later messages are of states that are as new.
    if (has_refused) history.in_from = facts.now + PeerWatch::young;
    const bool was_served = peer.is_served || peer.bulks_served != history.bulks_served;
    history.bulks_served = peer.bulks_served;
    if (was_served || history.samples.empty()) history.out_from = facts.now + seconds{2};
    if (!history.samples.empty() && facts.now < history.samples.back().at + sample_every) continue;
    history.samples.push_back({facts.now, peer.counts});
    while (history.samples.front().at + remembered + seconds{2} < facts.now) history.samples.pop_front();
  }
  if (has_refused) states_refused_at_ = facts.now;
  states_refused_ = facts.states_refused;
  // What is sent without a link is lost for want of that, also until the moment at which it was there again.
  if (!facts.link_up || !link_was_up_) dropped_.clear();
  link_was_up_ = facts.link_up;
  if (dropped_.empty() || facts.now >= dropped_.back().at + sample_every)
    dropped_.push_back({facts.now, facts.frames_received, facts.frames_dropped});
  while (dropped_.front().at + windows[0] < facts.now) dropped_.pop_front();
}

void HealthMonitor::add(Verdict level, Trouble trouble, const std::string& peer, std::string sentence) {
  health_.reasons.push_back({level, trouble, peer, std::move(sentence)});
}

bool HealthMonitor::has(Trouble trouble, const std::string& peer) const {
  return std::ranges::any_of(health_.reasons,
                             [&](const Reason& one) { return one.trouble == trouble && one.peer == peer; });
}

// --- this node -----------------------------------------------------------------------------------------

void HealthMonitor::judge_node(const HealthFacts& facts) {
  if (!facts.link_up)
    add(Verdict::failed, Trouble::link, "", "the link is down: check the cable or the device " + facts.device);
  for (const std::string& device : facts.standing_still)
    add(Verdict::failed, Trouble::mtu, "",
        fmt::format(
            "nothing leaves {} any more: it drops the first frame that waits again and again, most likely since that "
            "is longer than the other end of this virtual link takes: raise the MTU there, or lower it here and in "
            "the configuration, and restart",
            device));
  // What was said meanwhile, and was not heard, is no peer's fault.
  if (facts.link_stands_still) {
    heard_again_from_ = facts.now + seconds{3};
    std::erase_if(held_, [](const auto& one) { return !one.second.reason.peer.empty(); });
  }
  if (facts.states_refused > 0) {
    const bool is_now = facts.now < states_refused_at_ + refused_last;
    add(is_now ? Verdict::failed : Verdict::degraded, Trouble::table, "",
        fmt::format("{} states were refused because the table is full: raise table.states_max", facts.states_refused));
  }
  if (facts.names_refused > 0)
    add(Verdict::degraded, Trouble::names, "",
        fmt::format(
            "{} states have a name (of an interface, or a tag) for which there was no number: {} different ones "
            "were told since the start, and are kept: list who may speak in link.sources, and restart",
            facts.names_refused, statetable::names_max));
  constexpr std::uint64_t dropped_min = 10, share_max = 1000;
  const std::uint64_t dropped = dropped_.back().dropped - dropped_.front().dropped;
  const std::uint64_t frames = dropped_.back().frames - dropped_.front().frames;
  if (dropped_.back().dropped >= dropped_.front().dropped && dropped >= dropped_min && dropped * share_max >= frames)
    add(Verdict::degraded, Trouble::drops, "",
        fmt::format(
            "{} frames were dropped on this machine within the last {:.0f} s ({}): give the data path a core of "
            "its own, or more of them",
            dropped, seconds_between(dropped_.front().at, facts.now), facts.drops));
  if (!facts.divergence.empty()) add(Verdict::degraded, Trouble::divergence, facts.divergence_peer, facts.divergence);
  if (!facts.carp.empty()) add(Verdict::degraded, Trouble::carp, "", facts.carp);
  if (!facts.config_sync.empty()) add(Verdict::degraded, Trouble::config_sync, "", facts.config_sync);
  if (!facts.snapshot.empty()) add(Verdict::degraded, Trouble::snapshot, "", facts.snapshot);
}

// --- a peer --------------------------------------------------------------------------------------------

void HealthMonitor::judge_peer(const HealthFacts& facts, const PeerFacts& peer) {
  if (!peer.active || !facts.link_up || facts.now < heard_again_from_) return;
  const History& history = histories_[peer.address];
  judge_answers(facts, peer, history);
  judge_bulk(facts, peer);
  judge_content(facts, peer, history);
  judge_losses(facts, peer, history);
  judge_samples(peer);
  if (peer.silent_since)
    add(Verdict::degraded, Trouble::silent, peer.address,
        fmt::format("the sync peer {} has not answered for {:.0f} s: check it and the network between", peer.address,
                    seconds_between(*peer.silent_since, facts.now)));
}

bool HealthMonitor::has_lost_full_packets(const History& history, Instant now) {
  constexpr std::uint64_t full_min = 30, short_min = 1;
  const PeerCounts lately = growth(history, now, seconds{4}, {}).counts;
  const PeerCounts minute = growth(history, now, windows[1], {}).counts;
  // Whoever misses this node says less: that its long questions come shows that its full packets would.
  if (lately.probes_received > 0) return false;
  // A hundredth of a minute's within four seconds is none: a few that are nearly full still pass.
  return lately.packets_full * 100 <= minute.packets_full && lately.packets_received >= short_min &&
         minute.packets_full >= full_min;
}

void HealthMonitor::judge_answers(const HealthFacts& facts, const PeerFacts& peer, const History& history) {
  const PeerCounts recent = growth(history, facts.now, windows[0], {}).counts;
  const auto mute = [&](const std::string& who, Instant since, std::uint32_t questions) {
    add(Verdict::failed, Trouble::mute, who,
        fmt::format(
            "nothing was heard of {} for {:.0f} s, and {} questions were left unanswered: check that it runs, that "
            "it sends pfsync (an MTU above 4080 silences FreeBSD's), and the network between{}",
            who, seconds_between(since, facts.now), questions,
            peer.is_group ? "; when it was taken away for good: pfsyncctl forget " + who : ""));
  };
  for (const NodeFacts& node : peer.nodes) {
    if (node.unanswered >= unanswered_max) {
      // It has said something since a question had time to be answered.
      if (node.heard_at <= node.silent_since + seconds{1}) {
        mute(node.address, node.heard_at, node.unanswered);
        continue;
      }
      // What it did not hear while it was silent is no sign of anything else.
      if (facts.now < node.heard_again_at + heard_again) continue;
      if (has_lost_full_packets(history, facts.now)) {
        add(Verdict::failed, Trouble::mtu, node.address,
            fmt::format(
                "of {} only short packets arrive any more, and few answers: its full ones are lost: compare its MTU "
                "with the {} here, and that of what is between",
                node.address, facts.mtu));
        continue;
      }
      if (asks_for_what_is_told(recent) && peer.nodes.size() == 1) {
        add(Verdict::failed, Trouble::refused, node.address,
            fmt::format(
                "{} hears this node, but has none of the {} states that it was asked for: it does not keep what it "
                "is given{}, most often since it has no such interfaces (give it an interface_map), or does not take "
                "dialect {}",
                node.address, node.unanswered,
                peer.refused_names.empty() ? "" : " (bound to " + list_of(peer.refused_names) + ")",
                wire::word(peer.dialect)));
        continue;
      }
      add(Verdict::failed, Trouble::deaf, node.address,
          fmt::format(
              "{} does not hear this node: it is heard, but left {} questions within {:.0f} s unanswered: check "
              "that it lets protocol 240 in from {}, and has it as its peer or its group",
              node.address, node.unanswered, seconds_between(node.silent_since, facts.now), facts.own_address));
      continue;
    }
    if (node.unanswered_long >= unanswered_long_max && node.unanswered <= 1)
      add(Verdict::failed, Trouble::mtu, node.address,
          fmt::format("packets of {} bytes do not reach {}, shorter ones do: something on the way has a smaller MTU; "
                      "raise it there, or lower link.mtu",
                      facts.mtu, node.address));
    else if (node.unanswered_ours >= unanswered_ours_max)
      add(Verdict::degraded, Trouble::refused, node.address,
          fmt::format(
              "{} answers, but not for states that this node told it: it does not keep them, most often since it "
              "has no interface of their names (give it an interface_map) or its table is full",
              node.address));
  }
  if (peer.nodes.empty() && !peer.is_group && peer.unanswered >= unanswered_max)
    mute(peer.address, peer.unanswered_since, peer.unanswered);
}

void HealthMonitor::judge_bulk(const HealthFacts& facts, const PeerFacts& peer) {
  if (peer.phase == BulkPhase::failed) {
    add(Verdict::failed, Trouble::bulk, peer.address,
        fmt::format("no peer answered {} requests for a bulk update: check that one is on the link and speaks pfsync, "
                    "then run pfsyncctl resync",
                    peer.tries));
    return;
  }
  if (peer.phase != BulkPhase::asked || peer.tries < 2 || peer.bulk_taking < bulk_patience) return;
  if (peer.is_group && !peer.heard_at) {  // in a group nobody is missed who was never heard
    if (peer.bulk_taking >= alone_patience)
      add(Verdict::degraded, Trouble::alone, peer.address,
          fmt::format("nobody has been heard in the group {} yet, nor answered for {:.0f} s: where there is a peer, "
                      "check that it sends to this group on the network of {}, and not to one address",
                      peer.address, std::chrono::duration<double>(peer.bulk_taking).count(), facts.device));
    return;
  }
  const bool is_heard = peer.heard_at && *peer.heard_at > facts.now - peer.bulk_taking;
  const std::string who =
      peer.is_group ? peer.nodes.size() == 1 ? peer.nodes.front().address : "the group " + peer.address : peer.address;
  if (is_heard) {
    if (!has(Trouble::deaf, who))
      add(Verdict::failed, Trouble::deaf, who,
          fmt::format("{} does not hear this node: it is heard, but has not answered {} requests for its states: check "
                      "that it lets protocol 240 in from {}, and has it as its peer or its group",
                      who, peer.tries, facts.own_address));
  } else if (!peer.is_group && !has(Trouble::mute, who)) {
    add(Verdict::failed, Trouble::mute, who,
        fmt::format(
            "nothing is heard of {}: it has not answered {} requests for its states: check that it runs, that it "
            "sends pfsync to {} (an MTU above 4080 silences FreeBSD's), and the network between",
            who, peer.tries, facts.own_address));
  }
}

void HealthMonitor::judge_content(const HealthFacts& facts, const PeerFacts& peer, const History& history) {
  if (!peer.apart.empty())
    add(Verdict::failed, Trouble::dialect, peer.address,
        fmt::format("{} {} not take the dialect {} that is written to {}: {}", list_of(peer.apart),
                    peer.apart.size() == 1 ? "does" : "do", wire::word(peer.dialect),
                    peer.apart.size() == 1 ? "it" : "them",
                    peer.dialect_is_fixed ? "set dialect = \"auto\", or its own (ifconfig pfsync0 shows the version)"
                                          : "FreeBSD and OpenBSD have none in common, give each a link of its own"));
  const auto& [recent, recent_s] = growth(history, facts.now, windows[0], {});
  if (recent.packets_refused >= 3 && recent.packets_refused * 10 >= recent.packets_received)
    add(Verdict::degraded, Trouble::unreadable, peer.address,
        fmt::format("{} of {} packets from {} could not be read within {:.0f} s: it speaks a version that is not known "
                    "here, or they are damaged: pfsyncctl show counters tells which (badver, badact, badlen)",
                    recent.packets_refused, recent.packets_received, peer.address, recent_s));
  const PeerCounts out = growth(history, facts.now, windows[0], history.out_from).counts;
  constexpr std::uint64_t again_min = 5;
  if (!has(Trouble::refused, peer.address) && out.asked_again >= again_min &&
      out.asked_again * 5 >= out.missed_by_peer + out.asked_again)
    add(Verdict::failed, Trouble::refused, peer.address,
        fmt::format(
            "{} asks again for states that it was given ({} times in {:.0f} s, bound to {}): it does not keep them, "
            "most often since it has no such interface: give it an interface_map; or it does not take dialect {}",
            peer.address, out.asked_again, recent_s,
            peer.refused_names.empty() ? "no interface" : list_of(peer.refused_names), wire::word(peer.dialect)));
  if (growth(history, facts.now, names_last, {}).counts.names_unmapped > 0 ||
      (history.samples.size() == 1 && peer.counts.names_unmapped > 0))
    add(Verdict::degraded, Trouble::names, peer.address,
        fmt::format(
            "interface names met towards {} have no row in its interface_map ({}): states bound to them are useless "
            "where no interface has that name: add a row for each",
            peer.address, list_of(peer.unmapped_names)));
}

/// What samples show of a peer with which something else is wrong follows from that.
void HealthMonitor::judge_samples(const PeerFacts& peer) {
  if (!peer.differing || has(Trouble::divergence, peer.address)) return;
  const auto is_failing = [&](const Reason& reason) {
    return reason.level == Verdict::failed && is_about(reason, peer);
  };
  if (std::ranges::any_of(health_.reasons, is_failing)) return;
  const auto& [share, low, high, judged] = *peer.differing;
  add(Verdict::degraded, Trouble::divergence, peer.address,
      fmt::format("{} has about {:.1f} % of the states otherwise than here, or not at all ({:.1f} to {:.1f}, by {} "
                  "samples): let it ask for all states (ifconfig pfsync0 syncdev IFACE on a firewall, pfsyncctl resync "
                  "on another engine)",
                  peer.address, 100 * share, 100 * low, 100 * high, judged));
}

void HealthMonitor::judge_losses(const HealthFacts& facts, const PeerFacts& peer, const History& history) {
  PeerHealth& shown = health_.peers.emplace_back();
  shown.address = peer.address;
  const Growth recent = growth(history, facts.now, windows[0], {});
  if (recent.window_s > 0) {
    shown.unknown_per_s = static_cast<double>(recent.counts.unknown) / recent.window_s;
    shown.stale_per_s = static_cast<double>(recent.counts.stale) / recent.window_s;
  }
  constexpr double most_percent = 50;
  std::optional<LossEstimate> in, out;
  for (const seconds window : windows) {
    const Growth heard = growth(history, facts.now, window, history.in_from);
    const LossEstimate lost_in = estimate_loss(heard.counts.inserts_received, heard.counts.insert_packets_received,
                                               heard.counts.missed, heard.window_s);
    if (!in && is_loss(lost_in, heard.counts.insert_packets_received)) in = lost_in;
    const Growth told = growth(history, facts.now, window, history.out_from);
    // Some of what was told and asked for arrived: it is counted on one side.
    const std::uint64_t arrived =
        told.counts.inserts_sent - std::min(told.counts.missed_by_peer, told.counts.inserts_sent);
    const std::uint64_t packets_arrived =
        told.counts.inserts_sent == 0 ? 0 : told.counts.insert_packets_sent * arrived / told.counts.inserts_sent;
    const LossEstimate lost_out = estimate_loss(arrived, packets_arrived, told.counts.missed_by_peer, told.window_s);
    if (!out && is_loss(lost_out, told.counts.insert_packets_sent)) out = lost_out;
    if (window == windows[1]) {
      shown.loss_in = lost_in;
      shown.loss_out = lost_out;
    }
  }
  if (in && in->percent >= most_percent)
    add(Verdict::failed, Trouble::mtu, peer.address,
        fmt::format(
            "of what {} opens only what is asked for arrives ({} of {} states within {:.0f} s): its full packets are "
            "lost: compare its MTU with the {} here, and that of what is between",
            peer.address, in->missed, in->missed + in->told, in->window_s, facts.mtu));
  else if (in)
    add(Verdict::degraded, Trouble::loss_in, peer.address,
        fmt::format(
            "{} of what {} says is lost: {} of {} new states had to be asked for within {:.0f} s: look for errors on "
            "cables, the switch and both ports",
            percent_text(*in), peer.address, in->missed, in->missed + in->told, in->window_s));
  if (out && !is_loss_explained(peer))
    add(Verdict::degraded, Trouble::loss_out, peer.address,
        fmt::format(
            "{} of what is said to {} is lost: it asked for {} of {} new states within {:.0f} s: look for errors on "
            "cables, the switch and both ports, and whether it drops packets",
            percent_text(*out), peer.address, out->missed, out->missed + out->told, out->window_s));
}

bool HealthMonitor::is_loss_explained(const PeerFacts& peer) const {
  return has(Trouble::refused, peer.address) || std::ranges::any_of(health_.reasons, [&](const Reason& reason) {
           return (reason.trouble == Trouble::mtu || reason.trouble == Trouble::dialect) && is_about(reason, peer);
         });
}

// --- the verdict ---------------------------------------------------------------------------------------

/// It has answered for some time since then.
bool HealthMonitor::is_heard_well(const HealthFacts& facts, const std::string& address, Instant since) {
  for (const PeerFacts& peer : facts.peers)
    for (const NodeFacts& node : peer.nodes)
      if (node.address == address) return node.unanswered == 0 && node.answered_at >= since + heard_again;
  return false;
}

/// What is over stands for a while. Not what is seen to be over: a link that is up again, a bulk update that came.
void HealthMonitor::keep_recent(const HealthFacts& facts) {
  const auto is_held = [](Trouble trouble) {
    return trouble != Trouble::link && trouble != Trouble::bulk && trouble != Trouble::table &&
           trouble != Trouble::carp && trouble != Trouble::config_sync && trouble != Trouble::snapshot &&
           trouble != Trouble::silent && trouble != Trouble::divergence && trouble != Trouble::alone;
  };
  for (const Reason& reason : health_.reasons)
    if (is_held(reason.trouble)) held_[{reason.trouble, reason.peer}] = {reason, facts.now};
  // What looked like a loss for a moment may have got another name.
  const auto is_explained = [&](const std::string& address) {
    const auto peer = std::ranges::find(facts.peers, address, &PeerFacts::address);
    return peer != facts.peers.end() && is_loss_explained(*peer);
  };
  std::erase_if(held_, [&](const auto& one) {
    const auto& [trouble, peer] = one.first;
    return one.second.seen_at + hold <= facts.now || (trouble == Trouble::loss_out && is_explained(peer)) ||
           ((trouble == Trouble::mute || trouble == Trouble::deaf) && is_heard_well(facts, peer, one.second.seen_at));
  });
  for (const auto& [key, held] : held_)
    if (!has(key.first, key.second)) health_.reasons.push_back(held.reason);
}

void HealthMonitor::conclude(const HealthFacts& facts) {
  std::ranges::stable_sort(health_.reasons, [](const Reason& a, const Reason& b) {
    return std::tuple{b.level, a.trouble} < std::tuple{a.level, b.trouble};
  });
  if (!health_.reasons.empty()) {
    health_.verdict = health_.reasons.front().level;
    health_.reason = health_.reasons.front().sentence;
    return;
  }
  health_.verdict = Verdict::healthy;
  const auto any_in = [&](BulkPhase phase) {
    return std::ranges::any_of(facts.peers, [&](const PeerFacts& peer) { return peer.phase == phase; });
  };
  health_.reason = any_in(BulkPhase::asked)       ? "waiting for a peer to answer the bulk request"
                   : any_in(BulkPhase::receiving) ? "a bulk update is being received"
                   : any_in(BulkPhase::done)      ? "in sync since the bulk update"
                                                  : "following the live traffic; no bulk update was asked for";
}

const Health& HealthMonitor::judge(const HealthFacts& facts) {
  health_.reasons.clear();
  health_.peers.clear();
  remember(facts);
  judge_node(facts);
  for (const PeerFacts& peer : facts.peers) judge_peer(facts, peer);
  keep_recent(facts);
  conclude(facts);
  return health_;
}

}  // namespace pfsync::engine
