/// pfsyncd: a pfsync node in user space.

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <exception>
#include <iostream>
#include <string>
#include <variant>

#include "engine/config.h"
#include "engine/config_sync/effective.h"
#include "engine/dpdk/daemon.h"
#include "engine/dpdk/log_level.h"
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
}

void open_log(engine::Config::LogLevel level) {
  spdlog::set_default_logger(spdlog::stderr_logger_mt("pfsyncd"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e %l: %v");
  engine::dpdk::set_log_level(level);
}

}  // namespace

// NOLINTNEXTLINE(bugprone-exception-escape): CLI11 throws here only for options declared wrongly
int main(int argc, char** argv) {
  CLI::App app{"pfsyncd keeps the connection table of a pf firewall pair: a pfsync(4) node in user space."};
  std::string file = "/etc/pfsyncd/pfsyncd.toml";
  bool check = false;
  app.add_option("-c,--config", file, "configuration file (TOML)")->capture_default_str();
  app.add_flag("-n,--check-config", check, "read the configuration, say what is wrong with it, and end");
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

  open_log(config.log.level);
  watch_signals();
  try {
    engine::dpdk::Daemon daemon{config, file};
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
