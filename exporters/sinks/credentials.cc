#include "exporters/sinks/credentials.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "base/net/http_client.h"
#include "exporters/encode/json.h"

namespace braid::exporters {
namespace {

// Debian's bundle, kept by ca-certificates.

Result<std::string> ReadFile(std::string_view key, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  if (file) content << file.rdbuf();
  if (!file || content.str().empty()) {
    return InvalidArgument(std::string(key) + ": cannot read " + path + ": " +
                           (errno != 0 ? std::strerror(errno) : "it is empty"));
  }
  return content.str();
}

}  // namespace

std::string AuthorizationHeader(const SinkConfig& config) {
  if (!config.bearer_token.empty()) return "Bearer " + config.bearer_token;
  if (!config.basic_user.empty()) {
    std::string value = "Basic ";
    AppendBase64(config.basic_user + ":" + config.basic_password, &value);
    return value;
  }
  return {};
}

Result<TlsFiles> ReadTlsFiles(const SinkConfig::Tls& tls) {
  TlsFiles files;
  errno = 0;
  auto ca = ReadFile("tls.ca_file", tls.ca_file.empty() ? net::kSystemRoots : tls.ca_file);
  if (!ca.ok()) return ca.status();
  files.ca = std::move(*ca);
  if (tls.cert_file.empty() != tls.key_file.empty()) {
    return InvalidArgument("tls: cert_file and key_file belong together");
  }
  if (tls.cert_file.empty()) return files;
  auto certificate = ReadFile("tls.cert_file", tls.cert_file);
  if (!certificate.ok()) return certificate.status();
  auto key = ReadFile("tls.key_file", tls.key_file);
  if (!key.ok()) return key.status();
  files.certificate = std::move(*certificate);
  files.key = std::move(*key);
  return files;
}

}  // namespace braid::exporters
