#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tests/fuzz/mutate.h"

namespace pfsync::fuzz {

/// A script of events, read from its front: behind its end everything is 0 and empty.
class Script {
 public:
  Script(const std::uint8_t* data, std::size_t size) : bytes_{reinterpret_cast<const char*>(data), size} {}
  [[nodiscard]] bool more() const { return !bytes_.empty(); }
  [[nodiscard]] std::size_t left() const { return bytes_.size(); }
  std::uint8_t byte() {
    if (bytes_.empty()) return 0;
    const char value = bytes_.front();
    bytes_.remove_prefix(1);
    return static_cast<std::uint8_t>(value);
  }
  template <class T, std::size_t n>
  T one_of(const std::array<T, n>& values) {
    return values[byte() % n];
  }
  /// Behind a byte that says how many.
  std::string_view text() {
    const std::size_t count = byte();
    const std::string_view taken = bytes_.substr(0, count);
    bytes_.remove_prefix(taken.size());
    return taken;
  }

 private:
  std::string_view bytes_;
};

/// What an event is made of behind its kind: so many bytes, then so many texts.
struct EventForm {
  std::size_t bytes = 0, texts = 0;
};

/// For events_of(): how many bytes the event at `at` has, of which `forms` has one for each kind.
template <std::size_t Kinds>
std::size_t bytes_of_event(const EventForm (&forms)[Kinds], const Input& input, std::size_t at) {
  const EventForm& form = forms[input[at] % Kinds];
  std::size_t bytes = 1 + form.bytes;
  for (std::size_t text = 0; text < form.texts && at + bytes < input.size(); ++text) bytes += 1u + input[at + bytes];
  return bytes;
}

/// A script's mutator: events as wholes, and sometimes words that the reader knows in the place of bytes.
template <std::size_t Kinds>
void mutate_script(Input& input, Random& random, const EventForm (&forms)[Kinds],
                   std::initializer_list<std::string_view> words) {
  auto events = events_of(input, [&](const Input& all, std::size_t at) { return bytes_of_event(forms, all, at); });
  if (!events.empty() && random.one_in(4)) {  // another text at the end of an event
    Input& event = events[random.below(events.size())];
    const EventForm& form = forms[event.empty() ? 0 : event[0] % Kinds];
    const std::string_view word = words.begin()[random.below(words.size())];
    if (form.texts > 0 && event.size() > form.bytes) {
      event.resize(1 + form.bytes);
      event.push_back(static_cast<std::uint8_t>(std::min<std::size_t>(word.size(), 255)));
      event.insert(event.end(), word.begin(), word.begin() + event.back());
    }
  } else {
    mutate_pieces(events, random);
  }
  input = joined(events);
}

}  // namespace pfsync::fuzz
