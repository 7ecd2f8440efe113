#include "engine/http/mailbox.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace pfsync::engine::http {

/// Owned by the one who waits and by the mailbox; whoever is last frees it.
struct Mailbox::Call {
  Json request;
  Json answer{};
  bool done = false;
};

std::optional<Json> Mailbox::post(Json request, std::chrono::milliseconds patience) {
  const auto call = std::make_shared<Call>(Call{.request = std::move(request)});
  std::unique_lock lock{mutex_};
  if (closed_ || waiting_.size() >= capacity_) {
    ++refused_;
    return std::nullopt;
  }
  waiting_.push_back(call);
  answered_.wait_for(lock, patience, [&] { return call->done || closed_; });
  if (call->done) return std::move(call->answer);
  std::erase(waiting_, call);
  ++late_;
  return std::nullopt;
}

std::size_t Mailbox::serve(const std::function<Json(const Json&)>& handler, std::size_t most,
                           std::chrono::milliseconds budget) {
  const auto until = std::chrono::steady_clock::now() + budget;
  std::size_t served = 0;
  while (served < most && std::chrono::steady_clock::now() < until) {
    std::shared_ptr<Call> call;
    {
      const std::lock_guard lock{mutex_};
      if (waiting_.empty()) break;
      call = std::move(waiting_.front());
      waiting_.pop_front();
    }
    // The request is this thread's alone now: whoever posted it reads only `done`, under the lock.
    Json answer;
    try {
      answer = handler(call->request);
    } catch (const std::exception& error) {
      answer = {{"ok", false}, {"error", std::string{"the request could not be carried out: "} + error.what()}};
    }
    {
      const std::lock_guard lock{mutex_};
      call->answer = std::move(answer);
      call->done = true;
    }
    answered_.notify_all();
    ++served;
  }
  return served;
}

void Mailbox::close() {
  {
    const std::lock_guard lock{mutex_};
    closed_ = true;
    waiting_.clear();
  }
  answered_.notify_all();
}

std::size_t Mailbox::waiting() const {
  const std::lock_guard lock{mutex_};
  return waiting_.size();
}

std::uint64_t Mailbox::refused() const {
  const std::lock_guard lock{mutex_};
  return refused_;
}

std::uint64_t Mailbox::late() const {
  const std::lock_guard lock{mutex_};
  return late_;
}

}  // namespace pfsync::engine::http
