#include "engine/config_sync/keys.h"
#include "engine/config_sync/parts.h"
#include "engine/http/crypto.h"
#include "engine/xmlrpc/codec.h"

namespace pfsync::engine::config_sync {
namespace {

constexpr std::size_t results_kept = 16;

/// One call to the other node, of an agent that does not hold its lock.
std::variant<xmlrpc::Value, std::string> ask(const Endpoint& peer, const ClientTls& tls, const xmlrpc::Call& call,
                                             KeyHash& shown) {
  const auto posted = post(peer, tls, "/sync", xmlrpc::encode_call(call.method, call.params), call_patience);
  if (const auto* why = std::get_if<std::string>(&posted)) return *why;
  const auto& answer = std::get<Posted>(posted);
  shown = answer.peer;
  if (answer.status != 200) return "the other node answered with HTTP status " + std::to_string(answer.status);
  auto response = decode_answer(answer.body);
  if (auto* value = std::get_if<xmlrpc::Value>(&response)) return std::move(*value);
  if (const auto* fault = std::get_if<xmlrpc::Fault>(&response))
    return "the other node refused (" + std::to_string(fault->code) + "): " + fault->text;
  return "the other node's answer cannot be read: " + std::get<xmlrpc::Broken>(response).sentence;
}

}  // namespace

std::variant<Order, std::string> order_of(const Json& request) {
  const auto text = [&](const char* key) {
    const auto found = request.find(key);
    return found != request.end() && found->is_string() ? found->get<std::string>() : "";
  };
  const std::string what = text("do");
  Order order;
  if (what == "push") {
    const auto renew = request.find("renew");
    order.renew = renew != request.end() && renew->is_boolean() && renew->get<bool>();
    return order;
  }
  if (what == "diff") return Order{.kind = Order::Kind::diff};
  if (what == "rollback") {
    const auto generation = request.find("generation");
    if (generation == request.end() || !generation->is_number_unsigned())
      return "\"generation\" must be one that show config_sync lists";
    Order back{.kind = Order::Kind::rollback, .generation = generation->get<std::uint64_t>()};
    const auto epoch = request.find("epoch");
    if (epoch == request.end()) return back;
    if (!epoch->is_number_unsigned()) return "\"epoch\" must be one that show config_sync lists";
    back.epoch = epoch->get<std::uint64_t>();
    return back;
  }
  if (what == "pair") {
    const auto abort = request.find("abort");
    if (abort != request.end() && abort->is_boolean() && abort->get<bool>())
      return Order{.kind = Order::Kind::abort_pair};
    if (!text("confirm").empty()) return Order{.kind = Order::Kind::confirm_pair, .code = text("confirm")};
    return Order{.kind = Order::Kind::pair};
  }
  return "\"do\" must be \"push\", \"diff\", \"rollback\" or \"pair\"";
}

void Agent::Parts::finish(std::uint64_t number, bool ok, const std::string& sentence, Json lines) {
  const std::lock_guard front{front_mutex};
  told.results[number] = Json{{"ok", ok}, {"sentence", one_line(sentence)}, {"lines", std::move(lines)}};
  while (told.results.size() > results_kept) told.results.erase(told.results.begin());
}

void Agent::Parts::carry_out(std::uint64_t number, const Order& order, std::unique_lock<std::mutex>& lock) {
  switch (order.kind) {
    case Order::Kind::push:
    case Order::Kind::rollback:
      if (settings.role != Role::primary) {
        const std::string here = order.kind == Order::Kind::push ? "a secondary pushes nothing"
                                                                 : "on a secondary the next push would undo it";
        return finish(number, false, here + ": run it on the primary");
      }
      if (!extract_error.empty()) return finish(number, false, extract_error);
      if (order.kind == Order::Kind::rollback) return roll_back_to(number, order);
      if (!not_applied.empty()) return finish(number, false, not_applied);
      if (order.renew) {
        identity.epoch = std::max(identity.epoch, sender.peer_epoch()) + 1;
        note(false, "this node begins epoch " + std::to_string(identity.epoch) + ": it was ordered to");
        waiting = Waiting{number, sender.pushes(), sender.failures()};
        if (offer) {  // a change that the other node has not taken yet goes along
          const Offer last = *std::exchange(offer, std::nullopt);
          return offer_sections(last.stored.revision.sections, last.stored.source, last.toml, last.stored.file_digest,
                                now());
        }
        const Sections same = store.current() ? store.current()->revision.sections : Sections{};
        const std::string file_digest = store.current() ? store.current()->file_digest : "";
        return offer_sections(same, "renewed", toml, file_digest, now());
      }
      waiting = Waiting{number, sender.pushes(), sender.failures()};
      return sender.push(now());
    case Order::Kind::diff: return compare(number, lock);
    case Order::Kind::pair:
      if (!settings.ca.empty())
        return finish(number, false,
                      "config_sync.ca judges the other node's certificate here: there is nothing to pair");
      if (!settings.listen && !settings.peer)
        return finish(number, false, "give config_sync.listen, and config_sync.peer on the other node");
      pairing.open(own_key, http::random_256(), now());
      pair_committed = false;
      pair_unanswered = 0;
      pair_next = now();
      publish();  // whoever hears that it is open looks at it next
      return finish(number, true, "run pfsyncctl config pair on the other node too");
    case Order::Kind::confirm_pair: {
      const auto trusted = pairing.confirm(order.code);
      if (!trusted) return finish(number, false, "that code is not shown here now");
      if (const std::string why = write_pin(shared_files, *trusted); !why.empty()) return finish(number, false, why);
      pin = trusted;
      note(false, "paired with the node whose key begins with " +
                      sha256_hex({reinterpret_cast<const char*>(trusted->data()), trusted->size()}).substr(0, 8));
      sender.link_up(now());
      return finish(number, true, "paired");
    }
    case Order::Kind::abort_pair:
      pairing.close("the operator ended it");
      return finish(number, true, "the pairing is ended");
  }
}

void Agent::Parts::roll_back_to(std::uint64_t number, const Order& order) {
  const std::uint64_t generation = order.generation;
  const auto stored = store.generation(generation, order.epoch);
  if (!stored)
    return finish(
        number, false,
        "generation " + std::to_string(generation) + " is not kept: pfsyncctl config status lists those that are");
  const auto own = extract(toml, file);
  if (const auto* why = std::get_if<std::string>(&own)) return finish(number, false, *why);
  const Sections& sections = stored->revision.sections;
  const auto both = combine(toml, file, &sections, false, compat_in_force());
  if (const auto* problem = std::get_if<Problem>(&both)) return finish(number, false, problem->sentence);
  const std::string file_digest = sections == std::get<Sections>(own) ? "" : file_digest_of(std::get<Sections>(own));
  waiting = Waiting{number, sender.pushes(), sender.failures()};
  offer_sections(sections, "rollback to " + std::to_string(generation), toml, file_digest, now());
}

void Agent::Parts::compare(std::uint64_t number, std::unique_lock<std::mutex>& lock) {
  if (!settings.peer) return finish(number, false, "config_sync.peer is not given: ask on the node that has it");
  const ClientTls tls = client_tls();
  xmlrpc::Value::Struct ours;
  if (store.current())
    for (const auto& [name, bytes] : store.current()->revision.sections)
      ours.push_back({name, xmlrpc::Value{xmlrpc::Value::Binary{bytes}}});
  std::vector<xmlrpc::Value> params;  // what they are compared with
  if (!ours.empty()) params.emplace_back(xmlrpc::Value::Struct{{"sections", xmlrpc::Value{std::move(ours)}}});
  lock.unlock();
  KeyHash shown{};
  const auto answer = ask(*settings.peer, tls, {"hasync.digest", std::move(params)}, shown);
  lock.lock();
  if (const auto* why = std::get_if<std::string>(&answer)) return finish(number, false, *why);
  const auto& value = std::get<xmlrpc::Value>(answer);
  const auto here = digests_of(store.current() ? store.current()->revision.sections : Sections{});
  Json lines = Json::array();
  bool same = true;
  const xmlrpc::Value *sections = value.find("sections"), *words = value.find("diff");
  for (const auto& [name, digest] : here) {
    const xmlrpc::Value* there = sections == nullptr ? nullptr : sections->find(name);
    const bool equal = there != nullptr && there->as_text() == digest;
    same = same && equal;
    const xmlrpc::Value* change = words == nullptr ? nullptr : words->find(name);
    lines.push_back(name + (equal              ? ": the same"
                            : there == nullptr ? ": the other node has none"
                            : change == nullptr
                                ? ": differs"
                                : ": differs; a push there means " +
                                      one_line(change->as_text().value_or(""), Sender::change_bytes_max)));
  }
  finish(number, true, same ? "both nodes hold the same" : "the nodes differ", std::move(lines));
}

/// The node that has a peer asks; the other waits at its door.
void Agent::Parts::pair_on(std::unique_lock<std::mutex>& lock) {
  if (!pairing.is_open() || !settings.peer || settings.role == Role::secondary || now() < pair_next) return;
  const xmlrpc::Call call = pair_committed ? pairing.reveal_call() : pairing.commit_call();
  ClientTls tls = client_tls();
  tls.accept = [](const KeyHash&) { return std::string{}; };  // whoever it is: both operators judge
  lock.unlock();
  KeyHash shown{};
  const auto answer = ask(*settings.peer, tls, call, shown);
  lock.lock();
  if (!pairing.is_open()) return;
  pair_next = now() + std::chrono::seconds{1};
  if (const auto* why = std::get_if<std::string>(&answer)) {
    // Until the commitment is answered, the other operator has not begun yet; then an answer may be lost.
    if (pair_committed && ++pair_unanswered == pair_unanswered_max) pairing.close(*why);
    return;
  }
  const auto& value = std::get<xmlrpc::Value>(answer);
  const std::string why = pair_committed ? pairing.revealed(value, shown) : pairing.committed(value, shown);
  if (!why.empty()) return note(true, "not paired: " + why);
  if (std::exchange(pair_committed, true)) return;
  pair_next = now();
  pair_on(lock);
}

}  // namespace pfsync::engine::config_sync
