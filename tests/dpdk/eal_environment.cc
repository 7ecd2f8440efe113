#include <gtest/gtest.h>

#include <memory>

#include "engine/dpdk/eal.h"

namespace pfsync::engine::dpdk {
namespace {

/// One EAL for the process: DPDK can be started once only.
class EalEnvironment : public ::testing::Environment {
 public:
  void SetUp() override { eal_ = std::make_unique<Eal>(EalConfig{.program = "port_test", .memory_mib = 256}); }
  void TearDown() override { eal_.reset(); }

 private:
  std::unique_ptr<Eal> eal_;
};
[[maybe_unused]] const auto* const environment = ::testing::AddGlobalTestEnvironment(new EalEnvironment);

}  // namespace
}  // namespace pfsync::engine::dpdk
