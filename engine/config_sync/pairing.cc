#include "engine/config_sync/pairing.h"

#include <algorithm>

#include "engine/config_sync/faults.h"
#include "engine/config_sync/sections.h"
#include "engine/http/crypto.h"
#include "engine/http/words.h"

namespace pfsync::engine::config_sync {
namespace {

using xmlrpc::Fault;
using xmlrpc::Value;

constexpr std::string_view method = "hasync.pair";

bool is_hash(std::string_view text) {
  return text.size() == 64 &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::string hash_at(const Value& map, const char* name) {
  const Value* found = map.find(name);
  const auto* text = found == nullptr ? nullptr : found->get<std::string>();
  return text != nullptr && is_hash(*text) ? *text : "";
}

std::string commitment_of(std::string_view random) {
  return sha256_hex("pfsyncd pair: commitment " + std::string{random});
}

}  // namespace

std::string_view word(Pairing::State state) {
  switch (state) {
    case Pairing::State::open: return "open";
    case Pairing::State::shown: return "shown";
    case Pairing::State::paired: return "paired";
    case Pairing::State::failed: return "failed";
    default: return "closed";
  }
}

void Pairing::open(const KeyHash& own, const Random& random, Instant now) {
  *this = Pairing{};
  own_ = own;
  random_ = random;
  until_ = now + window;
  state_ = State::open;
}

void Pairing::close(std::string because) {
  state_ = because.empty() ? State::closed : State::failed;
  why_ = std::move(because);
  code_.clear();
}

void Pairing::tick(Instant now) {
  if ((state_ == State::open || state_ == State::shown) && now >= until_)
    close("the two minutes are over: begin again on both nodes");
}

std::string Pairing::fail(std::string why) {
  close(why);
  return why;
}

xmlrpc::Call Pairing::commit_call() const {
  return {std::string{method}, {Value{Value::Struct{{"commitment", commitment_of(http::hex(random_))}}}}};
}

xmlrpc::Call Pairing::reveal_call() const {
  return {std::string{method}, {Value{Value::Struct{{"random", http::hex(random_)}}}}};
}

std::string Pairing::committed(const Value& answer, const KeyHash& peer) {
  if (state_ != State::open) return "no pairing is open";  // nor is the key changed that a shown code stands for
  their_random_ = hash_at(answer, "random");
  peer_ = peer;
  if (their_random_.empty()) return fail("the other node's answer is not that of a pairing");
  if (peer == own_) return fail("the other node has this node's own key: was its state_dir copied?");
  return "";
}

std::string Pairing::revealed(const Value& answer, const KeyHash& peer) {
  if (state_ != State::open || their_random_.empty()) return "no pairing is open";
  if (peer != peer_) return fail("the other node's key changed during the pairing");
  if (answer.find("shown") == nullptr) return fail("the other node's answer is not that of a pairing");
  show(own_, peer_, http::hex(random_), their_random_);
  return "";
}

std::variant<Value, Fault> Pairing::asked(const xmlrpc::Call& call, const KeyHash& peer) {
  const bool has_shown = state_ == State::shown || state_ == State::paired;
  if (call.method != method || (state_ != State::open && !has_shown))
    return Fault{fault::not_authorised,
                 "this node is not paired with the caller: run pfsyncctl config pair on both nodes"};
  const Value none;
  const Value& params = call.params.empty() ? none : call.params.front();
  const std::string random = hash_at(params, "random");
  if (has_shown) {  // once more, where our answer was lost
    if (peer == peer_ && !commitment_.empty() && http::same(random, their_random_))
      return Value{Value::Struct{{"shown", true}}};
    return Fault{fault::not_authorised, "this node shows a code already"};
  }
  if (commitment_.empty()) {
    commitment_ = hash_at(params, "commitment");
    if (commitment_.empty() || peer == own_)
      return Fault{fault::not_authorised, fail("the caller's pairing is not one that this version understands")};
    peer_ = peer;
    return Value{Value::Struct{{"random", http::hex(random_)}}};
  }
  // The same once more tells nothing new either: what our number answers is bound already.
  if (peer == peer_ && http::same(hash_at(params, "commitment"), commitment_))
    return Value{Value::Struct{{"random", http::hex(random_)}}};
  if (peer != peer_ || random.empty() || !http::same(commitment_of(random), commitment_))
    return Fault{fault::not_authorised, fail("somebody else interfered with the pairing: begin again on both nodes")};
  their_random_ = random;
  show(peer_, own_, random, http::hex(random_));
  return Value{Value::Struct{{"shown", true}}};
}

void Pairing::show(const KeyHash& first_key, const KeyHash& second_key, std::string_view first,
                   std::string_view second) {
  const auto digest = http::sha256("pfsyncd pair: code " + http::hex(first_key) + " " + http::hex(second_key) + " " +
                                   std::string{first} + " " + std::string{second});
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < 8; ++i) number = number << 8 | digest[i];
  std::string digits = std::to_string(number % 1'000'000'000);
  digits.insert(0, 9 - digits.size(), '0');
  code_ = digits.substr(0, 3) + " " + digits.substr(3, 3) + " " + digits.substr(6);
  state_ = State::shown;
}

std::optional<KeyHash> Pairing::confirm(std::string_view code) {
  if (state_ != State::shown || code != code_) return std::nullopt;
  state_ = State::paired;
  return peer_;
}

}  // namespace pfsync::engine::config_sync
