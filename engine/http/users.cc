#include "engine/http/users.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <stdexcept>
#include <system_error>

#include "engine/base64.h"
#include "engine/http/whole_file.h"
#include "engine/http/words.h"

namespace pfsync::engine::http {
namespace {

constexpr std::size_t file_bytes_max = std::size_t{64} * 1024;
constexpr unsigned log2_n_max = 17;  // with r = 8, 128 MiB: more must nobody's file make the daemon take
constexpr unsigned r_max = 8, p_max = 16;

std::vector<std::string_view> fields_of(std::string_view line) {
  std::vector<std::string_view> fields;
  while (true) {
    const std::size_t colon = line.find(':');
    fields.push_back(line.substr(0, colon));
    if (colon == std::string_view::npos) return fields;
    line.remove_prefix(colon + 1);
  }
}

bool read_number(std::string_view text, unsigned low, unsigned high, unsigned& value) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc{} && stop == end && value >= low && value <= high;
}

template <std::size_t N>
bool read_bytes(std::string_view text, std::array<std::uint8_t, N>& bytes) {
  const auto decoded = from_base64(text);
  if (!decoded || decoded->size() != N) return false;
  std::transform(decoded->begin(), decoded->end(), bytes.begin(), [](char c) { return static_cast<std::uint8_t>(c); });
  return true;
}

}  // namespace

PasswordHash hash_password(std::string_view password, const ScryptCost& cost) {
  PasswordHash hash{.cost = cost};
  const auto random = random_256();
  std::copy_n(random.begin(), hash.salt.size(), hash.salt.begin());
  const auto key = scrypt(password, hash.salt, cost);
  if (!key) throw std::runtime_error{"there is no memory to hash a password with"};
  hash.key = *key;
  return hash;
}

bool verifies(const PasswordHash& hash, std::string_view password) {
  const auto key = scrypt(password, hash.salt, hash.cost);
  const auto text = [](const std::array<std::uint8_t, 32>& bytes) {
    return std::string_view{reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  };
  return key && same(text(*key), text(hash.key));
}

std::string check_user_name(std::string_view name) {
  const bool is_word = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
  });
  if (!name.empty() && name.size() <= user_name_max && is_word) return "";
  return "a user's name has 1 to 32 letters, digits, and - _ . between them";
}

std::string check_password(std::string_view password) {
  if (password.size() >= password_min && password.size() <= password_max) return "";
  return "a password has 8 to 1024 bytes";
}

std::variant<Users, std::string> parse_users(std::string_view text, const std::string& file) {
  Users users;
  for (unsigned number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#') continue;
    const auto wrong = [&](const std::string& what) { return file + ":" + std::to_string(number) + ": " + what; };
    const auto fields = fields_of(line);
    PasswordHash hash;
    if (fields.size() != 7 || fields[1] != "scrypt" || !read_number(fields[2], 1, log2_n_max, hash.cost.log2_n) ||
        !read_number(fields[3], 1, r_max, hash.cost.r) || !read_number(fields[4], 1, p_max, hash.cost.p) ||
        !read_bytes(fields[5], hash.salt) || !read_bytes(fields[6], hash.key))
      return wrong("this is no user: remove the line and run pfsyncctl user add");
    if (const std::string why = check_user_name(fields[0]); !why.empty()) return wrong(why);
    if (users.size() == users_max) return wrong("there are 256 users at most: remove some");
    if (!users.emplace(fields[0], hash).second) return wrong("this user is there twice: remove one of the lines");
  }
  return users;
}

std::string users_text(const Users& users) {
  std::string text;
  for (const auto& [name, hash] : users)
    text += name + ":scrypt:" + std::to_string(hash.cost.log2_n) + ":" + std::to_string(hash.cost.r) + ":" +
            std::to_string(hash.cost.p) + ":" + to_base64(hash.salt) + ":" + to_base64(hash.key) + "\n";
  return text;
}

std::variant<Users, std::string> load_users(const std::filesystem::path& file) {
  std::error_code error;
  if (!std::filesystem::exists(file, error) && !error) return Users{};
  std::ifstream in{file, std::ios::binary};
  std::string text(file_bytes_max + 1, '\0');
  if (!in || !in.read(text.data(), static_cast<std::streamsize>(text.size())).eof())
    return file.string() + " cannot be read as a file of users: let pfsyncd read it, 64 KiB at most";
  text.resize(static_cast<std::size_t>(in.gcount()));
  return parse_users(text, file.string());
}

std::string save_users(const std::filesystem::path& file, const Users& users) {
  std::error_code error;
  if (file.has_parent_path()) std::filesystem::create_directories(file.parent_path(), error);
  return write_whole(file, users_text(users), 0600);
}

}  // namespace pfsync::engine::http
