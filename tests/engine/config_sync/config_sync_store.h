#pragma once

#include <gtest/gtest.h>

#include <string>

#include "engine/config_sync/revision.h"
#include "engine/config_sync/store.h"
#include "tests/engine/control/memory_files.h"

namespace pfsync::engine::config_sync::test {

inline Stored revision(std::uint64_t generation, const std::string& sync = "{}", std::uint64_t epoch = 1) {
  return {
      .revision = {.origin = std::string(32, 'a'),
                   .epoch = epoch,
                   .generation = generation,
                   .sections = {{"carp", "[]"}, {"node", "{}"}, {"peer", "[]"}, {"sync", sync}, {"timeouts", "{}"}}},
      .source = "push",
      .time_s = 7};
}

inline void put(Store& store, const Stored& stored) {
  EXPECT_EQ(store.stage(stored), "");
  EXPECT_EQ(store.commit(), "");
  EXPECT_EQ(store.confirm(), "");
}

}  // namespace pfsync::engine::config_sync::test
