#include "engine/carp/host.h"

#include <algorithm>
#include <utility>

namespace pfsync::engine::carp {

using wire::CarpAdvert;
using wire::CarpReject;
using wire::Family;

namespace {

bool any_of_family(const std::vector<wire::CarpAddress>& addresses, Family family) noexcept {
  return std::any_of(addresses.begin(), addresses.end(), [=](const auto& a) { return a.family == family; });
}

std::optional<wire::CarpDigest> without_link_local(const HostConfig& config) {
  if (std::none_of(config.addresses.begin(), config.addresses.end(), is_link_local)) return std::nullopt;
  auto rest = config.addresses;
  std::erase_if(rest, is_link_local);
  return wire::CarpDigest{wire::carp_key(config.password), config.vhid, rest};
}

/// SplitMix64. Literature: G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
std::uint64_t next_random(std::uint64_t& state) noexcept {
  std::uint64_t z = state += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30u) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27u) * 0x94d049bb133111eb;
  return z ^ z >> 31u;
}

}  // namespace

Host::Digests::Digests(const HostConfig& config, const wire::CarpKey& key, const std::vector<wire::CarpAddress>& list)
    : all{wire::CarpDigest::of_list(key, config.vhid, list)}, without_link_local{carp::without_link_local(config)} {}

Host::Host(const HostConfig& config, std::uint8_t port, Demotion& demotion, Journal& journal, std::uint64_t seed)
    : config_{config},
      key_{wire::carp_key(config.password)},
      list_{wire::carp_address_list(config.addresses)},
      digests_{config, key_, list_},
      has_inet_{any_of_family(config.addresses, Family::inet)},
      has_inet6_{any_of_family(config.addresses, Family::inet6)},
      demotion_{&demotion},
      journal_{&journal},
      port_{port},
      watch_{journal, port, config.vhid},
      random_{seed} {
  status_.vhid = config.vhid;
  status_.advbase = config.advbase;
  status_.advskew = config.advskew;
  // Made on any thread, while the demotion is changed on the data path's.
  status_.skew_now = effective_skew(config.advskew, config.openbsd ? 0 : demotion.seen_total());
}

bool Host::has(const wire::CarpAddress& address) const noexcept {
  return std::find(config_.addresses.begin(), config_.addresses.end(), address) != config_.addresses.end();
}

Rank Host::rank() const noexcept {
  // OpenBSD advertises the skew as it is configured, and beside it how much is wrong.
  if (config_.openbsd) return {config_.advbase, effective_skew(config_.advskew, 0), demotion_->count()};
  return {config_.advbase, effective_skew(config_.advskew, demotion_->total()), 0};
}

void Host::succeed(Host& former, Instant now) noexcept {
  const bool same_digests =
      config_.password == former.config_.password && config_.addresses == former.config_.addresses;
  // All but the settings, and what follows from them alone, is the former one's.
  std::swap(*this, former);
  std::swap(config_, former.config_);
  std::swap(key_, former.key_);
  std::swap(list_, former.list_);
  std::swap(digests_, former.digests_);
  std::swap(has_inet_, former.has_inet_);
  std::swap(has_inet6_, former.has_inet6_);
  if (!same_digests) {
    former_digests_ = former.digests_;
    former_until_ = now + grace;
  }

  status_.advbase = config_.advbase;
  status_.advskew = config_.advskew;
  status_.skew_now = rank().advskew;
  publish_ = true;
  const std::array has{has_inet_, has_inet6_};
  for (std::size_t family = 0; family < has.size(); ++family) {
    if (!has[family]) due_[family] = 0;
    if (!has[family])
      silent_at_[family].reset();
    else if (status_.state == State::backup && !silent_at_[family])
      silent_at_[family] = now + master_down(config_.advbase, config_.advskew);
  }
  if (status_.state != State::master) return;
  // As in the kernels an advertisement tells of it when it is due, but not later than the new interval has it.
  advert_at_ = std::min(advert_at_, now + interval(rank()));
  const auto is_new = [&](const wire::CarpAddress& address) { return !former.has(address); };
  if (std::any_of(config_.addresses.begin(), config_.addresses.end(), is_new)) announce(now);
}

bool Host::is_believed(const CarpAdvert& advert, Instant now) const noexcept {
  return digests_.verify(advert) || (former_digests_ && now < former_until_ && former_digests_->verify(advert));
}

void Host::request_adverts(std::uint8_t copies, Instant now) noexcept {
  adverted_at_ = now;
  due_ = {has_inet_ ? copies : std::uint8_t{0}, has_inet6_ ? copies : std::uint8_t{0}};
}

void Host::wait_for_master(Instant now) noexcept {
  const Instant silent = now + master_down(config_.advbase, config_.advskew);
  silent_at_ = {has_inet_ ? std::optional{silent} : std::nullopt, has_inet6_ ? std::optional{silent} : std::nullopt};
}

void Host::reign_of(const Source& source, Instant now) noexcept {
  const auto& last = status_.reign[(status_.reigns + 7) % 8];
  if (status_.reigns > 0 && last.source == source && !last.is_vacant) return;
  status_.reign[status_.reigns++ % 8] = {.at = now, .source = source};
}

void Host::on_event(Event event, Instant now) noexcept {
  if (const State to = next(status_.state, event); to != status_.state) become(to, event, now);
}

void Host::become(State state, Event event, Instant now) noexcept {
  const State from = std::exchange(status_.state, state);
  status_.since = now;
  ++status_.entered[static_cast<std::size_t>(state)];
  status_.move[status_.moves++ % 8] = {now, from, state, event};
  publish_ = true;
  journal_->push({.kind = Entry::Kind::moved,
                  .at = now,
                  .port = port_,
                  .vhid = config_.vhid,
                  .from = from,
                  .to = state,
                  .event = event});
  due_ = {};
  bowing_out_ = false;
  announcing_ = SIZE_MAX;
  announcements_left_ = 0;
  errors_ = successes_ = 0;
  trial_due_ = false;
  switch (state) {
    case State::master:
      request_adverts(1, now);
      // The kernels arm the first interval with the skew as it is configured.
      advert_at_ = now + interval(config_.advbase, effective_skew(config_.advskew, 0));
      announce(now);
      reign_of({}, now);
      break;
    case State::backup:
      wait_for_master(now);
      // Ended here, the demotion would let this node preempt again at once, with a port that still takes nothing.
      if (failing_) try_port(now);
      break;
    case State::init:
      if (from == State::master) status_.reign[status_.reigns++ % 8] = {.at = now, .is_vacant = true};
      if (std::exchange(failing_, false)) demotion_->remove(Cause::send_errors, port_, now);
      // With a working link the others need not wait for the master-down time.
      if (from == State::master && (event == Event::disabled || event == Event::leaving || event == Event::removed)) {
        bowing_out_ = true;
        request_adverts(bow_out_copies, now);
      }
      break;
  }
}

bool Host::is_own(const CarpAdvert& advert) const noexcept {
  const auto end = sent_.begin() + static_cast<std::ptrdiff_t>(std::min(sent_count_, sent_.size()));
  return std::find(sent_.begin(), end, advert) != end;
}

/// Tries what people get wrong most: aliases on one node only. Empty when it is something else.
wire::CarpAddress Host::odd_address(const CarpAdvert& advert) noexcept {
  constexpr std::size_t tried_max = 32, combined_max = 8;
  if (list_.size() > tried_max) return {};
  const std::size_t claims = std::min(claims_count_, claims_.size());
  std::array<wire::CarpAddress, tried_max + std::tuple_size_v<decltype(claims_)>> list;
  // Those of ours that are theirs, by index, and with some claims: what is hashed there?
  const auto fits = [&](auto&& is_theirs, std::size_t first_claim = 0, std::size_t claims_added = 0) {
    auto end = list.begin();
    for (std::size_t i = 0; i < list_.size(); ++i)
      if (is_theirs(i)) *end++ = list_[i];
    end = std::copy_n(claims_.begin() + static_cast<std::ptrdiff_t>(first_claim), claims_added, end);
    if (end == list.begin()) return false;
    std::sort(list.begin(), end);
    ++hmacs_;
    return wire::CarpDigest::of_list(key_, config_.vhid, {list.begin(), end}).verifies(advert);
  };
  const auto all = [](std::size_t) { return true; };
  const auto all_but = [](std::size_t left_out) { return [left_out](std::size_t i) { return i != left_out; }; };
  for (std::size_t i = 0; i < list_.size(); ++i)
    if (fits(all_but(i))) return list_[i];
  for (std::size_t claim = 0; claim < claims; ++claim)
    if (fits(all, claim, 1)) return claims_[claim];
  if (claims > 1 && fits(all, 0, claims)) return claims_[0];
  // Several that only we have: of a short list every part is tried; of a long one each address alone and each family.
  const auto first_but = [&](auto&& is_theirs) {
    std::size_t i = 0;
    while (i < list_.size() && is_theirs(i)) ++i;
    return i == list_.size() ? wire::CarpAddress{} : list_[i];
  };
  if (list_.size() <= combined_max) {
    for (unsigned part = 1; part + 1 < 1u << list_.size(); ++part) {
      const auto is_theirs = [part](std::size_t i) { return (part >> i & 1u) != 0; };
      if (fits(is_theirs)) return first_but(is_theirs);
    }
    for (std::size_t claim = 0; claim < claims; ++claim)
      for (std::size_t i = 0; i < list_.size(); ++i)
        if (fits(all_but(i), claim, 1)) return claims_[claim];
    return {};
  }
  for (std::size_t only = 0; only < list_.size(); ++only) {
    const auto is_theirs = [only](std::size_t i) { return i == only; };
    if (fits(is_theirs)) return first_but(is_theirs);
  }
  for (const Family family : {Family::inet, Family::inet6}) {
    const auto is_theirs = [&](std::size_t i) { return list_[i].family == family; };
    if (fits(is_theirs)) return first_but(is_theirs);
  }
  return {};
}

wire::CarpAddress Host::explain(const CarpAdvert& advert, Instant now) noexcept {
  if (now - explained_since_ >= std::chrono::seconds{1}) {
    explained_since_ = now;
    hmacs_ = 0;
  }
  if (hmacs_ >= hmacs_per_s_max) return odd_;
  return odd_ = odd_address(advert);
}

/// Whoever makes a wrong HMAC of all addresses may not know one of ours, which was announced before it was there.
void Host::announce_to_stranger(Instant now) noexcept {
  if (status_.state != State::master || announcements_left_ > 0) return;
  if (stranger_told_at_ && now - *stranger_told_at_ < tell_stranger_again) return;
  stranger_told_at_ = now;
  announcing_ = 0;
}

void Host::on_claim(const wire::CarpAddress& address) noexcept {
  if (has(address) || std::find(claims_.begin(), claims_.end(), address) != claims_.end()) return;
  claims_[claims_count_++ % claims_.size()] = address;
}

void Host::note(Mistake mistake, const Source& source, const CarpAdvert& advert, Instant now,
                const wire::CarpAddress& odd) noexcept {
  watch_.see(mistake, source, advert, now, odd);
  status_.mistakes = watch_.sightings();
  publish_ = true;
}

std::optional<CarpReject> Host::on_advert(const CarpAdvert& advert, const Source& source, const wire::Address& own,
                                          Instant now) noexcept {
  publish_ = true;
  if (!is_believed(advert, now)) {
    announce_to_stranger(now);
    if (const wire::CarpAddress odd = explain(advert, now); odd.family != Family::none) {
      note(Mistake::addresses_differ, source, advert, now, odd);
      return CarpReject::badaddrs;
    }
    ++status_.badauth;
    note(Mistake::wrong_password, source, advert, now);
    return CarpReject::badauth;
  }
  // By the counter alone an advertisement is not known for our own: two masters that count on from the same one send
  // the same counters and HMACs.
  if (source.address == own && is_own(advert)) {
    note(Mistake::looped, source, advert, now);
    return CarpReject::looped;
  }
  heard_ = true;
  counter_ = advert.counter;  // in every state, and whatever it is: OpenBSD's never changes, FreeBSD's jumps
  ++status_.adverts_in;
  status_.heard = true;
  status_.advert = advert;
  status_.source = source;
  status_.heard_at = now;

  const Rank theirs{advert.advbase, advert.advskew, advert.demote};
  hear_over(source.family, now);
  const bool decides = decides_ties(source.family, now);
  const bool known = own != wire::Address{} && source.address != own;
  // Before the verdict: whom we take over from has reigned until now.
  const bool reigns = decides && !is_bow_out(theirs);
  if (status_.state == State::backup && reigns) reign_of(source, now);
  const auto verdict = judge(status_.state, rank(), theirs,
                             {.preempt = config_.preempt,
                              .openbsd = config_.openbsd,
                              .wins_ties = known && (!decides || own < source.address),
                              .in_sync = demotion_->may_preempt()});
  if (verdict) {
    on_event(*verdict, now);
  } else if (status_.state == State::backup) {
    silent_at_[source.family == Family::inet6 ? 1 : 0] = now + master_down(config_.advbase, config_.advskew);
  } else if (status_.state == State::master && !is_bow_out(theirs)) {
    advert_at_ = std::min(advert_at_, std::max(now, adverted_at_ + assert_again));
    if (announcements_left_ == 0) announce(now);  // it has told hosts and switches otherwise
  }
  if (status_.state == State::backup && reigns) reign_of(source, now);
  const auto since = status_.state == State::master ? std::optional{status_.since} : std::nullopt;
  watch_.on_advert(advert, source, config_.advbase, since, now);
  status_.mistakes = watch_.sightings();
  return std::nullopt;
}

void Host::hear_over(Family family, Instant now) noexcept {
  Hearing& hearing = hearing_[family == Family::inet6 ? 1 : 0];
  if (!hearing.at || now - *hearing.at > master_down(config_.advbase, config_.advskew)) hearing.since = now;
  hearing.at = now;
}

/// With both families IPv4 decides ties: a lower address in each on different sides would decide none. Where IPv4 is
/// not heard, though IPv6 is, for the master-down time, IPv6 does: else both would stay masters.
bool Host::decides_ties(Family family, Instant now) const noexcept {
  if (family == Family::inet || !has_inet_) return true;
  const auto& [inet, inet6] = hearing_;
  const Duration down = master_down(config_.advbase, config_.advskew);
  return (!inet.at || now - *inet.at > down) && now - inet6.since > down;
}

void Host::on_absence(Instant now) noexcept {
  if (status_.state == State::backup) wait_for_master(now);
  if (status_.state == State::master) announce(now);  // another may have been master meanwhile
}

void Host::announce(Instant now) noexcept {
  announcing_ = 0;
  announcements_left_ = announcements - 1;
  announce_at_ = now + announce_again;
  publish_ = true;
}

void Host::on_demotion(Instant now) noexcept {
  status_.skew_now = rank().advskew;
  publish_ = true;
  advertise_again(now);
}

void Host::advertise_again(Instant now) noexcept {
  if (status_.state != State::master) return;
  request_adverts(1, now);
  advert_at_ = now + interval(rank());
}

void Host::note_sending(bool sent, Instant now) noexcept {
  unsigned& now_counted = sent ? successes_ : errors_;
  (sent ? errors_ : successes_) = 0;
  if (now_counted < errors_max && ++now_counted == errors_max && failing_ == sent) {
    failing_ = !sent;
    if (failing_)
      demotion_->add(Cause::send_errors, port_, now);
    else
      demotion_->remove(Cause::send_errors, port_, now);
  }
}

void Host::try_port(Instant now) noexcept {
  trial_due_ = true;
  tried_at_ = now;
  publish_ = true;
}

void Host::on_timeout(Instant now, std::optional<Instant> refused_since) noexcept {
  const auto is_taken_since = [&](Instant wanted) { return !refused_since || *refused_since > wanted; };
  if (status_.state == State::master && now >= advert_at_) {
    // What has waited a whole interval for the port counts as not sent, and what the port's device did not take.
    const bool sent = due_[0] == 0 && due_[1] == 0 && is_taken_since(adverted_at_);
    status_.adverts_unsent += sent ? 0 : 1;
    note_sending(sent, now);
    request_adverts(1, now);
    advert_at_ = now + interval(rank());
  }
  if (status_.state == State::master && announces() && now >= announce_at_) {
    announcing_ = 0;
    if (announcements_left_ > 0) --announcements_left_;
    announce_at_ = now + (announcements_left_ > 0 ? Duration{announce_again} : Duration{unicast_refresh});
  }
  if (status_.state == State::backup && failing_ && now >= tried_at_ + try_again) {
    note_sending(!trial_due_ && is_taken_since(tried_at_), now);
    if (failing_) try_port(now);
  }
  if (status_.state == State::backup) {
    const auto passed = [&](const std::optional<Instant>& at) { return at && now >= *at; };
    const bool all = (!silent_at_[0] || passed(silent_at_[0])) && (!silent_at_[1] || passed(silent_at_[1]));
    if (config_.both_families ? all : passed(silent_at_[0]) || passed(silent_at_[1]))
      on_event(Event::master_silent, now);
  }
}

std::optional<Instant> Host::timeout() const noexcept {
  switch (status_.state) {
    case State::init: return std::nullopt;
    case State::master: return announces() ? std::min(advert_at_, announce_at_) : advert_at_;
    case State::backup: {
      const auto& [inet, inet6] = silent_at_;
      std::optional<Instant> at = inet ? inet : inet6;
      if (inet && inet6) at = config_.both_families ? std::max(*inet, *inet6) : std::min(*inet, *inet6);
      if (failing_) at = std::min(at.value_or(Instant::max()), tried_at_ + try_again);
      return at;
    }
  }
  return std::nullopt;
}

bool Host::announces() const noexcept {
  return announcements_left_ > 0 || (has_inet_ && !multicast(Family::inet)) ||
         (has_inet6_ && !multicast(Family::inet6));
}

std::uint64_t Host::next_counter() noexcept {
  counter_ = heard_ ? counter_ + 1 : next_random(random_);
  return counter_;
}

CarpAdvert Host::take_advert(Family family) noexcept {
  --due_[family == Family::inet6 ? 1 : 0];
  const Rank farewell = config_.openbsd ? bow_out_openbsd : bow_out;
  const Rank as = bowing_out_ ? farewell : rank();
  CarpAdvert advert{.vhid = config_.vhid,
                    .advbase = as.advbase,
                    .advskew = as.advskew,
                    .demote = as.demote,
                    .counter = next_counter(),
                    .md = {}};
  advert.md = digests_.all.md(advert.counter);
  sent_[sent_count_++ % sent_.size()] = advert;
  ++status_.adverts_out;
  publish_ = true;
  return advert;
}

}  // namespace pfsync::engine::carp
