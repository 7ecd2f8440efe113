#include "engine/dpdk/eal.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <stdexcept>

namespace pfsync::engine::dpdk {
namespace {

bool has_hugepages() {
  std::ifstream free_pages{"/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"};
  std::size_t count = 0;
  return (free_pages >> count) && count > 0;
}

}  // namespace

Eal::Eal(const EalConfig& config) {
  const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
  const std::string all = cpus > 1 ? "(0-" + std::to_string(cpus - 1) + ")" : "0";
  std::vector<std::string> arguments{config.program, "--no-telemetry", "--log-level=error",
                                     "--lcores", "0@" + all + ",1@" + all};
  if (has_hugepages())
    arguments.emplace_back("--in-memory");
  else  // DPDK 22.11 refuses --in-memory here; without hugepages nothing is shared but the configuration file
    arguments.insert(arguments.end(), {"--no-huge", "--no-shconf", "-m", std::to_string(config.memory_mib)});
  if (config.allow.empty()) arguments.emplace_back("--no-pci");
  for (const std::string& device : config.allow) arguments.insert(arguments.end(), {"-a", device});

  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  if (rte_eal_init(static_cast<int>(argv.size()) - 1, argv.data()) < 0)
    throw std::runtime_error{std::string{"DPDK did not start: "} + rte_strerror(rte_errno)};
}

Eal::~Eal() { rte_eal_cleanup(); }

}  // namespace pfsync::engine::dpdk
