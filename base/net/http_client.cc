#include "base/net/http_client.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/url/parse.hpp>
#include <charconv>
#include <concepts>
#include <deque>
#include <optional>

namespace braid::net {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using TimePoint = std::chrono::steady_clock::time_point;

namespace {

constexpr uint32_t kMaxHeader = 16 << 10;
constexpr int kMaxInformational = 8;
// How long an answer that came before the end of the write keeps its connection.
constexpr auto kLinger = std::chrono::milliseconds(100);

bool IsAddress(const std::string& host) {
  error_code error;
  asio::ip::make_address(host, error);
  return !error;
}

}  // namespace

Result<HttpUrl> ParseHttpUrl(std::string_view url) {
  const auto parsed = boost::urls::parse_uri(boost::core::string_view(url.data(), url.size()));
  if (!parsed) return InvalidArgument("not a URL such as http://host:port/path");
  if (parsed->scheme() != "http" && parsed->scheme() != "https") {
    return InvalidArgument("the URL's scheme must be http or https");
  }
  if (parsed->has_userinfo())
    return InvalidArgument("the URL holds a user name; configure credentials apart from it");
  if (parsed->has_fragment()) return InvalidArgument("the URL has a fragment (#)");
  HttpUrl out;
  out.tls = parsed->scheme() == "https";
  out.host = parsed->host_address();
  if (out.host.empty()) return InvalidArgument("the URL has no host");
  out.port = out.tls ? "443" : "80";
  if (parsed->has_port()) {
    out.port = std::string(parsed->port());
    uint16_t number = 0;
    const auto [end, error] = std::from_chars(out.port.data(), out.port.data() + out.port.size(), number);
    if (error != std::errc() || end != out.port.data() + out.port.size() || number == 0) {
      return InvalidArgument("the URL's port is not a number from 1 to 65535");
    }
  }
  out.authority = std::string(parsed->encoded_host_and_port());
  out.target = std::string(parsed->encoded_target());
  if (out.target.empty() || out.target.front() != '/') out.target.insert(0, "/");
  return out;
}

bool ValidHttpHeader(std::string_view name, std::string_view value) {
  constexpr std::string_view kTokenMarks = "!#$%&'*+-.^_`|~";
  const bool good_name = !name.empty() && std::all_of(name.begin(), name.end(), [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           kTokenMarks.find(c) != std::string_view::npos;
  });
  const bool good_value = std::all_of(value.begin(), value.end(), [](char c) {
    return c == '\t' || (static_cast<uint8_t>(c) >= 0x20 && c != 0x7f);
  });
  return good_name && good_value;
}

struct TlsClientContext::Impl {
  // OpenSSL locks its own reference counts; the context is not changed after Make().
  asio::ssl::context context{asio::ssl::context::tls_client};
};

TlsClientContext::TlsClientContext() : impl_(std::make_unique<Impl>()) {}
TlsClientContext::~TlsClientContext() = default;

Result<std::shared_ptr<const TlsClientContext>> TlsClientContext::Make(const Options& options) {
  std::shared_ptr<TlsClientContext> made(new TlsClientContext);
  asio::ssl::context& context = made->impl_->context;
  error_code error;
  context.set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_sslv2 |
                          asio::ssl::context::no_sslv3 | asio::ssl::context::no_tlsv1 |
                          asio::ssl::context::no_tlsv1_1,
                      error);
  if (!error)
    context.set_verify_mode(options.skip_verify ? asio::ssl::verify_none : asio::ssl::verify_peer, error);
  if (error) return Internal("TLS: " + error.message());
  if (!options.ca_pem.empty()) {
    context.add_certificate_authority(asio::buffer(options.ca_pem), error);
    if (error) return InvalidArgument("the CA certificates: " + error.message());
  }
  if (!options.certificate_pem.empty()) {
    context.use_certificate_chain(asio::buffer(options.certificate_pem), error);
    if (error) return InvalidArgument("the client certificate: " + error.message());
    context.use_private_key(asio::buffer(options.key_pem), asio::ssl::context::pem, error);
    if (error) return InvalidArgument("the client certificate's key: " + error.message());
  }
  return std::shared_ptr<const TlsClientContext>(std::move(made));
}

namespace {

struct Job {
  HttpClient::Request request;
  HttpClient::Done done;
  TimePoint deadline;
  bool repeated = false;
};

}  // namespace

class HttpClient::Impl : public std::enable_shared_from_this<HttpClient::Impl> {
 public:
  Impl(asio::io_context& io, Options options) : io_(io), options_(std::move(options)) {}

  void Send(Job job);
  void CancelAll();

  // No callbacks from now on.
  void Abandon();

  // A connection has no job any more. It may take the next one if it is open.
  void Free(const std::shared_ptr<Connection>& connection, bool open);

  asio::io_context& io() const { return io_; }
  const Options& options() const { return options_; }
  std::string Where() const { return options_.server.host + ":" + options_.server.port; }

 private:
  asio::io_context& io_;
  const Options options_;
  std::vector<std::shared_ptr<Connection>> busy_;
  std::vector<std::shared_ptr<Connection>> idle_;
  std::deque<Job> waiting_;
};

// One connection and the job it works on. Handlers hold it; it tells the client when it is free.
class HttpClient::Connection : public std::enable_shared_from_this<HttpClient::Connection> {
 public:
  explicit Connection(const std::shared_ptr<Impl>& client)
      : client_(client), resolver_(client->io()), timer_(client->io()), tls_(client->options().server.tls) {
    if (tls_) {
      // Asio takes the context by mutable reference, but only makes an SSL from it.
      auto& context = const_cast<asio::ssl::context&>(client->options().tls->impl_->context);
      secure_.emplace(client->io(), context);
    } else {
      plain_.emplace(client->io());
    }
  }

  void Run(Job job) {
    job_ = std::move(job);
    ++turn_;
    answered_ = false;
    reused_ = open_;
    if (open_) {
      Exchange();
    } else {
      Connect();
    }
  }

  // Ends the job without an answer. The callback comes later.
  void Cancel() {
    auto client = client_.lock();
    if (!client || !job_) return;
    asio::post(client->io(), [self = shared_from_this(), turn = turn_] {
      if (self->turn_ == turn && self->job_) self->Finish(Unavailable("cancelled"), false);
    });
  }

  void Abandon() {
    job_.reset();
    ++turn_;
    Close();
  }

  void Close() {
    open_ = false;
    error_code ignored;
    resolver_.cancel();
    timer_.cancel();
    socket().close(ignored);
  }

 private:
  tcp::socket& socket() { return tls_ ? secure_->next_layer() : *plain_; }

  template <typename F>
  void WithStream(F f) {
    if (tls_) {
      f(*secure_);
    } else {
      f(*plain_);
    }
  }

  // Wraps a handler: it runs only if the job it was made for is still being worked on.
  template <typename F>
  auto Bind(F f) {
    return
        [self = shared_from_this(), turn = turn_, f = std::move(f)](error_code error, auto&&... rest) mutable
      requires std::invocable<F&, error_code, decltype(rest)...>
    {
      if (self->turn_ == turn && self->job_) f(error, std::forward<decltype(rest)>(rest)...);
    };
  }

  void Arm(TimePoint when, std::string what) {
    timer_.expires_at(when);
    timer_.async_wait(Bind([this, what = std::move(what)](error_code error) {
      if (!error) Finish(Status(Code::kDeadlineExceeded, what), false);
    }));
  }

  void Connect() {
    const auto client = client_.lock();
    if (!client) return;
    const TimePoint now = std::chrono::steady_clock::now();
    Arm(std::min(job_->deadline, now + client->options().connect_timeout),
        "connect " + client->Where() + ": timed out");
    const HttpUrl& server = client->options().server;
    error_code error;
    const auto address = asio::ip::make_address(server.host, error);
    if (!error) {
      const auto port = static_cast<uint16_t>(std::stoi(server.port));
      ConnectTo(tcp::resolver::results_type::create(tcp::endpoint(address, port), server.host, server.port));
      return;
    }
    resolver_.async_resolve(server.host, server.port, Bind([this](error_code failed, const auto& results) {
                              if (failed) {
                                Fail("resolve", failed);
                              } else {
                                ConnectTo(results);
                              }
                            }));
  }

  void ConnectTo(const tcp::resolver::results_type& endpoints) {
    asio::async_connect(socket(), endpoints, Bind([this](error_code error, const tcp::endpoint&) {
                          if (error) {
                            Fail("connect", error);
                            return;
                          }
                          error_code ignored;
                          socket().set_option(tcp::no_delay(true), ignored);
                          if (tls_) {
                            Handshake();
                          } else {
                            Connected();
                          }
                        }));
  }

  void Handshake() {
    const auto client = client_.lock();
    if (!client) return;
    const Options& options = client->options();
    const std::string& name = options.server_name.empty() ? options.server.host : options.server_name;
    if (!IsAddress(name)) {  // SSL_set_tlsext_host_name(), which is a macro with an old-style cast
      SSL_ctrl(secure_->native_handle(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
               const_cast<char*>(name.c_str()));
    }
    error_code ignored;
    secure_->set_verify_callback(asio::ssl::host_name_verification(name), ignored);
    secure_->async_handshake(asio::ssl::stream_base::client, Bind([this](error_code error) {
                               if (error) {
                                 const long verdict = SSL_get_verify_result(secure_->native_handle());
                                 Fail("TLS handshake with", error,
                                      verdict == X509_V_OK ? "" : X509_verify_cert_error_string(verdict));
                                 return;
                               }
                               Connected();
                             }));
  }

  void Connected() {
    open_ = true;
    Exchange();
  }

  // Writes the request and reads the answer at the same time: a refusal may come before all is written.
  void Exchange() {
    const auto client = client_.lock();
    if (!client) return;
    const Request& request = job_->request;
    Arm(job_->deadline, "no answer from " + client->Where() + " in time");
    head_ = request.method + " " + request.target +
            " HTTP/1.1\r\nHost: " + client->options().server.authority + "\r\n";
    for (const auto& [name, value] : request.headers) head_ += name + ": " + value + "\r\n";
    head_ += "Content-Length: " + std::to_string(request.body.size()) + "\r\n\r\n";
    written_ = false;
    write_error_ = {};
    lingering_ = false;
    informational_ = 0;
    const std::array<asio::const_buffer, 2> buffers = {
        asio::buffer(head_), asio::buffer(request.body.data(), request.body.size())};
    // The owner is held by the handler too: the bytes are in use until the write has ended, even after the
    // job.
    WithStream([&](auto& stream) {
      // All that the socket takes at once: Asio's own condition writes 64 KiB a call.
      const auto everything = [](error_code error, size_t) { return error ? size_t{0} : size_t{1} << 30; };
      asio::async_write(
          stream, buffers, everything,
          [self = shared_from_this(), turn = turn_, owner = request.body_owner](error_code error, size_t) {
            if (self->turn_ != turn) return;
            self->written_ = !error;
            self->write_error_ = error;
            if (self->lingering_) self->Finish(std::move(self->response_), self->written_);
          });
    });
    ReadHeader();
  }

  void ReadHeader() {
    parser_.emplace();
    parser_->header_limit(kMaxHeader);
    parser_->body_limit(boost::none);
    WithStream([this](auto& stream) {
      http::async_read_header(
          stream, buffer_, *parser_, Bind([this](error_code error, size_t size) {
            if (size > 0) answered_ = true;
            if (error) {
              NoAnswer(error);
              return;
            }
            const int status = static_cast<int>(parser_->get().result_int());
            if (status >= 100 && status < 200) {
              if (status == 101 || ++informational_ > kMaxInformational) {
                const auto client = client_.lock();
                const std::string where = client ? client->Where() : "";
                Finish(
                    Internal("the answer from " + where + " is an unexpected HTTP " + std::to_string(status)),
                    false);
              } else {
                ReadHeader();
              }
              return;
            }
            response_ = {};
            response_.status = status;
            response_.content_type = std::string(parser_->get()[http::field::content_type]);
            response_.retry_after = std::string(parser_->get()[http::field::retry_after]);
            if (const auto client = client_.lock()) {
              for (const std::string& name : client->options().keep_headers) {
                const auto found = parser_->get().find(name);
                if (found != parser_->get().end()) {
                  response_.headers.emplace_back(name, std::string(found->value()));
                }
              }
            }
            ReadBody();
          }));
    });
  }

  void ReadBody() {
    const auto client = client_.lock();
    if (!client) return;
    if (parser_->is_done()) {
      Answered();
      return;
    }
    const size_t have = response_.body.size();
    const size_t most = client->options().max_response_bytes;
    if (have == most) {
      response_.truncated = true;
      Answered();
      return;
    }
    response_.body.resize(std::min(most, have + size_t{8192}));
    parser_->get().body().data = response_.body.data() + have;
    parser_->get().body().size = response_.body.size() - have;
    WithStream([this](auto& stream) {
      http::async_read(stream, buffer_, *parser_, Bind([this](error_code error, size_t) {
                         response_.body.resize(response_.body.size() - parser_->get().body().size);
                         if (error && error != http::error::need_buffer) {
                           Fail("answer from", error);
                           return;
                         }
                         ReadBody();
                       }));
    });
  }

  // The answer can be here before the handler of the write it answers has run: a moment's patience keeps the
  // connection. A server that answered without reading the request gets no more than that.
  void Answered() {
    const bool keep = !response_.truncated && parser_->keep_alive();
    if (!keep || written_ || write_error_) {
      Finish(std::move(response_), keep && written_);
      return;
    }
    lingering_ = true;
    timer_.expires_after(kLinger);
    timer_.async_wait(Bind([this](error_code error) {
      if (!error) Finish(std::move(response_), false);
    }));
  }

  void NoAnswer(error_code error) {
    const auto client = client_.lock();
    if (!client) return;
    if (reused_ && !answered_ && !job_->repeated) {
      // The server had closed the idle connection.
      Job job = std::move(*job_);
      job.repeated = true;
      job_.reset();
      ++turn_;
      Close();
      client->Free(shared_from_this(), false);
      client->Send(std::move(job));
      return;
    }
    if (error == http::error::end_of_stream || error == http::error::partial_message ||
        error == asio::error::eof) {
      if (write_error_) {
        Fail("request to", write_error_);
      } else {
        Finish(Unavailable(client->Where() + " closed the connection without an answer"), false);
      }
      return;
    }
    if (error.category() == http::make_error_code(http::error::end_of_stream).category()) {
      Finish(Internal("the answer from " + client->Where() + " is not HTTP: " + error.message()), false);
      return;
    }
    Fail("answer from", error);
  }

  void Fail(std::string_view what, error_code error, const char* more = "") {
    const auto client = client_.lock();
    if (!client) return;
    std::string message = std::string(what) + " " + client->Where() + ": " + error.message();
    if (*more != '\0') message += std::string(" (") + more + ")";
    Finish(Unavailable(std::move(message)), false);
  }

  void Finish(Result<Response> result, bool keep) {
    const auto client = client_.lock();
    if (!client) return;
    const auto self = shared_from_this();
    const Done done = std::move(job_->done);
    job_.reset();
    ++turn_;
    timer_.cancel();
    if (keep) {
      WatchIdle();
    } else {
      Close();
    }
    client->Free(self, keep);
    done(std::move(result));
  }

  // An idle connection that becomes readable has been closed, or says something nobody asked for.
  void WatchIdle() {
    buffer_.consume(buffer_.size());
    socket().async_wait(tcp::socket::wait_read, [self = shared_from_this(), turn = turn_](error_code error) {
      if (error || self->turn_ != turn) return;
      self->Close();
      if (const auto client = self->client_.lock()) client->Free(self, false);
    });
  }

  const std::weak_ptr<Impl> client_;
  tcp::resolver resolver_;
  asio::steady_timer timer_;
  const bool tls_;
  std::optional<tcp::socket> plain_;
  std::optional<asio::ssl::stream<tcp::socket>> secure_;

  std::optional<Job> job_;
  uint64_t turn_ = 0;  // changes with the job: handlers of an earlier one stay silent
  bool open_ = false;
  bool reused_ = false;
  bool answered_ = false;
  bool written_ = false;
  error_code write_error_;
  bool lingering_ = false;  // answered; only the end of the write is missing
  int informational_ = 0;
  std::string head_;
  boost::beast::flat_buffer buffer_{kMaxHeader + (16 << 10)};
  std::optional<http::response_parser<http::buffer_body>> parser_;
  Response response_;
};

void HttpClient::Impl::Send(Job job) {
  if (!idle_.empty()) {
    auto connection = std::move(idle_.back());
    idle_.pop_back();
    busy_.push_back(connection);
    connection->Run(std::move(job));
  } else if (busy_.size() < options_.max_connections) {
    auto connection = std::make_shared<Connection>(shared_from_this());
    busy_.push_back(connection);
    connection->Run(std::move(job));
  } else {
    waiting_.push_back(std::move(job));
  }
}

void HttpClient::Impl::Free(const std::shared_ptr<Connection>& connection, bool open) {
  std::erase(busy_, connection);
  std::erase(idle_, connection);
  if (open) idle_.push_back(connection);
  if (waiting_.empty()) return;
  Job next = std::move(waiting_.front());
  waiting_.pop_front();
  Send(std::move(next));
}

void HttpClient::Impl::CancelAll() {
  for (const auto& connection : busy_) connection->Cancel();
  for (Job& job : waiting_) {
    asio::post(io_, [done = std::move(job.done)] { done(Unavailable("cancelled")); });
  }
  waiting_.clear();
}

void HttpClient::Impl::Abandon() {
  waiting_.clear();
  for (const auto& connection : std::exchange(busy_, {})) connection->Abandon();
  for (const auto& connection : std::exchange(idle_, {})) connection->Abandon();
}

HttpClient::HttpClient(asio::io_context& io, Options options)
    : impl_(std::make_shared<Impl>(io, std::move(options))) {}

HttpClient::~HttpClient() { impl_->Abandon(); }

void HttpClient::Send(Request request, Done done) {
  Job job;
  job.deadline = std::chrono::steady_clock::now() + request.timeout;
  job.request = std::move(request);
  job.done = std::move(done);
  impl_->Send(std::move(job));
}

void HttpClient::CancelAll() { impl_->CancelAll(); }

}  // namespace braid::net
