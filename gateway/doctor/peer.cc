#include "gateway/doctor/peer.h"

#include <boost/url/encode.hpp>
#include <boost/url/rfc/unreserved_chars.hpp>

#include "base/net/fetch.h"
#include "gateway/json/json_read.h"

namespace braid::gateway::doctor {
namespace {

constexpr size_t kMaxQuoted = 300;

// The beginning of a body, in one line.
std::string Quote(std::string_view body) {
  while (!body.empty() && (body.back() == '\n' || body.back() == ' ')) body.remove_suffix(1);
  if (body.empty()) return {};
  return ": " + std::string(body.substr(0, kMaxQuoted)) + (body.size() > kMaxQuoted ? "…" : "");
}

}  // namespace

Transport HttpTransport(const std::string& url, std::chrono::milliseconds timeout) {
  return [server = *net::ParseHttpUrl(url), timeout](const Ask& ask) -> Result<Answer> {
    net::FetchOptions options;
    options.method = ask.method;
    options.headers = ask.headers;
    options.body = ask.body;
    options.timeout = timeout;
    options.max_response_bytes = ask.max_bytes;
    if (server.tls) {
      auto trust = net::TrustSystemRoots();
      if (!trust.ok()) return trust.status();
      options.tls = *std::move(trust);
    }
    std::string target = server.target;
    while (target.ends_with('/')) target.pop_back();
    return net::Fetch(server, target + ask.path, options);
  };
}

Result<Answer> Peer::Send(Ask ask) {
  if (misses_ >= 2) return last_miss_;
  ask.headers.insert(ask.headers.end(), headers_.begin(), headers_.end());
  Result<Answer> answer = transport_(ask);
  misses_ = answer.ok() ? 0 : misses_ + 1;
  if (!answer.ok()) last_miss_ = answer.status();
  return answer;
}

Result<std::string> Peer::Get(const std::string& path, const std::string& accept, size_t max_bytes) {
  Ask ask;
  ask.path = path;
  ask.headers = {{"Accept", accept}};
  ask.max_bytes = max_bytes;
  Result<Answer> answer = Send(std::move(ask));
  if (!answer.ok()) return answer.status();
  if (answer->status != 200) return InvalidArgument(path.substr(0, path.find('?')) + " " + Describe(*answer));
  if (answer->truncated) {
    return InvalidArgument(path.substr(0, path.find('?')) + " answers with more than " +
                           std::to_string(max_bytes >> 20) + " MiB");
  }
  return std::move(answer->body);
}

Result<boost::json::value> Peer::GetJson(const std::string& path, size_t max_bytes) {
  const Result<std::string> body = Get(path, "application/json", max_bytes);
  if (!body.ok()) return body.status();
  Result<boost::json::value> value = ParseJson(*body);
  if (!value.ok()) return value.status().Annotate(path.substr(0, path.find('?')));
  return value;
}

std::string Describe(const Answer& answer) {
  return "answers with status " + std::to_string(answer.status) + Quote(answer.body);
}

std::string ReachAdvice(std::string_view flag, std::string_view what, const Status& status) {
  const std::string name(what);
  const std::string& message = status.message();
  if (message.find("status 401") != std::string::npos || message.find("status 403") != std::string::npos) {
    return "It asks for credentials, and the doctor has none: give " + std::string(flag) +
           " an address behind the proxy that asks.";
  }
  if (message.find("status 30") != std::string::npos) {
    return "It redirects, perhaps to a login or to a path of its own (--web.route-prefix, a proxy): give " +
           std::string(flag) + " the address it redirects to.";
  }
  if (message.find("TLS") != std::string::npos || message.find("not HTTP") != std::string::npos) {
    return "Is it https where http is meant, or the reverse? A certificate of your own authority is trusted "
           "with "
           "SSL_CERT_FILE=<its PEM file>.";
  }
  return "Is " + name + " running, and is this its address? " + std::string(flag) +
         " says where it is, with its path prefix if it has one.";
}

std::string Escape(std::string_view text) {
  return boost::urls::encode({text.data(), text.size()}, boost::urls::unreserved_chars);
}

std::string Authority(std::string_view url) {
  const Result<net::HttpUrl> parsed = net::ParseHttpUrl(url);
  if (!parsed.ok()) return {};
  const bool loopback = parsed->host == "localhost" || parsed->host == "::1";
  return (loopback ? "127.0.0.1" : parsed->host) + ":" + parsed->port;
}

}  // namespace braid::gateway::doctor
