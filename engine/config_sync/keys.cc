#include "engine/config_sync/keys.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <memory>
#include <system_error>

#include "engine/http/crypto.h"
#include "engine/http/openssl.h"
#include "engine/http/tls.h"
#include "engine/http/words.h"

namespace pfsync::engine::config_sync {
namespace {

using Certificate = http::X509Ptr;
using Key = http::KeyPtr;
using Bio = http::BioPtr;

constexpr long seconds_a_day = 86'400;
constexpr int years_valid = 20;  ///< pins do not age; a date only ends what was forgotten
constexpr const char* pin_name = "peer";

Certificate sign(EVP_PKEY* key, const std::string& name) {
  Certificate made{X509_new()};
  auto serial = http::random_256();
  // Positive, and without a leading 0, which would be one byte too many for a reader of DER (X.690, 8.3.2).
  serial[0] = static_cast<std::uint8_t>((serial[0] & 0x7fu) | 0x40u);
  X509_NAME* subject = X509_get_subject_name(made.get());
  const auto* common_name = reinterpret_cast<const unsigned char*>(name.c_str());
  const bool good = X509_set_version(made.get(), 2) == 1 &&
                    ASN1_STRING_set(X509_get_serialNumber(made.get()), serial.data(), 16) == 1 &&
                    X509_gmtime_adj(X509_getm_notBefore(made.get()), -seconds_a_day) != nullptr &&
                    X509_time_adj_ex(X509_getm_notAfter(made.get()), years_valid * 365, 0, nullptr) != nullptr &&
                    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, common_name, -1, -1, 0) == 1 &&
                    X509_set_issuer_name(made.get(), subject) == 1 && X509_set_pubkey(made.get(), key) == 1 &&
                    X509_sign(made.get(), key, EVP_sha256()) != 0;
  return good ? std::move(made) : nullptr;
}

}  // namespace

std::string make_own_key(Files& files, const std::string& certificate, const std::string& key,
                         const std::string& name) {
  try {
    if (files.read(certificate) && files.read(key)) return "";
    const Key made{EVP_EC_gen("P-256")};
    const Certificate signed_{made ? sign(made.get(), name) : nullptr};
    const Bio certificate_text{BIO_new(BIO_s_mem())}, key_text{BIO_new(BIO_s_mem())};
    if (!signed_ || PEM_write_bio_X509(certificate_text.get(), signed_.get()) != 1 ||
        PEM_write_bio_PrivateKey(key_text.get(), made.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1)
      return "no key for config_sync can be made (" + http::tls_error() + ")";
    files.write(key + ".new", http::text_of(key_text.get()));
    files.rename(key + ".new", key);
    files.write(certificate + ".new", http::text_of(certificate_text.get()));
    files.rename(certificate + ".new", certificate);
    files.sync_directory();
    return "";
  } catch (const std::system_error& error) {
    return std::string{"no key for config_sync can be kept ("} + error.what() +
           "): give control.state_dir a folder that pfsyncd may write to";
  }
}

std::optional<KeyHash> key_of(const std::filesystem::path& file) {
  const Bio in{BIO_new_file(file.c_str(), "r")};
  const Certificate certificate{in ? PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr) : nullptr};
  if (!certificate) {
    static_cast<void>(http::tls_error());
    return std::nullopt;
  }
  return http::describe(*certificate).key;
}

std::string write_pin(Files& files, const KeyHash& key) {
  try {
    files.write(std::string{pin_name} + ".new", http::hex(key) + "\n");
    files.rename(std::string{pin_name} + ".new", pin_name);
    files.sync_directory();
    return "";
  } catch (const std::system_error& error) {
    return std::string{"the paired node's key cannot be kept ("} + error.what() + ")";
  }
}

std::optional<KeyHash> read_pin(Files& files) {
  try {
    const auto text = files.read(pin_name);
    if (!text || text->size() != 65) return std::nullopt;
    KeyHash key{};
    for (std::size_t i = 0; i < key.size(); ++i) {
      const std::string_view digits = std::string_view{*text}.substr(2 * i, 2);
      constexpr std::string_view alphabet = "0123456789abcdef";
      const std::size_t high = alphabet.find(digits[0]), low = alphabet.find(digits[1]);
      if (high == std::string_view::npos || low == std::string_view::npos) return std::nullopt;
      key[i] = static_cast<std::uint8_t>(high << 4 | low);
    }
    return key;
  } catch (const std::system_error&) {
    return std::nullopt;
  }
}

}  // namespace pfsync::engine::config_sync
