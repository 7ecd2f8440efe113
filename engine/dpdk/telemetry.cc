#include "engine/dpdk/telemetry.h"

#include <fmt/format.h>
#include <rte_telemetry.h>

#include <charconv>
#include <mutex>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>

#include "engine/http/mailbox.h"

namespace pfsync::engine::dpdk {

struct Telemetry::Parts {
  static constexpr std::size_t waiting_max = 8;  ///< telemetry has ten clients at most
  http::Mailbox mailbox{waiting_max};
};

namespace {

using std::chrono::milliseconds;

constexpr milliseconds patience{1000}, telemetry_turn{5};
constexpr std::size_t telemetry_requests_a_turn = 4;
constexpr std::size_t text_max = RTE_TEL_MAX_STRING_LEN - 1;

/// The commands have no argument of their own, and cannot be taken back.
std::mutex guard;
std::shared_ptr<http::Mailbox> open_mailbox;

std::shared_ptr<http::Mailbox> mailbox() {
  const std::lock_guard lock{guard};
  return open_mailbox;
}

std::string cut(std::string text) {
  if (text.size() > text_max) text.resize(text_max);
  return text;
}

/// Words of at most `text_max` in a row; a sentence is longer than telemetry's strings.
void add_lines(rte_tel_data* array, std::string_view text) {
  while (text.size() > text_max) {
    std::size_t end = text.rfind(' ', text_max);
    if (end == std::string_view::npos || end == 0) end = text_max;
    rte_tel_data_add_array_string(array, std::string{text.substr(0, end)}.c_str());
    text.remove_prefix(end);
    if (text.starts_with(' ')) text.remove_prefix(1);
  }
  rte_tel_data_add_array_string(array, std::string{text}.c_str());
}

/// Telemetry's names have letters, digits, _ and / only.
std::string name_of(std::string_view word) {
  std::string name{word};
  for (char& c : name)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_')) c = '_';
  return cut(name);
}

void add_texts(rte_tel_data* dict, const std::string& name, const Json& list) {
  rte_tel_data* array = rte_tel_data_alloc();
  if (array == nullptr) return;
  rte_tel_data_start_array(array, RTE_TEL_STRING_VAL);
  for (const Json& one : list) add_lines(array, one.is_string() ? one.get<std::string>() : one.dump());
  rte_tel_data_add_dict_container(dict, name.c_str(), array, 0);
}

void add(rte_tel_data* dict, const std::string& name, const Json& value);

/// Objects in objects as longer names; telemetry has none of its own.
void add_all(rte_tel_data* dict, const std::string& prefix, const Json& object) {
  for (const auto& [word, value] : object.items())
    add(dict, name_of(prefix.empty() ? word : prefix + "_" + word), value);
}

/// Telemetry has no fractions: seconds become milliseconds, others are written as text.
void add(rte_tel_data* dict, const std::string& name, const Json& value) {
  if (value.is_boolean())
    rte_tel_data_add_dict_int(dict, name.c_str(), value.get<bool>() ? 1 : 0);
  else if (value.is_number_float() && name.ends_with("_s") && !name.ends_with("_per_s") && value.get<double>() >= 0)
    rte_tel_data_add_dict_u64(dict, (name.substr(0, name.size() - 1) + "ms").c_str(),
                              static_cast<std::uint64_t>(1000 * value.get<double>()));
  else if (value.is_number_float())
    rte_tel_data_add_dict_string(dict, name.c_str(), fmt::format("{:.6g}", value.get<double>()).c_str());
  else if (value.is_number_unsigned() || (value.is_number_integer() && value.get<std::int64_t>() >= 0))
    rte_tel_data_add_dict_u64(dict, name.c_str(), value.get<std::uint64_t>());
  else if (value.is_number_integer())
    rte_tel_data_add_dict_int(dict, name.c_str(), value.get<int>());
  else if (value.is_string())
    rte_tel_data_add_dict_string(dict, name.c_str(), cut(value.get<std::string>()).c_str());
  else if (value.is_object())
    add_all(dict, name, value);
  else if (value.is_array() && (value.empty() || value.front().is_string()))
    add_texts(dict, name, value);
}

int refuse(rte_tel_data* data, const std::string& sentence) {
  rte_tel_data_start_dict(data);
  rte_tel_data_add_dict_string(data, "error", cut(sentence).c_str());
  return 0;
}

/// What the control thread says to `show`; a sentence where it says nothing.
Json ask(const char* what) {
  const auto to = mailbox();
  std::optional<Json> answer;
  if (to) answer = to->post({{"command", "show"}, {"what", what}}, patience);
  if (!answer) return {{"ok", false}, {"error", "the control thread has not answered within a second: try again"}};
  return *answer;
}

int reply(rte_tel_data* data, Json answer) {
  if (!answer.value("ok", false)) return refuse(data, answer.value("error", "it gave no reason"));
  answer.erase("ok");
  rte_tel_data_start_dict(data);
  add_all(data, "", answer);
  return 0;
}

/// Without a number a list of what there is, with one all of that one.
template <class Name>
int reply_of(rte_tel_data* data, const char* parameters, const Json& answer, const char* list, Name&& name) {
  if (!answer.value("ok", false)) return refuse(data, answer.value("error", "it gave no reason"));
  const Json& all = answer.at(list);
  const std::string_view text{parameters == nullptr ? "" : parameters};
  if (text.empty()) {
    rte_tel_data_start_array(data, RTE_TEL_STRING_VAL);
    for (const Json& one : all) rte_tel_data_add_array_string(data, cut(name(one)).c_str());
    return 0;
  }
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number >= all.size())
    return refuse(data, fmt::format("there are {}: give a number from 0 on, below that", all.size()));
  rte_tel_data_start_dict(data);
  add_all(data, "", all.at(number));
  return 0;
}

/// What a handler throws must not reach telemetry, which is C.
template <class F>
int guarded(rte_tel_data* data, F&& f) noexcept {
  try {
    return f();
  } catch (const std::exception& error) {
    return refuse(data, error.what());
  }
}

std::string address_of(const Json& peer) { return peer.at("address").get<std::string>(); }

int show_health(const char*, const char*, rte_tel_data* data) {
  return guarded(data, [&] {
    const Json status = ask("status");
    if (!status.value("ok", false)) return reply(data, status);
    Json troubles = Json::array(), sentences = Json::array();
    for (const Json& reason : status.at("reasons")) {
      troubles.push_back(reason.at("trouble"));
      sentences.push_back(reason.at("sentence"));
    }
    return reply(data, {{"ok", true},
                        {"healthy", status.at("healthy")},
                        {"verdict", status.at("verdict")},
                        {"troubles", troubles},
                        {"sentences", sentences}});
  });
}

int show_status(const char*, const char*, rte_tel_data* data) {
  return guarded(data, [&] { return reply(data, ask("status")); });
}

int show_stats(const char*, const char*, rte_tel_data* data) {
  return guarded(data, [&] {
    Json answer = ask("counters");
    if (!answer.value("ok", false)) return reply(data, answer);
    // All words are different, and those of the messages begin with what happened to them.
    Json all{{"ok", true}};
    all.update(answer.at("counters"));
    all.update(answer.at("outside"));
    all["received"] = answer.at("received");
    all["sent"] = answer.at("sent");
    return reply(data, std::move(all));
  });
}

int show_peers(const char*, const char* parameters, rte_tel_data* data) {
  return guarded(data, [&] { return reply_of(data, parameters, ask("peers"), "peers", address_of); });
}

int show_bulk(const char*, const char* parameters, rte_tel_data* data) {
  return guarded(data, [&] { return reply_of(data, parameters, ask("bulk"), "bulk", address_of); });
}

int show_carp(const char*, const char* parameters, rte_tel_data* data) {
  return guarded(data, [&] {
    return reply_of(data, parameters, ask("carp"), "hosts", [](const Json& host) {
      return fmt::format("{}@{} {}", host.at("vhid").dump(), host.at("interface").get<std::string>(),
                         host.at("state").get<std::string>());
    });
  });
}

struct Command {
  const char* name;
  telemetry_cb handler;
  const char* help;
};
constexpr Command commands[] = {
    {"/pfsync/health", show_health, "The verdict on the sync, and its reasons. No parameters."},
    {"/pfsync/status", show_status, "Node, link, table and traffic. No parameters."},
    {"/pfsync/stats", show_stats, "Every counter. No parameters."},
    {"/pfsync/peers", show_peers,
     "The peers' addresses; with a number from 0 on, all of that peer. Parameters: int number"},
    {"/pfsync/bulk", show_bulk, "Likewise, the bulk updates with a peer. Parameters: int number"},
    {"/pfsync/carp", show_carp, "The virtual hosts; with a number from 0 on, all of that one. Parameters: int number"},
};

}  // namespace

Telemetry::Telemetry() : parts_{std::make_shared<Parts>()} {
  {
    const std::lock_guard lock{guard};
    open_mailbox = {parts_, &parts_->mailbox};
  }
  static bool is_registered = false;  // they cannot be taken back
  if (is_registered) return;
  for (const Command& command : commands)
    if (rte_telemetry_register_cmd(command.name, command.handler, command.help) != 0)
      throw std::runtime_error{std::string{"control.telemetry: "} + command.name + " cannot be registered"};
  is_registered = true;
}

Telemetry::~Telemetry() {
  parts_->mailbox.close();
  const std::lock_guard lock{guard};
  open_mailbox.reset();
}

void Telemetry::serve(const std::function<Json(const Json&)>& handler) {
  parts_->mailbox.serve(handler, telemetry_requests_a_turn, telemetry_turn);
}

}  // namespace pfsync::engine::dpdk
