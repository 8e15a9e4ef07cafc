#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/net/http_client.h"
#include "base/status.h"

namespace braid::net {

struct FetchOptions {
  std::string method = "GET";
  std::vector<std::pair<std::string, std::string>> headers;  // as HttpClient::Request has them
  std::string_view body;
  std::chrono::nanoseconds timeout = std::chrono::seconds(10);  // from connecting to the end of the answer
  size_t max_response_bytes = 64 << 10;
  std::shared_ptr<const TlsClientContext> tls;  // REQUIRED if the server's URL says https
};

// One request on a connection of its own, waited for. For commands; whatever serves others uses HttpClient.
// Errors are HttpClient's. A name that nobody resolves may take longer than the timeout: the system's
// resolver cannot be interrupted. Thread rule: any thread that may block.
Result<HttpClient::Response> Fetch(const HttpUrl& server, const std::string& target,
                                   const FetchOptions& options);

// Trust in the certificates that the system trusts: the file SSL_CERT_FILE if that is set, as with OpenSSL's
// own tools, else kSystemRoots. Errors name the file.
Result<std::shared_ptr<const TlsClientContext>> TrustSystemRoots();

}  // namespace braid::net
