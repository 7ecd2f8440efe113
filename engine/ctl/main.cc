/// pfsyncctl: what an operator asks of a running pfsyncd, and what it answers.

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <functional>
#include <iostream>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/control/state_filter.h"
#include "engine/control/state_id.h"
#include "engine/ctl/carp.h"
#include "engine/ctl/client.h"
#include "engine/ctl/completion.h"
#include "engine/ctl/config.h"
#include "engine/ctl/divergence.h"
#include "engine/ctl/exit_status.h"
#include "engine/ctl/import.h"
#include "engine/ctl/peers.h"
#include "engine/ctl/snapshot.h"
#include "engine/ctl/states.h"
#include "engine/ctl/text.h"
#include "engine/ctl/user.h"
#include "engine/ctl/watch.h"
#include "engine/version.h"

namespace {

using namespace pfsync::engine::ctl;

struct Options {
  std::string socket = "/run/pfsyncd.sock";
  bool json = false;
  bool verbose = false;
  bool digest = false;
  std::string interface;
  std::vector<std::string> words;  ///< of a filter
  std::vector<std::string> of_k;
  double interval_s = 1;
  std::uint64_t pictures = 0;
  int demotion = 0;
  unsigned vhid = 0;
  std::string users_file = "/var/lib/pfsyncd/users";
  std::string user;
  bool renew = false;
  bool repair = false;
  bool full = false;
  std::string peer;
  std::string node;
  std::uint64_t generation = 0;
  std::optional<std::uint64_t> epoch;
  ImportOptions import;
};

int fail(const std::string& sentence, int status) {
  std::cout.flush();  // what was said before the failure stays before it
  std::cerr << "pfsyncctl: " << terminal_safe(sentence) << ".\n";
  return status;
}

/// As a line of JSON: pure ASCII, so that no terminal takes a part of it for a command.
void print_json(const Json& json) { std::cout << json.dump(-1, ' ', true, Json::error_handler_t::replace) << "\n"; }

/// Sentence and exit status of what went wrong, and with --json an object like a refusal of the daemon.
int fail(const Options& options, const std::string& sentence, int status) {
  if (options.json) print_json({{"ok", false}, {"error", sentence}});
  return fail(sentence, status);
}

/// Prints one answer. `text`: how, without --json; `status`: what it means to a script.
int answer_to(
    const Options& options, const Json& request, const std::function<std::string(const Json&)>& text,
    const std::function<int(const Json&)>& status = [](const Json&) { return int{exit_ok}; }) {
  auto client = Client::connect(options.socket);
  if (const auto* why = std::get_if<Unreached>(&client)) return fail(options, why->sentence, exit_no_daemon);
  const auto answer = std::get<Client>(client).ask(request);
  if (const auto* why = std::get_if<Unreached>(&answer)) return fail(options, why->sentence, exit_no_daemon);
  const Json& json = std::get<Json>(answer);
  if (json["ok"] == false) return fail(options, json["error"].get<std::string>(), exit_unhealthy);
  if (options.json)
    print_json(json);
  else
    std::cout << terminal_safe(text(json));
  return status(json);
}

int show_status(const Options& options) {
  return answer_to(options, {{"command", "show"}, {"what", "status"}, {"digest", options.digest}}, status_text,
                   [](const Json& status) { return status.at("healthy").get<bool>() ? exit_ok : exit_unhealthy; });
}

int show_counters(const Options& options) {
  return answer_to(options, {{"command", "show"}, {"what", "counters"}, {"sentences", true}},
                   [&](const Json& counters) { return counters_text(counters, options.verbose); });
}

int order(const Options& options, const Json& request) {
  return answer_to(options, request,
                   [](const Json& answer) { return answer.at("sentence").get<std::string>() + ".\n"; });
}

int show_states(const Options& options) {
  auto client = Client::connect(options.socket);
  if (const auto* why = std::get_if<Unreached>(&client)) return fail(options, why->sentence, exit_no_daemon);
  const auto shown =
      show_states(std::get<Client>(client),
                  {.filter = filter_text(options.words, {}), .json = options.json, .verbose = options.verbose});
  // Pages may stand on standard output already: no object of JSON may follow them.
  if (const auto* why = std::get_if<Unreached>(&shown)) return fail(why->sentence, exit_no_daemon);
  if (const auto* why = std::get_if<std::string>(&shown)) return fail(*why, exit_unhealthy);
  return exit_ok;
}

int kill_states(const Options& options) {
  auto client = Client::connect(options.socket);
  if (const auto* why = std::get_if<Unreached>(&client)) return fail(options, why->sentence, exit_no_daemon);
  const auto killed = kill_states(std::get<Client>(client), filter_text(options.words, options.of_k));
  if (const auto* why = std::get_if<Unreached>(&killed)) return fail(options, why->sentence, exit_no_daemon);
  const Json& answer = std::get<Json>(killed);
  if (answer["ok"] == false) return fail(options, answer["error"].get<std::string>(), exit_unhealthy);
  if (options.json)
    print_json(answer);
  else
    std::cout << answer.at("sentence").get<std::string>() << ".\n";
  return exit_ok;
}

/// One state by its whole identity, as ever: it is an error when there is none. Else all that fit.
int kill(const Options& options) {
  if (options.of_k.empty() && options.words.size() == 1 && pfsync::engine::parse_state_id(options.words[0]))
    return order(options, {{"command", "kill"}, {"id", options.words[0]}});
  return kill_states(options);
}

int show_creators(const Options& options) {
  return answer_to(options, {{"command", "show"}, {"what", "creators"}}, creators_text);
}

int show_tdbs(const Options& options) { return answer_to(options, {{"command", "show"}, {"what", "tdbs"}}, tdbs_text); }

int show_plainly(const Options& options, const char* what, std::string (*text)(const Json&)) {
  return answer_to(options, {{"command", "show"}, {"what", what}}, text);
}

int show_carp(const Options& options) {
  return answer_to(
      options, {{"command", "show"}, {"what", "carp"}},
      [&](const Json& carp) { return carp_text(carp, options.verbose); },
      [](const Json& carp) { return carp.at("healthy").get<bool>() ? exit_ok : exit_unhealthy; });
}

int show_config_sync(const Options& options) {
  return answer_to(
      options, {{"command", "show"}, {"what", "config_sync"}},
      [&](const Json& status) { return config_sync_text(status, options.verbose); },
      [](const Json& status) { return status.at("healthy").get<bool>() ? exit_ok : exit_unhealthy; });
}

int say_outcome(const Options& options, const std::variant<Json, Unreached>& outcome) {
  if (const auto* why = std::get_if<Unreached>(&outcome)) return fail(options, why->sentence, exit_no_daemon);
  const Json& json = std::get<Json>(outcome);
  const auto sentence = json.at("sentence").get<std::string>();
  if (json.at("ok") == false) return fail(options, sentence, exit_unhealthy);
  if (options.json) {
    print_json(json);
    return exit_ok;
  }
  if (const auto lines = json.find("lines"); lines != json.end())
    for (const Json& line : *lines) std::cout << terminal_safe(line.get<std::string>()) << "\n";
  std::cout << terminal_safe(sentence) << ".\n";
  return exit_ok;
}

int order_config(const Options& options, const Json& request) {
  auto client = Client::connect(options.socket);
  if (const auto* why = std::get_if<Unreached>(&client)) return fail(options, why->sentence, exit_no_daemon);
  return say_outcome(options, await_order(std::get<Client>(client), request));
}

int take_snapshot(const Options& options) {
  auto client = Client::connect(options.socket);
  if (const auto* why = std::get_if<Unreached>(&client)) return fail(options, why->sentence, exit_no_daemon);
  return say_outcome(options, take_snapshot(std::get<Client>(client)));
}

int pair_config(const Options& options) {
  auto client = Client::connect(options.socket);
  if (const auto* why = std::get_if<Unreached>(&client)) return fail(options, why->sentence, exit_no_daemon);
  std::cout << "Run pfsyncctl config pair on the other node too, within two minutes.\n" << std::flush;
  return say_outcome(options, pair_nodes(std::get<Client>(client), [](const std::string& text) {
                       std::cout << text << std::flush;
                       std::string typed;
                       std::getline(std::cin, typed);
                       return typed;
                     }));
}

/// Differences, and the exit status of diff(1): 0 alike, 1 not.
int diff_tables(const Options& options) {
  auto client = Client::connect(options.socket);
  if (const auto* why = std::get_if<Unreached>(&client)) return fail(options, why->sentence, exit_no_daemon);
  Client& daemon = std::get<Client>(client);
  const auto compared = options.peer.empty() ? compare_tables(daemon, options.repair)
                                             : compare_with(daemon, options.peer, options.repair);
  if (const auto* why = std::get_if<Unreached>(&compared)) return fail(options, why->sentence, exit_no_daemon);
  const Json& answer = std::get<Json>(compared);
  if (answer.at("ok") == false) return fail(options, answer.at("error").get<std::string>(), exit_unhealthy);
  const bool is_compared = answer.contains("comparison");
  if (is_compared && !answer.at("comparison").at("last").at("error").is_null())
    return fail(options, answer.at("comparison").at("last").at("error").get<std::string>(), exit_unhealthy);
  if (options.json)
    print_json(answer);
  else
    std::cout << terminal_safe(is_compared ? diff_text(answer) : samples_text(answer));
  return are_alike(answer) ? exit_ok : exit_unhealthy;
}

int resync_states(const Options& options) {
  auto client = Client::connect(options.socket);
  if (const auto* why = std::get_if<Unreached>(&client)) return fail(options, why->sentence, exit_no_daemon);
  const auto done = resync(std::get<Client>(client), options.peer, options.full);
  if (const auto* why = std::get_if<Unreached>(&done)) return fail(options, why->sentence, exit_no_daemon);
  const Json& answer = std::get<Json>(done);
  if (answer.at("ok") == false) return fail(options, answer.at("error").get<std::string>(), exit_unhealthy);
  if (options.json)
    print_json(answer);
  else
    std::cout << terminal_safe(answer.at("sentence").get<std::string>()) << ".\n";
  return exit_ok;
}

int change_users(const Options& options, UserOutcome (*change)(const std::string&, const std::string&)) {
  const UserOutcome outcome = change(options.users_file, options.user);
  if (!outcome.done) return fail(options, outcome.sentence, exit_unhealthy);
  if (options.json)
    print_json({{"ok", true}, {"sentence", outcome.sentence}});
  else
    std::cout << terminal_safe(outcome.sentence) << ".\n";
  return exit_ok;
}

int show_users(const Options& options) {
  const auto names = list_users(options.users_file);
  if (const auto* why = std::get_if<std::string>(&names)) return fail(options, *why, exit_unhealthy);
  const auto& all = std::get<std::vector<std::string>>(names);
  if (options.json)
    print_json({{"ok", true}, {"users", all}});
  else
    for (const std::string& name : all) std::cout << name << "\n";
  return exit_ok;
}

/// The configuration on standard output; its notes on standard error too, for whoever sends it into a file.
int import_configuration(const Options& options) {
  const auto result = import_files(options.import);
  if (const auto* why = std::get_if<std::string>(&result)) return fail(options, *why, exit_unhealthy);
  const Json& imported = std::get<Json>(result);
  if (options.json) {
    print_json(imported);
    return exit_ok;
  }
  std::cout << imported.at("toml").get<std::string>() << std::flush;
  if (isatty(STDOUT_FILENO) == 0)
    for (const Json& note : imported.at("notes"))
      std::cerr << "pfsyncctl: note: " << terminal_safe(note.get<std::string>()) << ".\n";
  return exit_ok;
}

/// A candidate a line, and for the shell's own list of files one that no word is.
int print_completion(const CLI::App& app, const std::vector<std::string>& words) {
  const Completion found = complete(app, words);
  for (const std::string& word : found.words) std::cout << word << "\n";
  if (found.files) std::cout << "\tfiles\n";
  return exit_ok;
}

/// A line for each change, for each key that waits for a restart, and for each warning.
int reload(const Options& options) {
  return answer_to(options, {{"command", "reload"}}, [](const Json& answer) {
    std::string text;
    for (const Json& change : answer.at("changes")) text += change.get<std::string>() + "\n";
    for (const Json& key : answer.at("restart")) text += key.get<std::string>() + ": needs a restart\n";
    if (text.empty()) text = answer.at("sentence").get<std::string>() + ".\n";
    for (const Json& warning : answer.at("warnings")) text += "warning: " + warning.get<std::string>() + "\n";
    return text;
  });
}

int watch_status(const Options& options) {
  return watch({.socket = options.socket,
                .interval = std::chrono::milliseconds{static_cast<std::int64_t>(options.interval_s * 1000)},
                .pictures = options.pictures,
                .json = options.json});
}

/// What is wrong with words that must make a filter; empty: nothing.
std::string wrong_with(const std::string& filter) {
  const auto parsed = pfsync::engine::parse_state_filter(filter);
  if (const auto* why = std::get_if<std::string>(&parsed)) return terminal_safe(*why);
  return "";
}

std::string check_interface(const std::string& name) {
  return !name.empty() && name.size() <= 15 ? "" : "an interface name has 1 to 15 characters";
}

constexpr const char* filter_words =
    "host ADDRESS, net ADDRESS/BITS, port PORT, each also behind src or dst; proto NAME; on INTERFACE; creator HEX; id "
    "HEX";

void require_filter(const std::string& filter) {
  if (const std::string why = wrong_with(filter); !why.empty()) throw CLI::ValidationError{"FILTER", why};
}

/// Declares the commands; `chosen` becomes what the command line asks for.
void declare(CLI::App& app, Options& options, std::function<int()>& chosen) {
  const auto command = [&](CLI::App& parent, const char* name, const char* words, std::function<int()> what) {
    auto* sub = parent.add_subcommand(name, words);
    sub->callback([&chosen, what = std::move(what)] { chosen = what; });
    return sub;
  };
  app.add_option("--socket", options.socket, "the daemon's control.socket")
      ->type_name("PATH")
      ->envname("PFSYNCD_SOCKET")
      ->capture_default_str();
  app.add_flag("--json", options.json, "answer as JSON, for programs");
  app.set_version_flag("--version", "pfsyncctl " + std::string{pfsync::engine::version});
  app.require_subcommand(1);
  app.fallthrough();

  auto* show = app.add_subcommand("show", "look at the daemon");
  show->require_subcommand(1);
  command(*show, "status", "health, table and traffic, in the manner of pfctl -si; exit status 1 when unhealthy", [&] {
    return show_status(options);
  })->add_flag("--digest", options.digest, "also the digest of the table, to compare two nodes by");
  auto* states = command(*show, "states", "the state table, or what of it fits a filter, in the manner of pfctl -ss",
                         [&] { return show_states(options); });
  states->add_flag("-v", options.verbose, "all about each state, as pfctl -ss -vv does");
  states->add_option("FILTER", options.words, filter_words);
  states->parse_complete_callback([&options] { require_filter(filter_text(options.words, {})); });
  command(*show, "creators", "how many states each node has created, in the manner of pfctl -sc",
          [&] { return show_creators(options); });
  command(*show, "counters", "what was counted, in the manner of netstat -s", [&] {
    return show_counters(options);
  })->add_flag("-v", options.verbose, "also what is 0");

  command(*show, "peers", "who is spoken with: dialect, last heard, queue, bulk updates, interfaces",
          [&] { return show_plainly(options, "peers", peers_text); });
  command(*show, "bulk", "bulk updates, those asked for and those given, with their progress",
          [&] { return show_plainly(options, "bulk", bulk_text); });
  command(*show, "config", "the configuration that is at work, with every default and without passwords",
          [&] { return show_plainly(options, "config", config_text); });
  command(*show, "tdbs", "replay and byte counters of IPsec SAs, as the peers told them",
          [&] { return show_tdbs(options); });
  command(*show, "carp",
          "virtual addresses, in the manner of ifconfig; exit status 1 when something is wrong with them",
          [&] { return show_carp(options); })
      ->add_flag("-v", options.verbose, "also past changes, past mistakes and counters");

  auto* carp = app.add_subcommand("carp", "steer the virtual addresses");
  carp->require_subcommand(1);
  const auto carp_order = [&](CLI::App& parent, const char* name, const char* words, Json request) {
    request["command"] = "carp";
    return command(parent, name, words, [&options, request] { return order(options, request); });
  };
  carp_order(*carp, "enable", "take part in elections again", {{"do", "enable"}});
  carp_order(*carp, "disable", "hand every address over and stand still, until enabled or restarted",
             {{"do", "disable"}});
  auto* maintenance = carp->add_subcommand("maintenance", "stand back behind the other nodes, also after a restart");
  maintenance->require_subcommand(1);
  carp_order(*maintenance, "enter", "begin", {{"do", "maintenance"}, {"on", true}});
  carp_order(*maintenance, "leave", "end", {{"do", "maintenance"}, {"on", false}});
  command(*carp, "demote", "stand back by N (-240 to 240; 0 ends it), which replaces what was given before",
          [&] {
            return order(options, {{"command", "carp"}, {"do", "demote"}, {"value", options.demotion}});
          })
      ->add_option("N", options.demotion)
      ->required()
      ->check(CLI::Range(-240, 240));
  for (const char* state : {"master", "backup"}) {
    auto* become = command(
        *carp, state, state[0] == 'm' ? "make this node master of a VHID now" : "make this node backup of a VHID now",
        [&options, state] {
          Json request{{"command", "carp"}, {"do", "become"}, {"vhid", options.vhid}, {"state", state}};
          if (!options.interface.empty()) request["interface"] = options.interface;
          return order(options, request);
        });
    become->add_option("VHID", options.vhid)->required()->check(CLI::Range(1, 255));
    become->add_option("-i", options.interface, "on this port, when several have the VHID")
        ->type_name("IFACE")
        ->check(check_interface);
  }

  auto* resync =
      command(app, "resync",
              "get what is missing: from the paired engine just the states that differ, else all states of all peers",
              [&] { return resync_states(options); });
  resync->add_flag("--full", options.full, "all states in any case");
  resync->add_option("--peer", options.peer, "from this one of show peers alone")->type_name("ADDRESS");
  auto* diff = command(app, "diff", "compare the table with the paired engine's; exit status 1 when states differ",
                       [&] { return diff_tables(options); });
  diff->add_flag("--repair", options.repair, "and mend on both what differs");
  diff->add_option("--peer", options.peer,
                   "with this one of show peers: of a peer that knows no digest, a pf kernel, what samples tell")
      ->type_name("ADDRESS");
  command(app, "reload", "let the daemon read its configuration file again", [&] { return reload(options); });
  command(app, "snapshot", "write the table to disk now, and wait until it is there",
          [&] { return take_snapshot(options); });
  command(app, "flush", "remove this node's own states, here and at the peers",
          [&] {
            return order(options, {{"command", "flush"}, {"interface", options.interface}});
          })
      ->add_option("-i", options.interface, "only those on this interface")
      ->type_name("IFACE")
      ->check(check_interface);
  auto* killing =
      command(app, "kill", "remove one state by its id, or all that fit a filter", [&] { return kill(options); });
  killing->add_option("FILTER", options.words,
                      "ID/CREATOR as show states -v prints them, or " + std::string{filter_words});
  killing
      ->add_option("-k", options.of_k,
                   "as pfctl: -k HOST: what comes from there; -k HOST -k HOST: from one to the other; -k id -k ID")
      ->type_name("HOST")
      ->allow_extra_args(false)
      ->expected(0, 2);
  killing->parse_complete_callback([&options] {
    const std::string filter = filter_text(options.words, options.of_k);
    if (filter.empty()) throw CLI::ValidationError{"kill", "name the states to kill: give FILTER or -k"};
    require_filter(filter);
  });
  command(app, "forget", "miss a node of the group no longer that was taken away for good",
          [&] {
            return order(options, {{"command", "forget"}, {"address", options.node}});
          })
      ->add_option("ADDRESS", options.node, "as show peers lists it")
      ->required();
  command(app, "push", "announce queued changes at once", [&] { return order(options, {{"command", "push"}}); });
  auto* synthetic = app.add_subcommand("synthetic", "the load of a node that plays a firewall");
  synthetic->require_subcommand(1);
  command(*synthetic, "start", "let the load go on", [&] {
    return order(options, {{"command", "synthetic"}, {"run", true}});
  });
  command(*synthetic, "stop", "let the load stand still", [&] {
    return order(options, {{"command", "synthetic"}, {"run", false}});
  });

  command(*show, "divergence", "how the table compares with the paired engine's",
          [&] { return show_plainly(options, "divergence", divergence_text); });
  command(*show, "config_sync",
          "what the nodes of a pair know of each other's configuration; exit status 1 on an alarm",
          [&] { return show_config_sync(options); })
      ->add_flag("-v", options.verbose, "also each section's digest, and what happened");
  auto* config = app.add_subcommand("config", "synchronize the configuration of a pair");
  config->require_subcommand(1);
  command(*config, "status", "as show config_sync", [&] {
    return show_config_sync(options);
  })->add_flag("-v", options.verbose, "also each section's digest, and what happened");
  command(*config, "push", "push to the other node now",
          [&] {
            return order_config(options, {{"command", "config"}, {"do", "push"}, {"renew", options.renew}});
          })
      ->add_flag("--renew", options.renew,
                 "above whatever the other node holds: after this one was restored from a backup");
  command(*config, "diff", "compare both nodes, section by section", [&] {
    return order_config(options, {{"command", "config"}, {"do", "diff"}});
  });
  auto* rollback = command(*config, "rollback", "go back to a former generation, on both nodes", [&] {
    Json request{{"command", "config"}, {"do", "rollback"}, {"generation", options.generation}};
    if (options.epoch) request["epoch"] = *options.epoch;
    return order_config(options, request);
  });
  rollback->add_option("GENERATION", options.generation)->required();
  rollback->add_option("--epoch", options.epoch, "the one of that epoch: without it, of the newest that has it");
  command(*config, "pair", "let this node and the other know each other: run it on both, and compare the codes",
          [&] { return pair_config(options); });

  auto* user = app.add_subcommand("user", "who may log in to the web page");
  user->require_subcommand(1);
  user->add_option("--file", options.users_file, "the daemon's http.users_file")
      ->type_name("PATH")
      ->capture_default_str();
  command(*user, "add", "let a user log in, or give another password: asked for, or the first line of standard input",
          [&] { return change_users(options, add_user); })
      ->add_option("NAME", options.user)
      ->required();
  command(*user, "remove", "let a user log in no longer", [&] { return change_users(options, remove_user); })
      ->add_option("NAME", options.user)
      ->required();
  command(*user, "list", "their names", [&] { return show_users(options); });

  auto* importing = command(app, "import", "a firewall's own configuration as one of pfsyncd, on standard output",
                            [&] { return import_configuration(options); });
  importing
      ->add_option(
          "FILE", options.import.files,
          "hostname.pfsync0 and others (OpenBSD), rc.conf and sysctl.conf (FreeBSD), config.xml (pfSense, OPNsense)")
      ->type_name("FILE")
      ->required();
  importing
      ->add_option("--address", options.import.address,
                   "this node's own address, as 10.0.0.3/24: beside the firewall instead of in its place")
      ->type_name("ADDRESS");
  importing
      ->add_option("--device", options.import.devices,
                   "an interface of the firewall is this port here; may be given again")
      ->type_name("THEIRS=OURS")
      ->allow_extra_args(false)
      ->check(check_device_pair);

  auto* watching =
      command(app, "watch", "the status, again and again until Ctrl-C", [&] { return watch_status(options); });
  watching->add_option("-w,--wait", options.interval_s, "seconds between two looks")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.01, 3600.0))
      ->capture_default_str();
  watching->add_option("-n,--count", options.pictures, "end after so many looks")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000'000));
}

}  // namespace

// NOLINTNEXTLINE(bugprone-exception-escape): CLI11 throws here only for options declared wrongly
int main(int argc, char** argv) {
  Options options;
  std::function<int()> chosen;
  CLI::App app{
      "Looks at and steers a running pfsyncd. Exit status: 0 healthy or done, 1 unhealthy or refused, 2 usage, "
      "3 no daemon.",
      "pfsyncctl"};
  declare(app, options, chosen);
  if (argc > 1 && std::string{argv[1]} == "--complete") return print_completion(app, {argv + 2, argv + argc});
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    // Its own answer to --json may not have been looked at yet, and a missing command is told before the word in its
    // place.
    options.json = std::find(argv + 1, argv + argc, std::string{"--json"}) != argv + argc;
    const auto words = app.remaining(true);
    const bool strange = !words.empty() && dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
    return fail(options,
                (strange ? "nothing here is called '" + words.front() + "'" : std::string{error.what()}) +
                    " (pfsyncctl --help shows the usage)",
                exit_usage);
  }
  std::ios::sync_with_stdio(false);
  int status = exit_ok;
  try {
    status = chosen();
  } catch (const Json::exception& error) {
    return fail(std::string{"the answer lacks what was asked for ("} + error.what() +
                    "): see that pfsyncctl and pfsyncd are of one version",
                exit_unhealthy);
  }
  std::cout.flush();
  if (!std::cout)
    return fail("standard output could not be written: free some space or give another place", exit_unhealthy);
  return status;
}
