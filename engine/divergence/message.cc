#include "engine/divergence/message.h"

#include <algorithm>
#include <array>
#include <type_traits>

#include "engine/session/validity.h"
#include "wire/text.h"

namespace pfsync::engine::divergence {
namespace {

constexpr std::array<char, 4> magic{'p', 'f', 'd', 'v'};
constexpr std::size_t sentence_max = 500;
constexpr std::size_t sums_max = parents_max << level_bits;

class Writer {
 public:
  explicit Writer(std::string& out) : out_{out} {}
  template <class T>
  void number(const T& value) {
    auto rest = static_cast<std::uint64_t>(value);
    std::array<char, sizeof(T)> bytes;
    for (std::size_t i = sizeof(T); i-- > 0; rest >>= 8) bytes[i] = static_cast<char>(rest & 0xff);
    out_.append(bytes.data(), bytes.size());
  }
  template <std::size_t N>
  void name(const wire::Name<N>& name) {
    number(static_cast<std::uint8_t>(name.view().size()));
    out_.append(name.view());
  }
  void address(const wire::Address& address) {
    out_.append(reinterpret_cast<const char*>(address.bytes.data()), address.bytes.size());
  }
  void text(std::string_view text) {
    text = text.substr(0, sentence_max);
    number(static_cast<std::uint16_t>(text.size()));
    out_.append(text);
  }

 private:
  std::string& out_;
};

/// Reads past the end give zeros and are remembered.
class Reader {
 public:
  explicit Reader(std::string_view in) : in_{in} {}
  template <class T>
  void number(T& value) {
    std::uint64_t sum = 0;
    for (const char c : take(sizeof(T))) sum = sum << 8 | static_cast<std::uint8_t>(c);
    value = static_cast<T>(sum);
  }
  template <class T>
  [[nodiscard]] T number() {
    T value{};
    number(value);
    return value;
  }
  template <std::size_t N>
  void name(wire::Name<N>& name) {
    const auto size = number<std::uint8_t>();
    const std::string_view text = take(size);
    name = wire::Name<N>{text};
    require(name.view() == text);
  }
  void address(wire::Address& address) {
    const std::string_view bytes = take(address.bytes.size());
    std::copy(bytes.begin(), bytes.end(), address.bytes.begin());
  }
  [[nodiscard]] std::string text() {
    const auto size = number<std::uint16_t>();
    require(size <= sentence_max);
    return wire::printable(take(size));
  }
  /// How many things follow, each at least so long: what cannot all be there is refused before memory is taken.
  [[nodiscard]] std::size_t count(std::size_t most, std::size_t bytes_each) {
    const auto count = number<std::uint32_t>();
    require(count <= most && count * bytes_each <= in_.size());
    return ok_ ? count : 0;
  }
  void require(bool holds) { ok_ = ok_ && holds; }
  [[nodiscard]] bool ok() const noexcept { return ok_; }
  [[nodiscard]] bool is_at_end() const noexcept { return ok_ && in_.empty(); }

 private:
  std::string_view take(std::size_t bytes) {
    require(bytes <= in_.size());
    if (!ok_) return {};
    const std::string_view taken = in_.substr(0, bytes);
    in_.remove_prefix(bytes);
    return taken;
  }
  std::string_view in_;
  bool ok_ = true;
};

// --- each thing once, for both directions ------------------------------------------------------------

template <class Io, class Id>
void id_fields(Io& io, Id& id) {
  io.number(id.id);
  io.number(id.creatorid);
}

template <class Io, class Peer>
void peer_fields(Io& io, Peer& peer) {
  io.number(peer.scrub.pfss_ts_mod);
  io.number(peer.scrub.pfss_flags);
  io.number(peer.scrub.pfss_ttl);
  io.number(peer.scrub.scrub_flag);
  io.number(peer.seqlo);
  io.number(peer.seqhi);
  io.number(peer.seqdiff);
  io.number(peer.max_win);
  io.number(peer.mss);
  io.number(peer.state);
  io.number(peer.wscale);
}

template <class Io, class State>
void state_fields(Io& io, State& state) {
  id_fields(io, state.id);
  io.name(state.ifname);
  for (auto& key : state.key) {
    for (auto& address : key.addr) io.address(address);
    for (auto& port : key.port) io.number(port);
  }
  peer_fields(io, state.src);
  peer_fields(io, state.dst);
  io.address(state.rt_addr);
  for (auto* number : {&state.rule, &state.anchor, &state.nat_rule, &state.creation_s, &state.expire_s})
    io.number(*number);
  for (std::size_t i = 0; i < 2; ++i) {
    io.number(state.packets[i]);
    io.number(state.bytes[i]);
    io.number(state.rtableid[i]);
    io.number(state.rdomain[i]);
    io.number(state.set_prio[i]);
  }
  io.number(state.af);
  io.number(state.stack_af);
  io.number(state.rt_af);
  io.number(state.direction);
  for (auto* number : {&state.proto, &state.stack_proto, &state.log, &state.timeout, &state.sync_flags, &state.rt,
                       &state.min_ttl, &state.set_tos})
    io.number(*number);
  for (auto* number : {&state.state_flags, &state.max_mss, &state.qid, &state.pqid, &state.dnpipe, &state.dnrpipe})
    io.number(*number);
  io.name(state.rt_ifname);
  io.name(state.orig_ifname);
  io.name(state.tag);
}
bool is_family(wire::Family family, bool may_be_none) {
  return family == wire::Family::inet || family == wire::Family::inet6 || (may_be_none && family == wire::Family::none);
}

/// As an insert has to be.
bool is_sound(const wire::State& state) {
  return state.id.creatorid != 0 && is_family(state.af, false) && is_family(state.stack_af, true) &&
         is_family(state.rt_af, true) && is_valid(state);
}

void write(Writer& out, const wire::State& state) { state_fields(out, state); }
wire::State read_state(Reader& in) {
  wire::State state;
  state_fields(in, state);
  in.require(is_sound(state));
  return state;
}

template <class T>
void write_numbers(Writer& out, const std::vector<T>& numbers) {
  out.number(static_cast<std::uint32_t>(numbers.size()));
  for (const T number : numbers) out.number(number);
}
template <class T>
std::vector<T> read_numbers(Reader& in, std::size_t most) {
  std::vector<T> numbers(in.count(most, sizeof(T)));
  for (T& number : numbers) in.number(number);
  return numbers;
}

constexpr std::size_t id_bytes = 12;
void write_ids(Writer& out, const std::vector<wire::StateId>& ids) {
  out.number(static_cast<std::uint32_t>(ids.size()));
  for (const wire::StateId& id : ids) id_fields(out, id);
}
std::vector<wire::StateId> read_ids(Reader& in, std::size_t most) {
  std::vector<wire::StateId> ids(in.count(most, id_bytes));
  for (wire::StateId& id : ids) id_fields(in, id);
  return ids;
}

// --- requests ----------------------------------------------------------------------------------------

void write(Writer& out, const Begin& begin) {
  out.number(begin.seed);
  out.number(begin.bucket_bits);
}
void write(Writer& out, const Narrow& narrow) {
  out.number(narrow.seed);
  out.number(narrow.bits);
  write_numbers(out, narrow.parents);
}
void write(Writer& out, const List& list) {
  out.number(list.seed);
  write_numbers(out, list.buckets);
}
void write(Writer& out, const Look& look) { write_ids(out, look.ids); }
void write(Writer& out, const Fetch& fetch) {
  out.address(fetch.from);
  write_ids(out, fetch.ids);
}
void write(Writer& out, const Mend& mend) {
  out.address(mend.from);
  out.number(static_cast<std::uint32_t>(mend.repairs.size()));
  for (const Repair& repair : mend.repairs) {
    out.number(repair.kind);
    if (repair.kind == Repair::Kind::state)
      write(out, repair.state);
    else
      id_fields(out, repair.state.id);
  }
}

void read(Reader& in, Begin& begin) {
  in.number(begin.seed);
  in.number(begin.bucket_bits);
  in.require(begin.bucket_bits >= bucket_bits_min && begin.bucket_bits <= bucket_bits_max);
}
void read(Reader& in, Narrow& narrow) {
  in.number(narrow.seed);
  in.number(narrow.bits);
  in.require(narrow.bits >= level_bits && narrow.bits % level_bits == 0 && narrow.bits < bucket_bits_max);
  narrow.parents = read_numbers<std::uint32_t>(in, parents_max);
  for (const std::uint32_t parent : narrow.parents) in.require(in.ok() && parent >> narrow.bits == 0);
}
void read(Reader& in, List& list) {
  in.number(list.seed);
  list.buckets = read_numbers<std::uint32_t>(in, buckets_max);
  in.require(!list.buckets.empty());
  for (const std::uint32_t bucket : list.buckets) in.require(bucket >> bucket_bits_max == 0);
}
void read(Reader& in, Look& look) { look.ids = read_ids(in, looks_max); }
void read(Reader& in, Fetch& fetch) {
  in.address(fetch.from);
  fetch.ids = read_ids(in, fetched_max);
}
void read(Reader& in, Mend& mend) {
  in.address(mend.from);
  mend.repairs.resize(in.count(repairs_max, 1 + id_bytes));
  for (Repair& repair : mend.repairs) {
    in.number(repair.kind);
    in.require(repair.kind <= Repair::Kind::ended);
    if (!in.ok()) return;
    if (repair.kind == Repair::Kind::state)
      repair.state = read_state(in);
    else
      id_fields(in, repair.state.id);
    in.require(repair.state.id.creatorid != 0);
  }
}

// --- answers -----------------------------------------------------------------------------------------

void write(Writer& out, const Begun& begun) {
  out.number(begun.family);
  out.address(begun.address);
  out.number(begun.delay_ms);
  out.number(begun.states);
  write_numbers(out, begun.sums);
}
void write(Writer& out, const Narrowed& narrowed) { write_numbers(out, narrowed.sums); }
void write(Writer& out, const Listed& listed) {
  out.number(listed.buckets);
  out.number(static_cast<std::uint32_t>(listed.entries.size()));
  for (const Entry& entry : listed.entries) {
    id_fields(out, entry.id);
    out.number(entry.sum);
  }
}
void write(Writer& out, const Looked& looked) {
  out.number(static_cast<std::uint32_t>(looked.sums.size()));
  for (const auto& sum : looked.sums) {
    out.number(static_cast<std::uint8_t>(sum.has_value()));
    if (sum) out.number(*sum);
  }
}
void write(Writer& out, const Fetched& fetched) {
  out.number(static_cast<std::uint32_t>(fetched.states.size()));
  for (const auto& state : fetched.states) {
    out.number(static_cast<std::uint8_t>(state.has_value()));
    if (state) write(out, *state);
  }
}
void write(Writer& out, const Mended& mended) {
  out.number(static_cast<std::uint32_t>(mended.outcomes.size()));
  for (const Repair::Outcome outcome : mended.outcomes) out.number(outcome);
}
void write(Writer& out, const Refused& refused) { out.text(refused.sentence); }

[[nodiscard]] bool read_presence(Reader& in) {
  const auto there = in.number<std::uint8_t>();
  in.require(there <= 1);
  return in.ok() && there == 1;
}

void read(Reader& in, Begun& begun) {
  in.number(begun.family);
  in.address(begun.address);
  in.require(is_family(begun.family, false));
  in.number(begun.delay_ms);
  in.number(begun.states);
  begun.sums = read_numbers<Sum>(in, std::size_t{1} << level_bits);
}
void read(Reader& in, Narrowed& narrowed) { narrowed.sums = read_numbers<Sum>(in, sums_max); }
void read(Reader& in, Listed& listed) {
  in.number(listed.buckets);
  in.require(listed.buckets >= 1 && listed.buckets <= buckets_max);
  listed.entries.resize(in.count(entries_max, id_bytes + sizeof(Sum)));
  for (Entry& entry : listed.entries) {
    id_fields(in, entry.id);
    in.number(entry.sum);
  }
}
void read(Reader& in, Looked& looked) {
  looked.sums.resize(in.count(looks_max, 1));
  for (auto& sum : looked.sums)
    if (read_presence(in)) sum = in.number<Sum>();
}
void read(Reader& in, Fetched& fetched) {
  fetched.states.resize(in.count(fetched_max, 1));
  for (auto& state : fetched.states)
    if (read_presence(in)) state = read_state(in);
}
void read(Reader& in, Mended& mended) {
  mended.outcomes.resize(in.count(repairs_max, 1));
  for (Repair::Outcome& outcome : mended.outcomes) {
    in.number(outcome);
    in.require(static_cast<std::size_t>(outcome) < repair_outcomes);
  }
}
void read(Reader& in, Refused& refused) {
  refused.sentence = in.text();
  in.require(!refused.sentence.empty());
}

// --- the frame around them ---------------------------------------------------------------------------

template <class Message>
std::string encoded(const Message& message) {
  std::string bytes{magic.data(), magic.size()};
  Writer out{bytes};
  out.number(protocol_version);
  out.number(static_cast<std::uint8_t>(message.index()));
  std::visit([&out](const auto& each) { write(out, each); }, message);
  return bytes;
}

/// Puts the alternative of that number into the variant.
template <class Message, std::size_t i = 0>
bool choose(Message& message, std::size_t number) {
  if constexpr (i < std::variant_size_v<Message>) {
    if (number != i) return choose<Message, i + 1>(message, number);
    message.template emplace<i>();
    return true;
  }
  return false;
}

template <class Message>
std::variant<Message, std::string> decoded(std::string_view bytes, const char* what) {
  const std::string name{what};
  if (bytes.size() < magic.size() + 2 || !std::equal(magic.begin(), magic.end(), bytes.begin()))
    return "that is no " + name + " of a comparison of tables";
  Reader in{bytes.substr(magic.size())};
  if (const auto version = in.number<std::uint8_t>(); version != protocol_version)
    return "the " + name + " is of version " + std::to_string(version) + " of the comparison, here it is " +
           std::to_string(protocol_version) + ": give both nodes the same pfsyncd";
  Message message;
  if (!choose(message, in.number<std::uint8_t>())) return "the " + name + " is of a kind that is unknown here";
  std::visit([&in](auto& each) { read(in, each); }, message);
  if (!in.is_at_end()) return "the " + name + " is cut short, too long or out of range";
  return message;
}

}  // namespace

std::string encode(const Request& request) { return encoded(request); }
std::string encode(const Answer& answer) { return encoded(answer); }
std::variant<Request, std::string> decode_request(std::string_view bytes) { return decoded<Request>(bytes, "request"); }
std::variant<Answer, std::string> decode_answer(std::string_view bytes) { return decoded<Answer>(bytes, "answer"); }

}  // namespace pfsync::engine::divergence
