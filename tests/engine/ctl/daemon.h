#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <variant>

#include "engine/control/control.h"
#include "tests/engine/node.h"

namespace pfsync::engine::test {

/// A control server in a thread of its own, as in a daemon. What the handler touches is this thread's
/// while it runs.
class Daemon {
 public:
  Daemon(const std::string& path, ControlServer::Handler handler, const ControlServer::Limits& limits = {}) {
    auto made = ControlServer::create(path, std::move(handler), limits);
    if (const auto* why = std::get_if<std::string>(&made)) throw std::runtime_error{*why};
    server_ = std::move(std::get<0>(made));
    thread_ = std::thread{[this] {
      while (!end_.load(std::memory_order_relaxed)) server_->poll_once(std::chrono::milliseconds{5});
    }};
  }
  Daemon(const std::string& path, Node& node)
      : Daemon{path, [&node](const Json& request) { return handle_request(request, node.view(), node.commands()); }} {}
  ~Daemon() {
    end_.store(true, std::memory_order_relaxed);
    thread_.join();
  }
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

 private:
  std::unique_ptr<ControlServer> server_;
  std::atomic<bool> end_{false};
  std::thread thread_;
};

}  // namespace pfsync::engine::test
