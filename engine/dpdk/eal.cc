#include "engine/dpdk/eal.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>

namespace pfsync::engine::dpdk {
namespace {

bool has_hugepages() {
  std::ifstream free_pages{"/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"};
  std::size_t count = 0;
  return (free_pages >> count) && count > 0;
}

/// Where DPDK makes its own; without it telemetry would be a reason not to start.
bool has_runtime_folder() {
  const char* given = std::getenv("RUNTIME_DIRECTORY");  // by systemd
  if (given == nullptr) given = geteuid() == 0 ? "/var/run" : std::getenv("XDG_RUNTIME_DIR");
  return access(given == nullptr ? "/tmp" : given, W_OK | X_OK) == 0;
}

/// "LCORE@CPU", or any CPU when none is given.
std::string place(unsigned lcore, const std::optional<unsigned>& core, const std::string& all) {
  return std::to_string(lcore) + "@" + (core ? std::to_string(*core) : all);
}

}  // namespace

Eal::Eal(const EalConfig& config) {
  const long cpus = sysconf(_SC_NPROCESSORS_CONF);
  std::vector<unsigned> given = config.data_core_cpus;
  if (config.control_core) given.push_back(*config.control_core);
  for (const unsigned core : given)
    if (core >= static_cast<unsigned>(cpus))
      throw std::runtime_error{"cores: there is no CPU " + std::to_string(core) + " on this machine: give 0 to " +
                               std::to_string(cpus - 1)};
  const std::string all = cpus > 1 ? "(0-" + std::to_string(cpus - 1) + ")" : "0";
  std::string places = place(0, config.control_core, all);
  for (unsigned core = 0; core < config.data_cores; ++core) {
    std::optional<unsigned> cpu;
    if (core < config.data_core_cpus.size()) cpu = config.data_core_cpus[core];
    places.append(1, ',').append(place(core + 1, cpu, all));
  }
  // What goes wrong comes back as an error and is said in one sentence; DPDK's own lines are for its developers.
  std::vector<std::string> arguments{config.program, "--log-level=*:critical", "--lcores", places};
  // A folder of our own: dpdk-telemetry.py -f pfsyncd.
  if (config.telemetry && has_runtime_folder())
    arguments.insert(arguments.end(), {"--file-prefix", config.program});
  else
    arguments.emplace_back("--no-telemetry");
  if (has_hugepages())
    arguments.emplace_back("--in-memory");
  else  // DPDK 22.11 refuses --in-memory here; without hugepages nothing is shared but the configuration file
    arguments.insert(arguments.end(), {"--no-huge", "--no-shconf", "-m", std::to_string(config.memory_mib)});
  if (config.allow.empty()) arguments.emplace_back("--no-pci");
  for (const std::string& device : config.allow) arguments.insert(arguments.end(), {"-a", device});

  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  if (rte_eal_init(static_cast<int>(argv.size()) - 1, argv.data()) < 0)
    throw std::runtime_error{std::string{"DPDK did not start: "} + rte_strerror(rte_errno)};
}

}  // namespace pfsync::engine::dpdk
