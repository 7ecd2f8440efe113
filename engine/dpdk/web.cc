#include "engine/dpdk/web.h"

#include <malloc.h>
#include <spdlog/spdlog.h>

#include "engine/http/server.h"
#include "engine/version.h"

namespace pfsync::engine::dpdk {
namespace {

using std::chrono::milliseconds;

/// Bulk updates wait meanwhile: a page of states takes some milliseconds.
constexpr std::size_t requests_a_turn = 4;
constexpr milliseconds turn{5};

void log(http::Server::Level level, const std::string& sentence) {
  level == http::Server::Level::warning ? spdlog::warn("{}", sentence) : spdlog::info("{}", sentence);
}

}  // namespace

struct Web::Parts {
  std::unique_ptr<http::Server> server;
};

Web::Web(const Config& config) : parts_{std::make_unique<Parts>()} {
  if (config.http || config.config_sync) {
    // A pool of memory a thread would keep, for each, what its largest answer took; and what is large would be kept
    // too, once something as large has been given back.
    constexpr int pools = 2, large = 1 << 20;
    mallopt(M_ARENA_MAX, pools);
    mallopt(M_MMAP_THRESHOLD, large);
  }
  if (!config.http) return;
  const auto& sync = config.config_sync;
  auto made = http::Server::create(*config.http, config.control.state_dir, std::string{version}, log,
                                   sync && sync->compat ? sync->compat->user : "");
  if (const auto* why = std::get_if<std::string>(&made)) throw std::runtime_error{*why};
  parts_->server = std::move(std::get<std::unique_ptr<http::Server>>(made));
}

Web::~Web() = default;

void Web::serve(const std::function<Json(const Json&)>& handler) {
  if (parts_->server) parts_->server->mailbox().serve(handler, requests_a_turn, turn);
}

std::vector<NamedCount> Web::counts() const {
  std::vector<NamedCount> counts;
  if (!parts_->server) return counts;
  for (const http::Listener::Count& count : parts_->server->counts())
    counts.push_back({std::string{count.word}, std::string{count.sentence}, count.value});
  return counts;
}

}  // namespace pfsync::engine::dpdk
