#include "base/net/fetch.h"

#include <boost/asio/io_context.hpp>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>

namespace braid::net {

Result<HttpClient::Response> Fetch(const HttpUrl& server, const std::string& target,
                                   const FetchOptions& options) {
  boost::asio::io_context io;
  HttpClient::Options client_options;
  client_options.server = server;
  client_options.tls = options.tls;
  client_options.connect_timeout = options.timeout;
  client_options.max_response_bytes = options.max_response_bytes;
  HttpClient client(io, client_options);

  HttpClient::Request request;
  request.method = options.method;
  request.target = target;
  request.headers = options.headers;
  request.body = options.body;
  request.timeout = options.timeout;
  std::optional<Result<HttpClient::Response>> answer;
  client.Send(std::move(request), [&](Result<HttpClient::Response> result) {
    answer = std::move(result);
    io.stop();  // the kept-alive connection would hold the loop
  });
  io.run();
  if (!answer) return Internal("no answer");
  return *std::move(answer);
}

Result<std::shared_ptr<const TlsClientContext>> TrustSystemRoots() {
  const char* chosen = std::getenv("SSL_CERT_FILE");
  const std::string path = chosen != nullptr && *chosen != '\0' ? chosen : kSystemRoots;
  std::ifstream file(path, std::ios::binary);
  std::ostringstream roots;
  if (file) roots << file.rdbuf();
  if (!file || roots.str().empty()) {
    return InvalidArgument("cannot read the certificates to trust from " + path +
                           " (package ca-certificates, or SSL_CERT_FILE)");
  }
  auto context = TlsClientContext::Make({.ca_pem = roots.str(), .certificate_pem = {}, .key_pem = {}});
  if (!context.ok()) return context.status().Annotate(path);
  return context;
}

}  // namespace braid::net
