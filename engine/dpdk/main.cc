/// pfsyncd: a pfsync node in user space.

#include <CLI/CLI.hpp>
#include <csignal>
#include <exception>
#include <iostream>
#include <optional>
#include <string>
#include <variant>

#include "engine/config/config.h"
#include "engine/config_sync/effective.h"
#include "engine/dpdk/daemon.h"
#include "engine/dpdk/log.h"
#include "engine/dpdk/privileges.h"
#include "engine/version.h"

namespace {

namespace engine = pfsync::engine;

constexpr int exit_cannot_start = 1;
constexpr int exit_usage = 2;

volatile std::sig_atomic_t signalled = 0;
volatile std::sig_atomic_t hung_up = 0;

int refuse(const std::string& sentence, int status) {
  std::cerr << "pfsyncd: " << sentence << ".\n";
  return status;
}

void watch_signals() {
  struct sigaction end {};
  end.sa_handler = [](int signal) { signalled = signal; };
  for (const int signal : {SIGINT, SIGTERM}) sigaction(signal, &end, nullptr);
  struct sigaction reload {};
  reload.sa_handler = [](int) { hung_up = 1; };
  sigaction(SIGHUP, &reload, nullptr);
  std::signal(SIGPIPE, SIG_IGN);  // a client that goes away is an error of its socket
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error of its write
}

}  // namespace

// NOLINTNEXTLINE(bugprone-exception-escape): CLI11 throws here only for options declared wrongly
int main(int argc, char** argv) {
  CLI::App app{"pfsyncd keeps the connection table of a pf firewall pair: a pfsync(4) node in user space."};
  std::string file = "/etc/pfsyncd/pfsyncd.toml";
  bool check = false;
  bool all_system_calls = false;
  std::string user;
  app.add_option("-c,--config", file, "configuration file (TOML)")->capture_default_str();
  app.add_flag("-n,--check-config", check, "read the configuration, say what is wrong with it, and end");
  app.add_option("-u,--user", user, "become this user, without privileges, once the ports are open")->type_name("USER");
  app.add_flag("--all-system-calls", all_system_calls,
               "leave out the restriction of system calls, for a driver that needs others");
  app.set_version_flag("-V,--version", "pfsyncd " + std::string{engine::version});
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : exit_usage;
  }

  const engine::ConfigResult result = check ? engine::load_config(file) : engine::config_sync::load_effective(file);
  if (const auto* sentence = std::get_if<std::string>(&result)) return refuse(*sentence, exit_usage);
  const auto& config = std::get<engine::Config>(result);
  if (check) {
    for (const std::string& warning : config.warnings)
      std::cerr << "pfsyncd: " << file << ": warning: " << warning << ".\n";
    std::cout << file << ": good\n";
    return 0;
  }

  std::optional<engine::dpdk::Identity> identity;
  if (!user.empty()) {
    const auto found = engine::dpdk::find_identity(user);
    if (const auto* sentence = std::get_if<std::string>(&found)) return refuse(*sentence, exit_usage);
    identity = std::get<engine::dpdk::Identity>(found);
  }

  engine::dpdk::open_log(config.log.level);
  watch_signals();
  try {
    engine::dpdk::Daemon daemon{config, file, identity};
    if (!all_system_calls) daemon.restrict();
    daemon.run([] { return signalled != 0; },
               [] {
                 const bool wanted = hung_up != 0;
                 hung_up = 0;
                 return wanted;
               });
  } catch (const std::exception& error) {
    return refuse(error.what(), exit_cannot_start);
  }
  return 0;
}
