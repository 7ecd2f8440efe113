#include "engine/http/metrics.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "engine/control/health.h"
#include "engine/session/peer_counters.h"
#include "wire/reject.h"

namespace pfsync::engine::http {
namespace {

using Json = nlohmann::ordered_json;
using Labels = std::vector<std::pair<std::string_view, std::string>>;

std::string number_text(double value) {
  std::array<char, 40> room{};
  const auto [end, error] = std::to_chars(room.data(), room.data() + room.size(), value);
  return {room.data(), end};
}

std::string number_text(const Json& value) {
  if (value.is_boolean()) return value.get<bool>() ? "1" : "0";
  if (value.is_number_float()) return number_text(value.get<double>());
  return value.is_number() ? value.dump() : "0";
}

std::string escaped(std::string_view text, bool quotes) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || (c == '"' && quotes)) out += '\\';
    if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  return out;
}

/// A word of ours as a part of a name.
std::string name_of(std::string_view word) {
  std::string name{word};
  for (char& c : name)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_')) c = '_';
  return name;
}

std::string text_of(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

/// Families one after the other, each with its samples in one piece, as both forms want it.
class Page {
 public:
  explicit Page(MetricsForm form) : open_{form == MetricsForm::openmetrics} {}

  /// A family of this name that has been there is left out: false.
  bool counter(const std::string& name, std::string_view help) {
    return begin(open_ ? name : name + "_total", "counter", help, name + "_total");
  }
  bool gauge(const std::string& name, std::string_view help) { return begin(name, "gauge", help, name); }
  bool info(const std::string& name, std::string_view help) {
    return open_ ? begin(name, "info", help, name + "_info") : begin(name + "_info", "gauge", help, name + "_info");
  }
  bool histogram(const std::string& name, std::string_view help) { return begin(name, "histogram", help, name); }

  void text_sample(std::string_view value, const Labels& labels = {}, std::string_view suffix = "") {
    text_ += sample_name_;
    text_ += suffix;
    for (std::size_t i = 0; i < labels.size(); ++i) {
      text_ += i == 0 ? "{" : ",";
      text_.append(labels[i].first).append("=\"").append(escaped(labels[i].second, true)) += '"';
    }
    if (!labels.empty()) text_ += "}";
    text_.append(" ").append(value) += '\n';
  }
  void sample(const Json& value, const Labels& labels = {}) { text_sample(number_text(value), labels); }

  [[nodiscard]] std::string finish() {
    if (open_) text_ += "# EOF\n";
    return std::move(text_);
  }

 private:
  bool begin(const std::string& family, const char* type, std::string_view help, std::string sample_name) {
    if (!names_.insert(family).second) return false;
    sample_name_ = std::move(sample_name);
    text_.append("# HELP ").append(family).append(" ").append(escaped(help, open_)) += '\n';
    text_.append("# TYPE ").append(family).append(" ").append(type) += '\n';
    return true;
  }

  bool open_;
  std::string text_;
  std::string sample_name_;
  std::set<std::string> names_;
};

void write_node(Page& page, const Json& status) {
  const auto gauge = [&](const char* name, const char* help, const Json& value) {
    if (page.gauge(name, help)) page.sample(value);
  };
  page.info("pfsync_build", "which pfsyncd this is");
  page.text_sample("1", {{"version", text_of(status["version"])}});
  page.info("pfsync_node", "the host ids of this node and of those whose states it has");
  page.text_sample("1", {{"creatorid", text_of(status["creatorid"])}, {"is_local", "true"}});
  for (const Json& creator : status["creators"]["creators"])
    if (creator["creatorid"] != status["creatorid"])
      page.text_sample("1", {{"creatorid", text_of(creator["creatorid"])}, {"is_local", "false"}});
  gauge("pfsync_healthy", "1 while nobody has to act", status["healthy"]);
  gauge("pfsync_uptime_seconds", "since the start", status["uptime_s"]);
  gauge("pfsync_link_up", "1 while the link is up", status["link"]["up"]);
  gauge("pfsync_states_current", "states in the table", status["states"]);
  gauge("pfsync_states_limit", "states that the table can hold", status["states_max"]);
  gauge("pfsync_queued_changes", "changes that wait to be announced", status["queued"]);
}

/// Of a family that has begun: a class that ends at 2^i µs counts what took less; the last one has no end.
void write_latency(Page& page, const Json& latency, const Labels& labels = {}) {
  constexpr std::uint64_t last_class_us = std::uint64_t{1} << 23u;
  const auto bucket = [&](const std::string& count, const std::string& bound) {
    Labels with = labels;
    with.emplace_back("le", bound);
    page.text_sample(count, with, "_bucket");
  };
  std::uint64_t below = 0;
  if (latency.is_object())
    for (const auto& [key, count] : latency["below_us"].items()) {
      const std::uint64_t us = std::stoull(key);
      if (us >= last_class_us) continue;
      below += count.get<std::uint64_t>();
      bucket(std::to_string(below), number_text(static_cast<double>(us) / 1e6));
    }
  const std::string all = latency.is_object() ? number_text(latency["count"]) : "0";
  bucket(all, "+Inf");
  const double sum_us = latency.is_object() ? latency["sum_us"].get<double>() : 0;
  page.text_sample(number_text(sum_us / 1e6), labels, "_sum");
  page.text_sample(all, labels, "_count");
}

/// The verdict as one of its words, and how many reasons of each kind there are: each series is always there, so that
/// an alert need not ask whether it is.
void write_health(Page& page, const Json& status) {
  page.gauge("pfsync_health", "1 at the verdict on the sync");
  for (const std::string_view verdict : verdict_words)
    page.sample(Json(status["verdict"] == verdict), {{"verdict", std::string{verdict}}});
  page.gauge("pfsync_health_reasons", "reasons why somebody has to act, by what is wrong");
  for (const std::string_view trouble : trouble_words) {
    std::uint64_t count = 0;
    for (const Json& reason : status["reasons"]) count += reason["trouble"] == trouble;
    page.sample(count, {{"trouble", std::string{trouble}}});
  }
}

/// Under the names that charts of pf firewalls have: by address family, and by reason.
void write_as_pf(Page& page, const Json& status, const Json& counters) {
  const bool is_six = text_of(status["link"]["address"]).find(':') != std::string::npos;
  const auto by_family = [&](const char* name, const char* help, const char* word) {
    page.counter(name, help);
    for (const auto& [family, is_ours] : {std::pair{"ipv4", !is_six}, std::pair{"ipv6", is_six}})
      page.sample(is_ours ? counters["counters"][word] : Json(0), {{"address_family", family}});
  };
  by_family("pfsync_received_packets", "pfsync packets received", "ipackets");
  by_family("pfsync_sent_packets", "pfsync packets sent, bulk updates apart", "opackets");
  page.counter("pfsync_dropped_by_reason", "packets and messages refused, under the words of netstat");
  for (const wire::RejectInfo& row : wire::reject_table)
    page.sample(counters["counters"][std::string{row.word}], {{"reason", std::string{row.word}}});
  page.counter("pfsync_send_errors", "frames that could not be sent");
  for (const char* word : {"oerrors", "onomem"})
    if (const auto found = counters["outside"].find(word); found != counters["outside"].end())
      page.sample(*found, {{"error", word}});
  page.gauge("pfsync_creator_states", "states in the table by the node that created them");
  for (const Json& creator : status["creators"]["creators"])
    page.sample(creator["states"], {{"creatorid", text_of(creator["creatorid"])}});
}

void write_counters(Page& page, const Json& counters) {
  const Json& sentences = counters["sentences"];
  for (const char* group : {"counters", "outside"})
    for (const auto& [word, value] : counters[group].items())
      if (page.counter("pfsync_" + name_of(word), text_of(sentences[word]))) page.sample(value);
  for (const auto& [group, help] :
       {std::pair{"received", "messages received, by kind"}, std::pair{"sent", "messages sent, by kind"}}) {
    page.counter(std::string{"pfsync_"} + group + "_messages", help);
    for (const auto& [word, value] : counters[group].items()) page.sample(value, {{"message", word}});
  }
}

/// What was said and heard, what of it was lost, and whether the peer answers.
void write_answers(Page& page, const Json& peers) {
  const auto labels_of = [](const Json& peer) { return Labels{{"peer", text_of(peer["address"])}}; };
  for (const PeerTallyInfo& row : peer_tally_table) {
    page.counter("pfsync_peer_" + std::string{row.word}, row.sentence);
    for (const Json& peer : peers) page.sample(peer["counts"][std::string{row.word}], labels_of(peer));
  }
  const auto since = [&](const char* name, const char* help, const char* key) {
    page.gauge(name, help);
    for (const Json& peer : peers)
      if (peer[key].is_number()) page.sample(peer[key], labels_of(peer));
  };
  since("pfsync_peer_last_heard_seconds", "since the last packet from this peer", "heard_s");
  since("pfsync_peer_last_sent_seconds", "since the last packet to this peer", "sent_s");
  since("pfsync_peer_bulk_round_trip_seconds", "from a bulk request to the answer's start", "bulk_round_trip_s");
  since("pfsync_peer_queued_changes", "changes that wait for this peer", "queued");
  page.gauge("pfsync_peer_interfaces_unmapped", "interface names met without a row in this peer's map");
  for (const Json& peer : peers) page.sample(peer["interfaces_unmapped"].size(), labels_of(peer));
  page.gauge("pfsync_peer_unanswered_questions", "signs of life in a row that a node was asked for in vain");
  for (const Json& peer : peers)
    for (const Json& node : peer["answers"]) {
      Labels labels = labels_of(peer);
      labels.emplace_back("node", text_of(node["address"]));
      page.sample(node["unanswered"], labels);
    }
  for (const auto& [name, key] :
       {std::pair{"pfsync_peer_loss_ratio", "percent"}, std::pair{"pfsync_peer_loss_ratio_low", "low"},
        std::pair{"pfsync_peer_loss_ratio_high", "high"}}) {
    page.gauge(name, "packets lost on their way within the last minute, estimated; low and high: 95 % of certainty");
    for (const Json& peer : peers)
      for (const auto& [direction, loss] : {std::pair{"in", "loss_in"}, std::pair{"out", "loss_out"}}) {
        Labels labels = labels_of(peer);
        labels.emplace_back("direction", direction);
        page.text_sample(number_text(peer[loss][key].get<double>() / 100), labels);
      }
  }
  page.histogram("pfsync_peer_round_trip_seconds", "from asking this peer for a sign of life to its answer");
  for (const Json& peer : peers) write_latency(page, peer["round_trip"], labels_of(peer));
}

void write_peers(Page& page, const Json& peers) {
  const auto each = [&](const auto& value) {
    for (const Json& peer : peers) page.sample(value(peer), {{"peer", text_of(peer["address"])}});
  };
  constexpr std::array phases{"none", "asked", "receiving", "done", "failed"};
  page.gauge("pfsync_peer_active", "1 while this peer is spoken with");
  each([](const Json& peer) { return peer["active"]; });
  page.info("pfsync_peer_dialect", "what is written to this peer, and why");
  for (const Json& peer : peers)
    page.text_sample("1", {{"peer", text_of(peer["address"])},
                           {"dialect", text_of(peer["dialect"])},
                           {"from", text_of(peer["dialect_from"])}});
  page.counter("pfsync_peer_dialect_changes", "times that another dialect was chosen for this peer");
  each([](const Json& peer) { return peer["dialect_changes"]; });
  page.gauge("pfsync_peer_bulk_phase", "1 at the phase that the bulk update asked of this peer is in");
  for (const Json& peer : peers)
    for (const char* phase : phases)
      page.sample(Json(peer["bulk"]["phase"] == phase), {{"peer", text_of(peer["address"])}, {"phase", phase}});
  page.gauge("pfsync_peer_bulk_states_received", "states of the bulk update asked of this peer");
  each([](const Json& peer) { return peer["bulk"]["states_received"]; });
  page.gauge("pfsync_peer_bulk_serving", "1 while this peer gets a bulk update");
  each([](const Json& peer) { return peer["serving"]["running"]; });
  page.gauge("pfsync_peer_bulk_states_sent", "states of the bulk update that this peer got");
  each([](const Json& peer) { return peer["serving"]["states_sent"]; });
  page.gauge("pfsync_peer_bulk_states_expected", "states that this peer's bulk update is to bring");
  each([](const Json& peer) { return peer["serving"]["states_total"]; });
  page.gauge("pfsync_peer_bulk_remaining_seconds", "until this peer's bulk update ends, at its rate so far");
  for (const Json& peer : peers)
    if (peer["serving"]["eta_s"].is_number())
      page.sample(peer["serving"]["eta_s"], {{"peer", text_of(peer["address"])}});
  page.counter("pfsync_peer_bulks_served", "bulk updates that this peer got");
  each([](const Json& peer) { return peer["serving"]["bulks_served"]; });
  write_answers(page, peers);
}

/// Samples of the states that peers have, and what they say of all.
void write_samples(Page& page, const Json& peers) {
  page.counter("pfsync_peer_samples",
               "states that this peer was asked for to see whether it has the same, by what came");
  for (const Json& peer : peers) {
    if (!peer["sampling"].is_object()) continue;
    for (const char* verdict : {"same", "different", "missing", "in_flux", "ended"})
      page.sample(peer["sampling"][verdict], {{"peer", text_of(peer["address"])}, {"verdict", verdict}});
  }
  constexpr std::array gauges{
      std::tuple{"pfsync_peer_divergence_ratio", "share",
                 "share of the states that this peer has otherwise or not, as the last samples have it"},
      std::tuple{"pfsync_peer_divergence_ratio_low", "low",
                 "below which that share does not lie, with a confidence of 95 %"},
      std::tuple{"pfsync_peer_divergence_ratio_high", "high",
                 "above which that share does not lie, with a confidence of 95 %"}};
  for (const auto& [name, key, help] : gauges) {
    page.gauge(name, help);
    for (const Json& peer : peers)
      if (peer["sampling"].is_object() && peer["sampling"][key].is_number())
        page.sample(peer["sampling"][key], {{"peer", text_of(peer["address"])}});
  }
}

void write_carp(Page& page, const Json& carp) {
  const auto gauge = [&](const char* name, const char* help, const Json& value) {
    page.gauge(name, help);
    page.sample(value);
  };
  gauge("carp_healthy", "1 while nobody has to look at the virtual addresses", carp["healthy"]);
  gauge("carp_demotion", "how far this node stands back", carp["demotion"]);
  gauge("carp_maintenance_mode", "1 while an operator lets it stand back", carp["maintenance"]);
  gauge("carp_enabled", "0 while an operator took it out of the elections", carp["enabled"]);
  const Json& hosts = carp["hosts"];
  const auto labels_of = [](const Json& host) {
    return Labels{{"interface", text_of(host["interface"])}, {"vhid", text_of(host["vhid"])}};
  };
  const auto each = [&](const char* key) {
    for (const Json& host : hosts) page.sample(host[key], labels_of(host));
  };
  page.gauge("carp_vip_status", "2 while this node is the address's master, 1 as a backup, 0 else");
  for (const Json& host : hosts)
    for (const Json& address : host["addresses"]) {
      Labels labels = labels_of(host);
      labels.emplace_back("vip", text_of(address));
      page.text_sample(host["state"] == "MASTER" ? "2" : host["state"] == "BACKUP" ? "1" : "0", labels);
    }
  page.gauge("carp_vhid_state_seconds", "since the virtual host came into its state");
  each("seconds");
  page.gauge("carp_vhid_advskew", "as it is advertised, with the demotion");
  each("skew_now");
  page.counter("carp_vhid_adverts_received", "advertisements heard of this virtual host");
  each("adverts_in");
  page.counter("carp_vhid_adverts_sent", "advertisements sent of this virtual host");
  each("adverts_out");
  page.counter("carp_vhid_badauth", "advertisements of another password or address list");
  each("badauth");
  const auto each_of = [&](const char* key, const char* label) {
    for (const Json& host : hosts) {
      const auto counts = host.find(key);
      if (counts == host.end()) continue;
      for (const auto& [word, value] : counts->items()) {
        Labels labels = labels_of(host);
        labels.emplace_back(label, word);
        page.sample(value, labels);
      }
    }
  };
  page.counter("carp_vhid_transitions", "times that the virtual host came into a state");
  each_of("transitions", "state");
  page.counter("carp_vhid_mistakes", "sightings of what is set up wrongly on the network");
  each_of("mistake_counts", "mistake");
  for (const auto& [word, value] : carp["counters"].items())
    if (page.counter("carp_" + name_of(word), text_of(carp["sentences"][word]))) page.sample(value);
}

/// Of the last comparison with the paired engine; what all of them counted stands among the counters.
void write_divergence(Page& page, const Json& divergence) {
  const Json& last = divergence["comparison"].is_object() ? divergence["comparison"]["last"] : divergence["comparison"];
  if (!last.is_object()) return;
  const auto gauge = [&](const char* name, const char* help, const Json& value) {
    if (page.gauge(name, help)) page.sample(value);
  };
  gauge("pfsync_compare_last_success", "1 when the last comparison with the paired engine came to its end",
        last["error"].is_null());
  gauge("pfsync_compare_last_timestamp_seconds", "when the last comparison with the paired engine ended", last["time"]);
  gauge("pfsync_compare_last_different", "states in which both nodes differed at the last comparison",
        last["different"]);
  gauge("pfsync_compare_last_in_flux", "states that changed all the time at the last comparison", last["in_flux"]);
}

void write_config_sync(Page& page, const Json& sync) {
  const auto gauge = [&](const char* name, const char* help, const Json& value) {
    page.gauge(name, help);
    page.sample(value);
  };
  page.info("pfsync_config_sync_role", "what this node is to the other one's configuration");
  page.text_sample("1", {{"role", text_of(sync["role"])}});
  gauge("pfsync_config_sync_healthy", "1 while no alarm stands", sync["healthy"]);
  gauge("pfsync_config_sync_alarms", "alarms that stand: pfsyncctl show config_sync names them", sync["alarms"].size());
  if (sync["in_sync"].is_boolean())
    gauge("pfsync_config_sync_in_sync", "1 while the other node holds what this primary has", sync["in_sync"]);
  if (const Json& revision = sync["in_force"]; revision.is_object()) {
    gauge("pfsync_config_sync_generation", "of the shared configuration in force here", revision["generation"]);
    gauge("pfsync_config_sync_epoch", "of the shared configuration in force here", revision["epoch"]);
  }
  const auto counter = [&](const char* name, const char* help, const Json& value) {
    page.counter(name, help);
    page.sample(value);
  };
  counter("pfsync_config_sync_pushes", "configurations that the other node took", sync["last_push"]["pushes"]);
  counter("pfsync_config_sync_push_failures", "pushes that failed", sync["last_push"]["failures"]);
  if (!sync.contains("compat")) return;
  counter("pfsync_compat_calls", "calls of a firewall that may push", sync["compat"]["calls"]);
  counter("pfsync_compat_calls_refused", "calls of whoever has not its password", sync["compat"]["refused"]);
}

/// The table on disk; its counters are among the others.
void write_snapshot(Page& page, const Json& snapshot) {
  const auto gauge = [&](const char* name, const char* help, const Json& value) {
    page.gauge(name, help);
    page.sample(value);
  };
  gauge("pfsync_snapshot_healthy", "0 while the last snapshot that was begun could not be written",
        snapshot["error"].is_null());
  gauge("pfsync_snapshot_interval_seconds", "from the beginning of a snapshot to that of the next",
        snapshot["interval_s"]);
  const Json& last = snapshot["last"];
  if (!last.is_object()) return;
  gauge("pfsync_snapshot_timestamp_seconds", "the moment that the last snapshot shows, since 1970", last["at"]);
  gauge("pfsync_snapshot_states", "states in the last snapshot", last["states"]);
  gauge("pfsync_snapshot_bytes", "of the last snapshot's file", last["bytes"]);
  gauge("pfsync_snapshot_duration_seconds", "that the last snapshot took", last["seconds"]);
}

/// The names that Prometheus's own clients use, and two more. What could not be read is not told.
void write_process(Page& page, const Json& process) {
  const auto tell = [&](bool (Page::*begin)(const std::string&, std::string_view), const char* name, const char* help,
                        const char* key) {
    const auto found = process.find(key);
    if (found != process.end() && found->is_number() && (page.*begin)(name, help)) page.sample(*found);
  };
  const auto gauge = [&](const char* name, const char* help, const char* key) { tell(&Page::gauge, name, help, key); };
  tell(&Page::counter, "process_cpu_seconds", "processor time of all threads", "cpu_s");
  gauge("process_open_fds", "files and sockets that are open", "open_files");
  gauge("process_max_fds", "files and sockets that may be open", "open_files_max");
  gauge("process_resident_memory_bytes", "memory that is there, the table's and the device's with it",
        "resident_bytes");
  gauge("process_virtual_memory_bytes", "addresses that are taken", "virtual_bytes");
  gauge("process_heap_bytes",
        "handed out by malloc and not given back, with what threads keep at hand: a leak makes this grow for ever",
        "heap_bytes");
  gauge("process_threads", "threads", "threads");
  gauge("process_start_time_seconds", "when it was started, since 1970", "start_time_s");
}

}  // namespace

std::string metrics_text(const Measured& measured, MetricsForm form) {
  // By value: operator[] of what is not there makes a null, which is written as 0.
  Measured read = measured;
  Page page{form};
  write_node(page, read.status);
  write_health(page, read.status);
  page.histogram("pfsync_insert_ack_seconds", "from announcing a new state to the peer's acknowledgement");
  write_latency(page, read.status["insert_ack"]);
  write_as_pf(page, read.status, read.counters);
  write_counters(page, read.counters);
  write_peers(page, read.status["peers"]);
  if (read.status["snapshot"].is_object()) write_snapshot(page, read.status["snapshot"]);
  write_samples(page, read.status["peers"]);
  if (read.status["divergence"].is_object()) write_divergence(page, read.status["divergence"]);
  if (read.status["process"].is_object()) write_process(page, read.status["process"]);
  if (read.carp.value("ok", false)) write_carp(page, read.carp);
  if (read.config_sync.is_object() && read.config_sync.value("ok", false)) write_config_sync(page, read.config_sync);
  return page.finish();
}

}  // namespace pfsync::engine::http
