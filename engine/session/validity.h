#pragma once

#include "engine/session/timeouts.h"
#include "wire/state.h"

namespace pfsync::engine {

/// The range checks that UPD and UPD_C pass before they are used; otherwise badval.
/// Source: FreeBSD sys/netpfil/pf/if_pfsync.c, pfsync_in_upd(), pfsync_in_upd_c().
[[nodiscard]] constexpr bool is_valid(const wire::Update& update) noexcept {
  return update.timeout < pftm_max && update.src.state <= wire::peer_state_max &&
         update.dst.state <= wire::peer_state_max;
}

/// The range checks of INS, and of a UPD that imports its state; otherwise badval.
/// Source: FreeBSD sys/netpfil/pf/if_pfsync.c, pfsync_in_ins().
[[nodiscard]] constexpr bool is_valid(const wire::State& state) noexcept {
  return state.timeout < pftm_max && state.src.state <= wire::peer_state_max &&
         state.dst.state <= wire::peer_state_max && state.direction <= wire::Direction::out &&
         state.af != wire::Family::none;
}

}  // namespace pfsync::engine
