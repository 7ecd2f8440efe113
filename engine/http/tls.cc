#include "engine/http/tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <system_error>

#include "engine/http/crypto.h"
#include "engine/http/openssl.h"
#include "engine/http/whole_file.h"
#include "engine/http/words.h"

namespace pfsync::engine::http {
namespace {

constexpr long days_valid = 825;
constexpr long seconds_a_day = 86'400;
constexpr long renew_before_days = 30;

X509Ptr read_certificate(const std::filesystem::path& file) {
  const BioPtr in{BIO_new_file(file.c_str(), "r")};
  X509Ptr certificate{in ? PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr) : nullptr};
  ERR_clear_error();
  return certificate;
}

bool is_address(const std::string& text) {
  std::array<unsigned char, 16> room{};
  return inet_pton(AF_INET, text.c_str(), room.data()) == 1 || inet_pton(AF_INET6, text.c_str(), room.data()) == 1;
}

/// Only what has no other meaning in OpenSSL's list of names.
bool is_name(const std::string& text) {
  return !text.empty() && text.size() <= 253 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
  });
}

std::vector<std::string> with_machine(std::vector<std::string> names) {
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) == 0) names.emplace_back(host.data());
  for (const char* always : {"localhost", "127.0.0.1", "::1"}) names.emplace_back(always);
  return names;
}

bool add_extension(X509* certificate, int what, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, what, value.c_str());
  const bool added = extension != nullptr && X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

X509Ptr sign_self(EVP_PKEY* key, const std::vector<std::string>& names) {
  X509Ptr certificate{X509_new()};
  std::string list;
  for (const std::string& name : with_machine(names)) {
    if (!is_address(name) && !is_name(name)) continue;
    const std::string entry = (is_address(name) ? "IP:" : "DNS:") + name;
    if (("," + list + ",").find("," + entry + ",") == std::string::npos) list += (list.empty() ? "" : ",") + entry;
  }
  auto serial = random_256();
  serial[0] = static_cast<std::uint8_t>((serial[0] & 0x7fu) | 0x40u);  // positive, and no longer than it need be
  ASN1_INTEGER* number = X509_get_serialNumber(certificate.get());
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  const unsigned char* common_name = reinterpret_cast<const unsigned char*>("pfsyncd");
  const bool made = ASN1_STRING_set(number, serial.data(), 16) == 1 && X509_set_version(certificate.get(), 2) == 1 &&
                    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -seconds_a_day) != nullptr &&
                    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), days_valid * seconds_a_day) != nullptr &&
                    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, common_name, -1, -1, 0) == 1 &&
                    X509_set_issuer_name(certificate.get(), subject) == 1 &&
                    X509_set_pubkey(certificate.get(), key) == 1 &&
                    add_extension(certificate.get(), NID_subject_alt_name, list) &&
                    add_extension(certificate.get(), NID_basic_constraints, "critical,CA:FALSE") &&
                    X509_sign(certificate.get(), key, EVP_sha256()) != 0;
  if (!made) certificate.reset();
  return certificate;
}

bool outlives(const X509& certificate, long days) {
  int left_days = 0, left_seconds = 0;
  return ASN1_TIME_diff(&left_days, &left_seconds, nullptr, X509_get0_notAfter(&certificate)) == 1 && left_days >= days;
}

/// Clients that look at names would refuse one that was made for another address.
bool is_for(const X509& certificate, const std::vector<std::string>& names) {
  auto* shown = const_cast<X509*>(&certificate);  // OpenSSL only looks
  return std::ranges::all_of(names, [shown](const std::string& name) {
    if (is_address(name)) return X509_check_ip_asc(shown, name.c_str(), 0) == 1;
    return !is_name(name) || X509_check_host(shown, name.c_str(), name.size(), 0, nullptr) == 1;
  });
}

using Accept = std::function<std::string(const PeerCertificate&)>;

/// Where a context keeps its pins: freed with it.
int accept_index() {
  static const int index = SSL_CTX_get_ex_new_index(
      0, nullptr, nullptr, nullptr,
      [](void*, void* accept, CRYPTO_EX_DATA*, int, long, void*) { delete static_cast<Accept*>(accept); });
  return index;
}

/// In place of a chain up to an authority: the dates, then what `accept` says.
int check_by_pin(X509_STORE_CTX* store, void* accept) {
  const X509* shown = X509_STORE_CTX_get0_cert(store);
  int error = X509_V_OK;
  if (shown == nullptr)
    error = X509_V_ERR_UNSPECIFIED;
  else if (X509_cmp_current_time(X509_get0_notBefore(shown)) >= 0)
    error = X509_V_ERR_CERT_NOT_YET_VALID;
  else if (X509_cmp_current_time(X509_get0_notAfter(shown)) <= 0)
    error = X509_V_ERR_CERT_HAS_EXPIRED;
  else if (std::string why = (*static_cast<Accept*>(accept))(describe(*shown)); !why.empty()) {
    error = X509_V_ERR_CERT_UNTRUSTED;
    const auto* ssl = static_cast<const SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
    if (auto* refusal = static_cast<std::string*>(SSL_get_app_data(ssl))) *refusal = std::move(why);
  }
  X509_STORE_CTX_set_error(store, error);
  return error == X509_V_OK ? 1 : 0;
}

}  // namespace

std::string tls_error() {
  const unsigned long code = ERR_peek_error();
  std::array<char, 256> text{};
  ERR_error_string_n(code, text.data(), text.size());
  const char* reason = ERR_reason_error_string(code);
  ERR_clear_error();
  if (code == 0) return "the connection ended";
  return reason != nullptr ? reason : text.data();
}

PeerCertificate describe(const x509_st& certificate) {
  PeerCertificate described;
  unsigned char* encoded = nullptr;
  const int key_size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(&certificate), &encoded);
  if (key_size > 0) {
    described.key = sha256({reinterpret_cast<const char*>(encoded), static_cast<std::size_t>(key_size)});
    OPENSSL_free(encoded);
  }
  unsigned int size = 0;
  X509_digest(&certificate, EVP_sha256(), described.content.data(), &size);
  const X509_NAME* subject = X509_get_subject_name(&certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0) return described;
  unsigned char* utf8 = nullptr;
  const int length = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  if (length > 0) described.common_name.assign(reinterpret_cast<const char*>(utf8), static_cast<std::size_t>(length));
  OPENSSL_free(utf8);
  return described;
}

std::string fingerprint_of(const std::filesystem::path& file) {
  const X509Ptr certificate = read_certificate(file);
  if (!certificate) return "";
  const PeerCertificate described = describe(*certificate);
  std::string text;
  for (const std::uint8_t byte : described.content) {
    std::string digits = hex({&byte, 1});
    std::transform(digits.begin(), digits.end(), digits.begin(), [](char c) { return c >= 'a' ? c - 'a' + 'A' : c; });
    text += (text.empty() ? "" : ":") + digits;
  }
  return text;
}

std::vector<std::string> names_of(const std::filesystem::path& file) {
  std::vector<std::string> names;
  const X509Ptr certificate = read_certificate(file);
  if (!certificate) return names;
  auto* list = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate.get(), NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(list); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(list, i);
    if (name->type != GEN_DNS) continue;
    const unsigned char* text = ASN1_STRING_get0_data(name->d.dNSName);
    names.push_back(
        lower({reinterpret_cast<const char*>(text), static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName))}));
  }
  GENERAL_NAMES_free(list);
  return names;
}

std::string make_self_signed(const std::filesystem::path& certificate_file, const std::filesystem::path& key_file,
                             const std::vector<std::string>& names) {
  std::error_code error;
  const X509Ptr there = read_certificate(certificate_file);
  if (there && std::filesystem::exists(key_file, error) && outlives(*there, renew_before_days) && is_for(*there, names))
    return "";
  std::filesystem::create_directories(certificate_file.parent_path(), error);
  const KeyPtr key{EVP_EC_gen("P-256")};
  const X509Ptr made = key ? sign_self(key.get(), names) : nullptr;
  const BioPtr out{BIO_new(BIO_s_mem())}, key_out{BIO_new(BIO_s_mem())};
  if (!made || PEM_write_bio_X509(out.get(), made.get()) != 1 ||
      PEM_write_bio_PrivateKey(key_out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return "no certificate can be made (" + tls_error() + "): give http.certificate and http.key";
  std::string why = write_whole(key_file, text_of(key_out.get()), 0600);
  if (why.empty()) why = write_whole(certificate_file, text_of(out.get()), 0644);
  return why.empty() ? "" : why + ": give control.state_dir a folder that pfsyncd may write to";
}

std::variant<TlsContext, std::string> make_tls(const TlsSettings& settings) {
  const TlsContext context{SSL_CTX_new(TLS_server_method()), SSL_CTX_free};
  SSL_CTX* tls = context.get();
  if (tls == nullptr) return "TLS cannot be set up: " + tls_error();
  // Forward secrecy and authenticated encryption only; nothing that lets one connection's past decide about another.
  SSL_CTX_set_min_proto_version(tls, settings.only_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
  SSL_CTX_set_options(
      tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_num_tickets(tls, 0);
  SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  if (SSL_CTX_set_cipher_list(tls, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1) return "no cipher can be had: " + tls_error();
  if (SSL_CTX_use_certificate_chain_file(tls, settings.certificate.c_str()) != 1)
    return "the certificate " + settings.certificate + " cannot be used (" + tls_error() +
           "): give a PEM file that pfsyncd may read, its own certificate first";
  if (SSL_CTX_use_PrivateKey_file(tls, settings.key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(tls) != 1)
    return "the key " + settings.key + " cannot be used (" + tls_error() +
           "): give the PEM file of the certificate's own key, without a pass phrase";
  if (settings.client == TlsSettings::Client::none) return context;
  int mode = SSL_VERIFY_PEER;
  if (settings.client == TlsSettings::Client::required) mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  SSL_CTX_set_verify(tls, mode, nullptr);
  if (settings.accept) {
    auto* accept = new Accept{settings.accept};
    SSL_CTX_set_ex_data(tls, accept_index(), accept);
    SSL_CTX_set_cert_verify_callback(tls, check_by_pin, accept);
    return context;
  }
  if (SSL_CTX_load_verify_file(tls, settings.client_ca.c_str()) != 1)
    return "the authorities " + settings.client_ca + " cannot be used (" + tls_error() +
           "): give a PEM file that pfsyncd may read";
  SSL_CTX_set_client_CA_list(tls, SSL_load_client_CA_file(settings.client_ca.c_str()));
  return context;
}

}  // namespace pfsync::engine::http
