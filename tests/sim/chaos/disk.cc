#include "tests/sim/chaos/disk.h"

#include <cerrno>
#include <utility>

namespace pfsync::sim::chaos {

void Disk::replace_snapshot(std::vector<std::uint8_t> bytes, std::uint64_t number, std::int64_t now_s) {
  step();
  snapshot_ = std::move(bytes);
  snapshot_number_ = number;
  written_at_s_ = now_s;
  step();
}

void Disk::lose_power(std::int64_t now_s, std::uint64_t random) {
  constexpr std::int64_t kept_back_s = 30;  // as long as a page may wait to be written
  left_ = 0;
  if (!lies || !snapshot_ || snapshot_->empty() || now_s - written_at_s_ > kept_back_s) return;
  if (random % 2 == 0)
    snapshot_->resize(random / 2 % snapshot_->size());
  else
    (*snapshot_)[random / 2 % snapshot_->size()] ^= 0x40;
}

void Disk::renew() {
  snapshot_.reset();
  files_.clear();
  left_ = 0;
}

std::optional<std::string> Disk::read(const std::string& name) {
  const auto found = files_.find(name);
  return found == files_.end() ? std::nullopt : std::optional{found->second};
}

void Disk::write(const std::string& name, const std::string& bytes) {
  need_room();
  files_[name] = "";
  step();
  files_[name] = bytes.substr(0, bytes.size() / 2);
  step();
  files_[name] = bytes;
  step();
}

void Disk::rename(const std::string& from, const std::string& to) {
  step();
  files_[to] = files_.at(from);
  files_.erase(from);
  step();
}

void Disk::link(const std::string& from, const std::string& to) {
  need_room();
  files_.erase(to);
  step();
  files_[to] = files_.at(from);
  step();
}

void Disk::remove(const std::string& name) {
  files_.erase(name);
  step();
}

std::vector<std::string> Disk::list() {
  std::vector<std::string> names;
  for (const auto& [name, bytes] : files_) names.push_back(name);
  return names;
}

}  // namespace pfsync::sim::chaos
