#include "engine/replay/capture.h"

#include <pcap/pcap.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>

#include "engine/replay/link_layer.h"

namespace pfsync::engine::replay {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

struct Closed {
  void operator()(pcap_t* file) const noexcept { pcap_close(file); }
};
using File = std::unique_ptr<pcap_t, Closed>;

/// Bounds for nonsense in a file, so that no arithmetic on times can overflow: Unix times of 32 bits, and
/// a clock that runs for at most 30 years (the table counts seconds in 32 bits).
constexpr std::int64_t unix_s_max = 0xffffffff;
constexpr seconds span_max{30LL * 365 * 86400};
constexpr std::uint64_t frames_between_progress = 4096;

std::optional<LinkLayer> link_layer(int type) noexcept {
  switch (type) {
    case DLT_EN10MB: return LinkLayer::ethernet;
    case DLT_LINUX_SLL: return LinkLayer::cooked_v1;
    case DLT_LINUX_SLL2: return LinkLayer::cooked_v2;
    case DLT_RAW:
    case DLT_IPV4:
    case DLT_IPV6: return LinkLayer::raw_ip;
    default: return std::nullopt;
  }
}

/// Contract: the file was opened for nanoseconds, which then are what tv_usec counts.
nanoseconds unix_time(const timeval& ts) noexcept {
  const auto s = std::clamp<std::int64_t>(ts.tv_sec, 0, unix_s_max);
  return seconds{s} + nanoseconds{std::clamp<std::int64_t>(ts.tv_usec, 0, 999'999'999)};
}

std::string unreadable(const std::string& path, const std::string& why) {
  return path + " cannot be read as a capture (" + why + "): give a pcap or pcapng file";
}

}  // namespace

std::variant<Capture, std::string> Capture::load(const std::string& path, const Progress& progress) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return unreadable(path, "it is a directory");
  std::array<char, PCAP_ERRBUF_SIZE> why{};
  const File file{pcap_open_offline_with_tstamp_precision(path.c_str(), PCAP_TSTAMP_PRECISION_NANO, why.data())};
  if (!file) {
    // libpcap puts the path in front of what the system said, but not in front of its own words.
    std::string text{why.data()};
    if (text.starts_with(path + ": ")) text.erase(0, path.size() + 2);
    return unreadable(path, text);
  }
  const auto link = link_layer(pcap_datalink(file.get()));
  if (!link) {
    const char* name = pcap_datalink_val_to_name(pcap_datalink(file.get()));
    return path + " has link type " + (name != nullptr ? name : std::to_string(pcap_datalink(file.get()))) +
           ", which is not read here: capture on Ethernet, with Linux cooked headers or as raw IP";
  }
  const auto file_bytes = std::filesystem::file_size(path, error);

  Capture capture;
  nanoseconds first{0};
  pcap_pkthdr* header = nullptr;
  const u_char* data = nullptr;
  int got = 0;
  while ((got = pcap_next_ex(file.get(), &header, &data)) == 1) {
    const nanoseconds time = unix_time(header->ts);
    if (capture.frames_++ == 0) first = time;
    capture.span_ = std::max(capture.span_, std::min<nanoseconds>(time - first, span_max));
    const bool cut = header->caplen < header->len;
    if (cut) ++capture.cut_frames_;
    if (progress && !error && file_bytes > 0 && capture.frames_ % frames_between_progress == 0)
      progress(static_cast<double>(std::ftell(pcap_file(file.get()))) / static_cast<double>(file_bytes));

    const auto packet = network_packet(*link, {data, header->caplen});
    if (!packet || !claims_pfsync(*packet)) continue;
    capture.packets_.push_back({.at = statetable::Instant{capture.span_},
                                .unix_time = time,
                                .offset = capture.bytes_.size(),
                                .bytes = packet->size(),
                                .cut = cut});
    capture.bytes_.insert(capture.bytes_.end(), packet->begin(), packet->end());
  }
  if (got == PCAP_ERROR)
    return path + " is damaged or truncated after frame " + std::to_string(capture.frames_) + " (" +
           pcap_geterr(file.get()) + "): copy it again, or cut it to its whole frames with tcpdump or editcap";
  return capture;
}

}  // namespace pfsync::engine::replay
