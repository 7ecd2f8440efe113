#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>

#include "engine/replay/capture.h"
#include "engine/replay/player.h"
#include "engine/replay/survey.h"
#include "tests/engine/replay/files.h"

namespace pfsync::engine::replay {

/// A capture, played to its end or through its first `frames` pfsync frames.
class Played {
 public:
  explicit Played(const std::string& name, bool expire, std::size_t burst_max = 64, std::size_t frames = SIZE_MAX)
      : Played{std::make_unique<Capture>(load(capture_path(name))), expire, burst_max, frames} {}
  explicit Played(const TemporaryFile& file, bool expire)
      : Played{std::make_unique<Capture>(load(file.path())), expire, 64, SIZE_MAX} {}

  [[nodiscard]] const Player* operator->() const noexcept { return player_.get(); }
  [[nodiscard]] const Capture& capture() const noexcept { return *capture_; }

 private:
  Played(std::unique_ptr<Capture> capture, bool expire, std::size_t burst_max, std::size_t frames)
      : capture_{std::move(capture)} {
    auto made = Player::create(*capture_, {.states_max = survey(*capture_).distinct_states, .expire = expire});
    if (const auto* why = std::get_if<std::string>(&made)) throw std::runtime_error{*why};
    player_ = std::get<std::unique_ptr<Player>>(std::move(made));
    while (player_->burst() > 0 && player_->played() < frames)
      player_->play(std::min({player_->burst(), burst_max, frames - player_->played()}));
    if (frames == SIZE_MAX) player_->finish();
  }

  std::unique_ptr<Capture> capture_;
  std::unique_ptr<Player> player_;
};

}  // namespace pfsync::engine::replay
