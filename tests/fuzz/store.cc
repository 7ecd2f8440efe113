// What stands in the folder of config_sync, as files of the last process and of whoever wrote there: each is read whole
// or not at all, a start finds one whole revision or says what is damaged, and the store goes on from there.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "engine/config_sync/revision.h"
#include "engine/config_sync/store.h"
#include "tests/engine/control/memory_files.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/mutate.h"

namespace pfsync::fuzz {
namespace {

using namespace engine::config_sync;

constexpr std::string_view heading = "== ";  // NAME follows, then the file's text from the next line on

void check_file(std::string_view text) {
  if (const auto identity = parse_identity(text)) {
    check(is_node_id(identity->node_id), "a node has a node_id");
    check(parse_identity(text_of(*identity)) == identity, "an identity is written and read the same");
  }
  if (const auto stored = parse_stored(text))
    check(parse_stored(text_of(*stored)) == stored, "a revision is written and read the same");
}

void check_store(test::MemoryFiles& files) {
  Store store{files};
  for (const std::string& told : store.load()) check(is_one_line(told), "what a start finds is told in one line");
  check(!store.is_pending() && !files.read("pending") && !files.read("config.new"), "a start leaves nothing half done");
  const auto found = store.current();
  if (const auto text = files.read("config"); text && found)
    check(parse_stored(*text) == found, "what is in force stands in its file");
  Store again{files};
  check(again.load().size() <= 1 && again.current() == found, "the next start finds the same");

  static_cast<void>(store.identity());
  const Stored next{
      .revision = {.origin = std::string(32, 'a'), .epoch = 7, .generation = 7, .sections = {{"sync", "{}"}}},
      .source = "push"};
  check(store.stage(next).empty() && store.commit().empty() && store.current() == next,
        "another revision can be taken");
  if (!found || found->revision.epoch != 7 || found->revision.generation != 7) {
    static_cast<void>(store.roll_back());
    check(store.current() == found, "and given back");
    check(store.stage(next).empty() && store.commit().empty(), "and taken again");
  }
  check(store.confirm().empty() && !store.is_pending(), "and kept");
  check(store.former().size() <= Store::kept, "former ones are bounded in number");
}

}  // namespace
}  // namespace pfsync::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace pfsync;
  std::string_view input{reinterpret_cast<const char*>(data), size};
  fuzz::test::MemoryFiles files;
  while (input.starts_with(fuzz::heading)) {
    input.remove_prefix(fuzz::heading.size());
    const std::string_view name = input.substr(0, input.find('\n'));
    input.remove_prefix(std::min(name.size() + 1, input.size()));
    const std::size_t next = input.starts_with(fuzz::heading) ? 0 : input.find("\n== ");
    const std::string_view text = input.substr(0, next);
    input.remove_prefix(std::min(text.size() + (next == 0 ? 0 : 1), input.size()));
    files.write(std::string{name}, std::string{text});
    fuzz::check_file(text);
  }
  fuzz::check_store(files);
  return 0;
}

/// Each line that is a revision gets the digest that it should have: else nearly every change ends there.
static void mend_digests(pfsync::fuzz::Input& input) {
  using namespace pfsync;
  std::string all;
  for (const fuzz::Input& line : fuzz::split_text(input, "\n")) {
    auto json = nlohmann::json::parse(line.begin(), line.end(), nullptr, false);
    if (json.is_object() && json.contains("sections") && json["sections"].is_object()) {
      engine::config_sync::Sections sections;
      for (const auto& [name, text] : json["sections"].items())
        if (text.is_string()) sections[name] = text.get<std::string>();
      json["digest"] = engine::config_sync::digest_of(sections);
      all += json.dump() + "\n";
    } else {
      all.append(line.begin(), line.end());
    }
  }
  input.assign(all.begin(), all.end());
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  using namespace pfsync;
  return fuzz::mutated(data, size, max_size, seed, [](fuzz::Input& input, fuzz::Random& random) {
    fuzz::mutate_text(
        input, random, "\n,:{}",
        {"== config\n", "== config.new\n", "== pending\n", "== identity\n", "== config.1.1\n", "== config.1.2\n",
         "nothing\n", "config.1.1\n", "config.18446744073709551615.0\n",
         "\"node_id\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"", "\"was_primary\":true", "\"epoch\":1", "\"generation\":2",
         "\"sections\":{\"sync\":\"{}\"}", "\"path\":[]", "\"file_digest\":\"\"", "null", "-1", "1e400"});
    if (!random.one_in(3)) mend_digests(input);
  });
}
