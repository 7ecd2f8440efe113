#include "engine/http/metrics.h"

#include <gtest/gtest.h>

#include <charconv>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "engine/control/commands.h"
#include "tests/engine/node.h"

namespace pfsync::engine::http {
namespace {

/// Reads the text as strictly as a linter of Prometheus would: every family has one HELP and one TYPE before its
/// samples and stands in one piece; no series twice; names, labels and values in their forms; counters end in _total;
/// a histogram's buckets grow up to +Inf, which is its count.
class Exposition {
 public:
  Exposition(const std::string& text, MetricsForm form) : open_{form == MetricsForm::openmetrics} {
    std::istringstream in{text};
    bool ended = false;
    for (std::string line; std::getline(in, line); ++number_) {
      if (ended) fail("something follows # EOF");
      if (line == "# EOF" && open_)
        ended = true;
      else if (line.starts_with("# HELP "))
        help(line.substr(7));
      else if (line.starts_with("# TYPE "))
        type(line.substr(7));
      else
        sample(line);
    }
    if (open_ && !ended) fail("no # EOF");
    if (text.empty() || text.back() != '\n') fail("the last line has no end");
    check_histograms();
  }

  [[nodiscard]] const std::string& problems() const { return problems_; }
  /// Of a series, with its labels as they stand there; -1 when it is not there.
  [[nodiscard]] double operator[](const std::string& series) const {
    const auto found = values_.find(series);
    return found == values_.end() ? -1 : found->second;
  }
  [[nodiscard]] std::size_t size() const { return values_.size(); }
  /// Without labels, each once.
  [[nodiscard]] std::set<std::string> names() const {
    std::set<std::string> all;
    for (const auto& [series, value] : values_) all.insert(series.substr(0, series.find('{')));
    return all;
  }

 private:
  void fail(const std::string& what) { problems_ += std::to_string(number_) + ": " + what + "\n"; }

  static bool is_name(const std::string& name) {
    static const std::regex form{"[a-zA-Z_][a-zA-Z0-9_]*"};
    return std::regex_match(name, form);
  }

  void help(const std::string& rest) {
    const std::size_t blank = rest.find(' ');
    const std::string family = rest.substr(0, blank);
    if (blank == std::string::npos || blank + 1 == rest.size()) fail("a HELP without a text");
    if (!is_name(family)) fail("a family's name");
    if (!families_.insert(family).second) fail(family + " is there twice");
    for (std::size_t i = blank + 1; i < rest.size(); ++i)
      if (rest[i] == '\\') {
        if (++i == rest.size() || (rest[i] != '\\' && rest[i] != 'n' && !(open_ && rest[i] == '"'))) fail("an escape");
      }
    family_ = family;
    type_.clear();
  }

  void type(const std::string& rest) {
    const std::size_t blank = rest.find(' ');
    if (rest.substr(0, blank) != family_ || !type_.empty()) fail("a TYPE that does not follow its HELP");
    type_ = rest.substr(blank + 1);
    const std::set<std::string> known{"counter", "gauge", "histogram"};
    if (!known.contains(type_) && !(open_ && type_ == "info")) fail("the type " + type_);
    if (type_ == "counter" && family_.ends_with("_total") == open_) fail("the name of a counter");
    if (type_ == "gauge" && family_.ends_with("_total")) fail("a gauge that is named as a counter");
  }

  /// {a="b",c="d"} from `at` on.
  std::vector<std::pair<std::string, std::string>> labels(const std::string& line, std::size_t& at) {
    std::vector<std::pair<std::string, std::string>> found;
    std::set<std::string> names;
    if (line[at] != '{') return found;
    ++at;
    while (at < line.size() && line[at] != '}') {
      const std::size_t equals = line.find("=\"", at);
      if (equals == std::string::npos) break;
      const std::string name = line.substr(at, equals - at);
      if (!is_name(name) || name.starts_with("__") || !names.insert(name).second) fail("the label " + name);
      std::string value;
      for (at = equals + 2; at < line.size() && line[at] != '"'; ++at) {
        if (line[at] == '\\' && (++at == line.size() || std::string{"\\\"n"}.find(line[at]) == std::string::npos))
          fail("an escape in a label");
        value += line[at];
      }
      found.emplace_back(name, value);
      if (++at < line.size() && line[at] == ',') ++at;
    }
    if (at >= line.size()) fail("labels without an end");
    ++at;
    return found;
  }

  void sample(const std::string& line) {
    std::size_t at = line.find_first_of("{ ");
    if (at == std::string::npos || type_.empty()) return fail("a sample outside a family: " + line);
    const std::string name = line.substr(0, at);
    const std::size_t series_end = line.rfind(' ');
    auto with = labels(line, at);
    if (at != series_end) return fail("one blank stands before the value: " + line);
    const std::string digits = line.substr(at + 1);
    double value = 0;
    const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc{} || stop != digits.data() + digits.size()) fail("the value " + digits);
    if (!values_.emplace(line.substr(0, series_end), value).second) fail("a series is there twice: " + line);
    if (value < 0 && type_ != "gauge") fail("a negative count");

    const std::string suffix = name.starts_with(family_) ? name.substr(family_.size()) : "?";
    if (type_ == "histogram") {
      if (suffix != "_bucket" && suffix != "_sum" && suffix != "_count") fail(name + " in " + family_);
      if (suffix == "_bucket") {
        if (with.empty() || with.back().first != "le") return fail("a bucket without a bound");
        // Its series are those of its other labels, which stand in front.
        const std::string others = series_of(line.substr(name.size(), series_end - name.size()));
        buckets_[family_ + "|" + others].emplace_back(with.back().second, value);
      }
      return;
    }
    const std::string wanted = type_ == "counter" && open_ ? "_total" : type_ == "info" ? "_info" : "";
    if (suffix != wanted) fail(name + " in " + family_);
    if (type_ == "info" && value != 1) fail("an info that is not 1");
  }

  /// The labels without the bound: {a="b",le="1"} → {a="b"}, {le="1"} → nothing.
  static std::string series_of(const std::string& labels) {
    const std::size_t le = labels.rfind("le=\"");
    return le == 1 ? "" : labels.substr(0, le - 1) + "}";
  }

  void check_histograms() {
    for (const auto& [key, buckets] : buckets_) {
      const std::string family = key.substr(0, key.find('|')), others = key.substr(key.find('|') + 1);
      double bound = -1, below = 0;
      for (const auto& [le, count] : buckets) {
        const double next = le == "+Inf" ? std::numeric_limits<double>::infinity() : std::stod(le);
        if (next <= bound || count < below) fail("the buckets of " + family);
        bound = next;
        below = count;
      }
      if (buckets.back().first != "+Inf" || below != (*this)[family + "_count" + others])
        fail("the count of " + family);
    }
  }

  bool open_;
  unsigned number_ = 1;
  std::string problems_;
  std::string family_, type_;
  std::set<std::string> families_;
  std::map<std::string, double> values_;
  std::map<std::string, std::vector<std::pair<std::string, double>>> buckets_;
};

Measured measure(test::Node& node) {
  const auto show = [&](const char* what) {
    return handle_request({{"command", "show"}, {"what", what}, {"sentences", true}}, node.view(), node.commands());
  };
  return {show("status"), show("counters"), show("carp"), show("config_sync")};
}

/// As carp/report.cc gives it, with names that have to be escaped.
Json carp_of_two() {
  const auto host = [](int vhid, const char* state, std::vector<std::string> addresses) {
    return Json{{"interface", "em\"0\\"}, {"vhid", vhid},     {"state", state},
                {"seconds", 1.5},         {"skew_now", 100},  {"addresses", std::move(addresses)},
                {"adverts_in", 5},        {"adverts_out", 6}, {"badauth", 7}};
  };
  return {{"ok", true},
          {"healthy", true},
          {"demotion", -3},
          {"maintenance", false},
          {"enabled", true},
          {"hosts", {host(1, "MASTER", {"192.0.2.1/24", "2001:db8::1/64"}), host(2, "BACKUP", {"192.0.2.2/24"})}},
          {"counters", {{"ipackets", 9}, {"badttl", 0}}},
          {"sentences", {{"ipackets", "packets received\n(IPv4) \\"}, {"badttl", "discarded because of a wrong TTL"}}}};
}

TEST(Metrics, BothFormsKeepTheirRules) {
  test::Node node;
  ASSERT_EQ(node.open(1), Session::Local::done);
  Measured measured = measure(node);
  measured.carp = carp_of_two();
  measured.status["insert_ack"] = {
      {"count", 6}, {"sum_us", 9'000'500}, {"below_us", {{"128", 2}, {"1024", 3}, {"8388608", 1}}}};
  for (const MetricsForm form : {MetricsForm::prometheus, MetricsForm::openmetrics}) {
    const std::string text = metrics_text(measured, form);
    const Exposition page{text, form};
    EXPECT_EQ(page.problems(), "");
    EXPECT_GT(page.size(), 100u);
    EXPECT_EQ(page["pfsync_states_current"], 1);
    EXPECT_EQ(page["pfsync_inserts_total"], 1);
    EXPECT_EQ(page["pfsync_sent_messages_total{message=\"ins\"}"], 0);
    EXPECT_EQ(page["pfsync_build_info{version=\"0.1.0-test\"}"], 1);
    EXPECT_EQ(page["pfsync_insert_ack_seconds_bucket{le=\"0.000128\"}"], 2);
    EXPECT_EQ(page["pfsync_insert_ack_seconds_bucket{le=\"0.001024\"}"], 5);
    EXPECT_EQ(page["pfsync_insert_ack_seconds_bucket{le=\"+Inf\"}"], 6);
    EXPECT_DOUBLE_EQ(page["pfsync_insert_ack_seconds_sum"], 9.0005);
    EXPECT_EQ(page["pfsync_peer_bulk_phase{peer=\"224.0.0.240\",phase=\"asked\"}"], 1);
    EXPECT_EQ(page["pfsync_peer_bulk_phase{peer=\"224.0.0.240\",phase=\"done\"}"], 0);
    EXPECT_EQ(page[R"(carp_vip_status{interface="em\"0\\",vhid="1",vip="2001:db8::1/64"})"], 2);
    EXPECT_EQ(page[R"(carp_vip_status{interface="em\"0\\",vhid="2",vip="192.0.2.2/24"})"], 1);
    EXPECT_EQ(page[R"(carp_vhid_badauth_total{interface="em\"0\\",vhid="2"})"], 7);
    EXPECT_EQ(page["carp_ipackets_total"], 9);
    EXPECT_EQ(page["carp_demotion"], -3);
  }
}

TEST(Metrics, ANodeWithoutVirtualAddressesHasNoneOfTheirs) {
  test::Node node;
  const std::string text = metrics_text(measure(node), MetricsForm::prometheus);
  EXPECT_EQ(Exposition(text, MetricsForm::prometheus).problems(), "");
  EXPECT_EQ(text.find("carp_"), std::string::npos);
  EXPECT_NE(text.find("pfsync_insert_ack_seconds_count 0\n"), std::string::npos);
}

TEST(Metrics, TellTheVerdictItsReasonsAndEachPeer) {
  test::Node node;
  node.link_up = false;
  node.session.on_packet(std::vector<std::uint8_t>(100, 0xff), node.now);  // of nobody's version
  Measured measured = measure(node);
  EXPECT_EQ((Exposition{metrics_text(measured, MetricsForm::prometheus),
                        MetricsForm::prometheus}["pfsync_peer_bulk_remaining_seconds{peer=\"224.0.0.240\"}"]),
            -1)
      << "nothing is under way";
  measured.status["peers"][0]["serving"]["eta_s"] = 2.5;
  measured.status["peers"][0]["answers"] = {{{"address", "10.0.0.2"}, {"unanswered", 7}}};
  measured.status["peers"][0]["round_trip"] = {{"count", 3}, {"sum_us", 600}, {"below_us", {{"256", 3}}}};
  for (const MetricsForm form : {MetricsForm::prometheus, MetricsForm::openmetrics}) {
    const Exposition page{metrics_text(measured, form), form};
    EXPECT_EQ(page.problems(), "");
    EXPECT_EQ(page["pfsync_healthy"], 0);
    EXPECT_EQ(page["pfsync_health{verdict=\"failed\"}"], 1);
    EXPECT_EQ(page["pfsync_health{verdict=\"healthy\"}"], 0);
    EXPECT_EQ(page["pfsync_health_reasons{trouble=\"link\"}"], 1);
    EXPECT_EQ(page["pfsync_health_reasons{trouble=\"deaf\"}"], 0);
    EXPECT_EQ(page["pfsync_peer_packets_received_total{peer=\"224.0.0.240\"}"], 1);
    EXPECT_EQ(page["pfsync_peer_packets_refused_total{peer=\"224.0.0.240\"}"], 1);
    EXPECT_EQ(page["pfsync_peer_last_heard_seconds{peer=\"224.0.0.240\"}"], -1) << "never";
    EXPECT_EQ(page["pfsync_peer_bulk_remaining_seconds{peer=\"224.0.0.240\"}"], 2.5);
    EXPECT_EQ(page["pfsync_peer_unanswered_questions{peer=\"224.0.0.240\",node=\"10.0.0.2\"}"], 7);
    EXPECT_EQ(page["pfsync_peer_round_trip_seconds_bucket{peer=\"224.0.0.240\",le=\"0.000256\"}"], 3);
    EXPECT_EQ(page["pfsync_peer_loss_ratio{peer=\"224.0.0.240\",direction=\"in\"}"], 0);
    EXPECT_EQ(page["pfsync_received_packets_total{address_family=\"ipv4\"}"], 1);
    EXPECT_EQ(page["pfsync_received_packets_total{address_family=\"ipv6\"}"], 0);
    EXPECT_EQ(page["pfsync_dropped_by_reason_total{reason=\"badver\"}"], 1);
  }
}

TEST(Metrics, TellWhatTheProcessTakes) {
  test::Node node;
  Measured measured = measure(node);
  EXPECT_EQ(metrics_text(measured, MetricsForm::prometheus).find("process_"), std::string::npos) << "it is none";
  measured.status["process"] = {
      {"resident_bytes", 5'000'000}, {"virtual_bytes", 9'000'000}, {"heap_bytes", 70'000}, {"cpu_s", 1.25},
      {"open_files", nullptr},       {"open_files_max", 1024},     {"threads", 4},         {"start_time_s", 1.7e9}};
  for (const MetricsForm form : {MetricsForm::prometheus, MetricsForm::openmetrics}) {
    const Exposition page{metrics_text(measured, form), form};
    EXPECT_EQ(page.problems(), "");
    EXPECT_EQ(page["process_resident_memory_bytes"], 5'000'000);
    EXPECT_EQ(page["process_virtual_memory_bytes"], 9'000'000);
    EXPECT_EQ(page["process_heap_bytes"], 70'000);
    EXPECT_EQ(page["process_cpu_seconds_total"], 1.25);
    EXPECT_EQ(page["process_max_fds"], 1024);
    EXPECT_EQ(page["process_threads"], 4);
    EXPECT_EQ(page["process_start_time_seconds"], 1.7e9);
    EXPECT_FALSE(page.names().contains("process_open_fds")) << "it could not be read";
  }
}

/// Every name that the alert rules and the dashboard ask for is one that a node tells.
TEST(Metrics, HaveAllThatTheAlertRulesAndTheDashboardAskFor) {
  test::Node node;
  ASSERT_EQ(node.open(1), Session::Local::done);
  for (const char* word : {"oerrors", "onomem", "imissed", "ierrors", "bulk_frames"})
    node.outside.push_back({word, "a sentence", 0});
  Measured measured = measure(node);
  measured.carp = carp_of_two();
  measured.carp["hosts"][0]["transitions"] = {{"MASTER", 1}};
  measured.config_sync = {{"ok", true},
                          {"role", "primary"},
                          {"healthy", true},
                          {"alarms", Json::array()},
                          {"in_sync", true},
                          {"in_force", nullptr},
                          {"last_push", {{"pushes", 5}, {"failures", 3}}}};
  measured.status["peers"][0]["answers"] = {{{"address", "10.0.0.2"}, {"unanswered", 0}}};
  for (const char* key : {"heard_s", "sent_s", "bulk_round_trip_s"}) measured.status["peers"][0][key] = 1.5;
  measured.status["creators"]["creators"] = {{{"creatorid", "97bc0c81"}, {"states", 1}}};
  measured.status["peers"][0]["sampling"] = {{"same", 7},  {"different", 0}, {"missing", 0}, {"in_flux", 0},
                                             {"ended", 0}, {"share", 0.0},   {"low", 0.0},   {"high", 0.35}};
  measured.status["divergence"]["comparison"]["last"] = {
      {"error", nullptr}, {"time", 1'700'000'000}, {"different", 0}, {"in_flux", 1}};
  measured.status["process"] = {{"resident_bytes", 1}, {"heap_bytes", 1}, {"cpu_s", 1.5}};
  measured.status["snapshot"] = {{"interval_s", 60},
                                 {"error", nullptr},
                                 {"last", {{"at", 1'700'000'000}, {"states", 7}, {"bytes", 500}, {"seconds", 0.5}}}};
  const std::set<std::string> told =
      Exposition(metrics_text(measured, MetricsForm::prometheus), MetricsForm::prometheus).names();
  static const std::regex name{"\\b(pfsync|carp|process)_[a-z0-9_]+"};
  for (const char* file : {"prometheus-alerts.yml", "grafana-dashboard.json"}) {
    std::ifstream in{std::string{PFSYNC_SCRIPTS} + "/" + file};
    const std::string text{std::istreambuf_iterator<char>{in}, {}};
    std::size_t asked = 0;
    for (std::sregex_iterator found{text.begin(), text.end(), name}; found != std::sregex_iterator{}; ++found, ++asked)
      EXPECT_TRUE(told.contains(found->str())) << file << " asks for " << found->str();
    EXPECT_GT(asked, 15u) << file;
  }
}

TEST(Metrics, TheCheckSeesWhatIsWrong) {
  const auto wrong = [](const std::string& text, MetricsForm form = MetricsForm::prometheus) {
    return !Exposition(text, form).problems().empty();
  };
  const std::string family = "# HELP a_total x\n# TYPE a_total counter\n";
  EXPECT_FALSE(wrong(family + "a_total 1\n"));
  EXPECT_TRUE(wrong(family + "a_total 1"));
  EXPECT_TRUE(wrong(family + "a 1\n"));
  EXPECT_TRUE(wrong(family + "a_total 1\na_total 1\n"));
  EXPECT_TRUE(wrong(family + "a_total -1\n"));
  EXPECT_TRUE(wrong(family + "a_total{x=\"\\q\"} 1\n"));
  EXPECT_TRUE(wrong(family + "a_total{x=\"1\",x=\"2\"} 1\n"));
  EXPECT_TRUE(wrong(family + "a_total 1\n" + family));
  EXPECT_TRUE(wrong("# TYPE a gauge\na 1\n"));
  EXPECT_TRUE(wrong("a 1\n"));
  EXPECT_TRUE(wrong("# HELP a x\n# TYPE a gauge\na 1\n", MetricsForm::openmetrics)) << "no # EOF";
  EXPECT_TRUE(wrong(family + "a_total 1\n# EOF\n", MetricsForm::openmetrics)) << "the family's name has a suffix";
}

TEST(Metrics, TellWhetherBothNodesHoldOneConfiguration) {
  test::Node node;
  for (const MetricsForm form : {MetricsForm::prometheus, MetricsForm::openmetrics}) {
    Measured measured = measure(node);
    EXPECT_EQ(metrics_text(measured, form).find("pfsync_config_sync"), std::string::npos) << "there is none";
    measured.config_sync = {{"ok", true},
                            {"role", "primary"},
                            {"healthy", false},
                            {"alarms", {"one", "two"}},
                            {"in_sync", false},
                            {"in_force", {{"generation", 7}, {"epoch", 2}}},
                            {"last_push", {{"pushes", 5}, {"failures", 3}}},
                            {"compat", {{"calls", 11}, {"refused", 4}}}};
    const Exposition page{metrics_text(measured, form), form};
    EXPECT_EQ(page.problems(), "");
    EXPECT_EQ(page[R"(pfsync_config_sync_role_info{role="primary"})"], 1);
    EXPECT_EQ(page["pfsync_config_sync_healthy"], 0);
    EXPECT_EQ(page["pfsync_config_sync_alarms"], 2);
    EXPECT_EQ(page["pfsync_config_sync_in_sync"], 0);
    EXPECT_EQ(page["pfsync_config_sync_generation"], 7);
    EXPECT_EQ(page["pfsync_config_sync_epoch"], 2);
    EXPECT_EQ(page["pfsync_config_sync_push_failures_total"], 3);
    EXPECT_EQ(page["pfsync_compat_calls_refused_total"], 4);
    measured.config_sync["in_sync"] = nullptr;  // on a secondary
    measured.config_sync["in_force"] = nullptr;
    const Exposition second{metrics_text(measured, form), form};
    EXPECT_EQ(second.problems(), "");
    EXPECT_EQ(second["pfsync_config_sync_in_sync"], -1);
    EXPECT_EQ(second["pfsync_config_sync_generation"], -1);
  }
}

TEST(Metrics, TellOfTheSnapshot) {
  test::Node node;
  for (const MetricsForm form : {MetricsForm::prometheus, MetricsForm::openmetrics}) {
    Measured measured = measure(node);
    EXPECT_EQ(metrics_text(measured, form).find("pfsync_snapshot"), std::string::npos) << "there is none";
    measured.status["snapshot"] = {{"interval_s", 60}, {"error", nullptr}, {"last", nullptr}};
    const Exposition first{metrics_text(measured, form), form};
    EXPECT_EQ(first.problems(), "");
    EXPECT_EQ(first["pfsync_snapshot_healthy"], 1);
    EXPECT_EQ(first["pfsync_snapshot_states"], -1) << "none was written yet";
    measured.status["snapshot"]["error"] = "the disk is full";
    measured.status["snapshot"]["last"] = {{"at", 1'700'000'000}, {"states", 7}, {"bytes", 500}, {"seconds", 0.5}};
    const Exposition page{metrics_text(measured, form), form};
    EXPECT_EQ(page.problems(), "");
    EXPECT_EQ(page["pfsync_snapshot_healthy"], 0);
    EXPECT_EQ(page["pfsync_snapshot_interval_seconds"], 60);
    EXPECT_EQ(page["pfsync_snapshot_timestamp_seconds"], 1'700'000'000);
    EXPECT_EQ(page["pfsync_snapshot_states"], 7);
    EXPECT_EQ(page["pfsync_snapshot_bytes"], 500);
    EXPECT_EQ(page["pfsync_snapshot_duration_seconds"], 0.5);
  }
}

}  // namespace
}  // namespace pfsync::engine::http
