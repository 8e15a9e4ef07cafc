#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/optional/optional.hpp>
#include <charconv>

#include "ingest/http/body_buffer.h"
#include "ingest/http/connection.h"

namespace braid::ingest::internal {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kLinger = seconds(5);

// A read while heads or chunks are awaited; what it brings too much (pipelined requests) is kept.
constexpr size_t kHeadRead = 64u << 10;

// The body of a refused request is read to its end if it is at most this long, so that the connection stays
// usable.
constexpr uint64_t kMaxSkipped = 1u << 20;

// Pipelined requests are not answered while this much of the answers before them is unsent.
constexpr size_t kMaxUnsent = 128u << 10;

// From this much outstanding on, a body is received without passing through the shared buffer.
constexpr size_t kDirectFrom = 4u << 10;

std::string_view View(boost::beast::string_view text) { return {text.data(), text.size()}; }

bool IsToken(std::string_view value, std::string_view lower) {
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
  while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
  return std::equal(value.begin(), value.end(), lower.begin(), lower.end(),
                    [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; });
}

// Beast's parser, filling a Request. It sees heads, and chunked bodies; bodies of known length bypass it.
class Parser : public http::basic_parser<true> {
 public:
  Parser(const HttpServer::Options& limits, Request* request, BodyBuffer* body)
      : limits_(limits), request_(request), body_(body) {
    header_limit(static_cast<std::uint32_t>(limits.max_header_bytes));
    body_limit(boost::none);
    eager(false);
  }

  bool too_many_fields() const { return too_many_fields_; }
  bool odd_transfer_encoding() const { return odd_transfer_encoding_; }
  BodyBuffer::Fill fill() const { return fill_; }
  int version() const { return version_; }  // 10 or 11

 private:
  void on_request_impl(http::verb, boost::beast::string_view method, boost::beast::string_view target,
                       int version, error_code&) override {
    version_ = version;
    request_->method = View(method);
    std::string_view path = View(target);
    // Absolute form, as proxies send: only the path concerns us.
    if (const size_t scheme = path.find("://"); scheme != std::string_view::npos && !path.starts_with('/')) {
      const size_t slash = path.find('/', scheme + 3);
      path = slash == std::string_view::npos ? "/" : path.substr(slash);
    }
    request_->target = path;
  }
  void on_response_impl(int, boost::beast::string_view, int, error_code&) override {}
  void on_field_impl(http::field field, boost::beast::string_view name, boost::beast::string_view value,
                     error_code& error) override {
    if (head_done_) {
      // Trailers are discarded, but not without bound.
      trailer_bytes_ += name.size() + value.size();
      if (trailer_bytes_ > limits_.max_header_bytes) error = http::error::header_limit;
      return;
    }
    request_->headers.Add(View(name), View(value));
    if (request_->headers.count() > limits_.max_header_count ||
        request_->headers.bytes() > limits_.max_header_bytes) {
      too_many_fields_ = true;
      error = http::error::header_limit;
    }
    if (field == http::field::transfer_encoding && !IsToken(View(value), "chunked"))
      odd_transfer_encoding_ = true;
  }
  void on_header_impl(error_code&) override { head_done_ = true; }
  void on_body_init_impl(boost::optional<std::uint64_t> const&, error_code&) override {}
  std::size_t on_body_impl(boost::beast::string_view, error_code&) override { return 0; }
  void on_chunk_header_impl(std::uint64_t, boost::beast::string_view, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, boost::beast::string_view bytes, error_code& error) override {
    fill_ = body_->Append(View(bytes));
    if (fill_ != BodyBuffer::Fill::kOk) error = http::error::body_limit;
    return bytes.size();
  }
  void on_finish_impl(error_code&) override {}

  const HttpServer::Options& limits_;
  Request* const request_;
  BodyBuffer* const body_;
  int version_ = 11;
  bool head_done_ = false;
  bool too_many_fields_ = false;
  bool odd_transfer_encoding_ = false;
  size_t trailer_bytes_ = 0;
  BodyBuffer::Fill fill_ = BodyBuffer::Fill::kOk;
};

// HTTP/1.1, one request at a time: while one is answered nothing is read, so pipelined requests wait in the
// socket and are answered in order.
class Http1Session : public Session {
 public:
  explicit Http1Session(Connection* connection) : connection_(*connection), started_(connection->now()) {
    NextRequest();
  }

  void OnBytes(std::string_view bytes) override {
    if (kept_.empty()) {
      const size_t used = Consume(bytes);
      kept_.assign(bytes.substr(used));
    } else {
      kept_.append(bytes);
      ConsumeKept();
    }
  }

  char* DirectWindow(size_t* size) override {
    if (state_ != State::kBody || remaining_ < kDirectFrom) return nullptr;
    char* const at = body_.Window(static_cast<size_t>(std::min<uint64_t>(remaining_, SIZE_MAX)), size);
    if (at == nullptr) Refuse(connection_.NoMemory(request_));
    return at;
  }

  void OnDirect(size_t size) override {
    body_.Commit(size);
    remaining_ -= size;
    if (remaining_ == 0) BodyDone();
  }

  void OnEof() override {
    // A half-closed sender still gets the answer to a request it finished.
    close_ = true;
    if (state_ == State::kAnswering) return;
    if (state_ != State::kHead || !kept_.empty()) Count(connection_.core().counters.protocol_errors);
    connection_.CloseAfterFlush(milliseconds(0));
  }

  size_t wanted() const override {
    switch (state_) {
      case State::kAnswering: return 0;
      case State::kBody: return static_cast<size_t>(std::min<uint64_t>(remaining_, kHeadRead));
      case State::kHead:
      case State::kSkipping:
      case State::kChunked: return kHeadRead;
    }
    return 0;
  }

  void Respond(uint32_t id, Response response) override {
    if (id != id_ || state_ != State::kAnswering) return;
    Write(std::move(response), !close_ && keep_alive_);
    if (close_ || !keep_alive_) return connection_.CloseAfterFlush(kLinger);
    NextRequest();
    if (!consuming_) ConsumeKept();
  }

  void Produce(size_t limit) override {
    if (paused_ && connection_.out().bytes() < limit) ConsumeKept();
  }

  void Sweep(TimePoint now) override {
    const HttpServer::Options& limits = connection_.options();
    Counters& counters = connection_.core().counters;
    switch (state_) {
      case State::kAnswering: return;
      case State::kHead:
        if (head_begun_ || first_) {
          if (now - started_ <= limits.header_timeout) return;
          Count(counters.header_timeouts);
          if (!head_begun_) return connection_.Abort();
          return Fail(408, "the request head took too long");
        }
        if (now - started_ > limits.idle_timeout) {
          Count(counters.idle_timeouts);
          connection_.Abort();
        }
        return;
      case State::kSkipping:
        if (now - started_ <= limits.header_timeout) return;
        Count(counters.body_timeouts);
        return connection_.Abort();
      case State::kBody:
      case State::kChunked:
        if (now - body_marked_ < limits.body_interval) return;
        if (body_.size() - body_mark_ <
            limits.min_body_rate * static_cast<size_t>(limits.body_interval.count()) / 1000) {
          Count(counters.body_timeouts);
          return Refuse(ErrorResponse(request_.reply_format(),
                                      Status(Code::kDeadlineExceeded, "the body arrives too slowly"), {},
                                      408));
        }
        body_marked_ = now;
        body_mark_ = body_.size();
        return;
    }
  }

  void Drain() override {
    close_ = true;
    if (state_ == State::kHead && !head_begun_) connection_.CloseAfterFlush(milliseconds(0));
  }

  bool busy() const override { return state_ != State::kHead; }

 private:
  enum class State : uint8_t {
    kHead,       // awaiting or reading a head
    kBody,       // reading a body of known length
    kChunked,    // reading a chunked body
    kAnswering,  // the handler has it
    kSkipping,   // the request was refused; the rest of its short body is discarded
  };

  void NextRequest() {
    ++id_;
    state_ = State::kHead;
    head_begun_ = false;
    head_method_ = false;
    cors_.clear();
    request_ = Request();
    parser_.emplace(connection_.options(), &request_, &body_);
    started_ = connection_.now();
  }

  void ConsumeKept() {
    const std::string bytes = std::move(kept_);
    kept_.clear();
    const size_t used = Consume(bytes);
    kept_.assign(bytes, used);
  }

  // Returns how much was used up; the rest is to be offered again, with more behind it.
  size_t Consume(std::string_view bytes) {
    consuming_ = true;
    paused_ = false;
    size_t at = 0;
    while (at < bytes.size() && !connection_.closing()) {
      if (state_ == State::kHead && connection_.out().bytes() > kMaxUnsent) {
        paused_ = true;  // until the answers so far are on their way; see Produce()
        break;
      }
      const std::string_view rest = bytes.substr(at);
      const size_t used = state_ == State::kHead       ? Head(rest)
                          : state_ == State::kBody     ? Body(rest)
                          : state_ == State::kChunked  ? Chunked(rest)
                          : state_ == State::kSkipping ? Skip(rest)
                                                       : 0;
      at += used;
      if (used == 0) break;
    }
    consuming_ = false;
    return connection_.closing() ? bytes.size() : at;
  }

  size_t Head(std::string_view bytes) {
    if (!head_begun_) {
      // Empty lines before a request are tolerated (RFC 9112 section 2.2).
      const size_t text = bytes.find_first_not_of("\r\n");
      if (text != 0) return std::min(text, bytes.size());
      head_begun_ = true;
      if (!first_) started_ = connection_.now();
      first_ = false;
    }
    error_code error;
    const size_t used = parser_->put(boost::asio::const_buffer(bytes.data(), bytes.size()), error);
    if (error == http::error::need_more) {
      if (bytes.size() - used > connection_.options().max_header_bytes) {
        Fail(431, "the request head is too large");
      }
      return used;
    }
    if (error) {
      if (error == http::error::header_limit || parser_->too_many_fields()) {
        Fail(431, "the request head is too large");
      } else if (error == http::error::bad_version) {
        Fail(505, "HTTP/1.0, HTTP/1.1 and HTTP/2 are supported");
      } else {
        Fail(400, "malformed HTTP: " + error.message());
      }
      return used;
    }
    if (parser_->is_header_done()) HeadDone();
    return used;
  }

  void HeadDone() {
    const HttpServer::Options& limits = connection_.options();
    keep_alive_ = parser_->keep_alive();
    http10_ = parser_->version() < 11;
    if (parser_->odd_transfer_encoding()) return Fail(400, "Transfer-Encoding other than chunked");
    if (request_.target.empty() || (request_.target.front() != '/' && request_.target != "*")) {
      return Fail(400, "the request target is not a path");
    }
    head_method_ = request_.method == "HEAD";
    state_ = State::kAnswering;
    remaining_ = parser_->content_length().value_or(0);
    const bool has_body = parser_->chunked() || remaining_ > 0;

    std::optional<Response> refusal = connection_.Screen(&request_, &cors_);
    if (!refusal && remaining_ > limits.max_body_bytes) refusal = connection_.TooLarge(request_);
    if (refusal) {
      if (!has_body) return Respond(id_, std::move(*refusal));
      const bool short_body = !parser_->chunked() && remaining_ <= kMaxSkipped;
      if (!short_body || !keep_alive_ || close_ || !request_.headers.Get("expect").empty()) {
        return Refuse(std::move(*refusal));
      }
      Write(std::move(*refusal), true);
      started_ = connection_.now();
      state_ = State::kSkipping;
      return;
    }
    if (const std::string_view expect = request_.headers.Get("expect"); !expect.empty() && has_body) {
      if (!IsToken(expect, "100-continue")) return Fail(417, "Expect other than 100-continue");
      connection_.out().Append(std::string_view("HTTP/1.1 100 Continue\r\n\r\n"));
      connection_.WantFlush();
    }
    body_marked_ = connection_.now();
    body_mark_ = 0;
    if (parser_->chunked()) {
      body_.Start(connection_.core().pool, limits.max_body_bytes, std::nullopt, false);
      parser_->eager(true);
      state_ = State::kChunked;
      return;
    }
    body_.Start(connection_.core().pool, limits.max_body_bytes, remaining_, false);
    state_ = State::kBody;
    if (remaining_ == 0) BodyDone();
  }

  size_t Body(std::string_view bytes) {
    const size_t taken = static_cast<size_t>(std::min<uint64_t>(bytes.size(), remaining_));
    const BodyBuffer::Fill fill = body_.Append(bytes.substr(0, taken));
    if (fill != BodyBuffer::Fill::kOk) {
      RefuseFill(fill);
      return taken;
    }
    remaining_ -= taken;
    if (remaining_ == 0) BodyDone();
    return taken;
  }

  size_t Skip(std::string_view bytes) {
    const size_t taken = static_cast<size_t>(std::min<uint64_t>(bytes.size(), remaining_));
    remaining_ -= taken;
    if (remaining_ == 0) {
      if (close_) {
        connection_.CloseAfterFlush(milliseconds(0));
      } else {
        NextRequest();
      }
    }
    return taken;
  }

  size_t Chunked(std::string_view bytes) {
    error_code error;
    const size_t used = parser_->put(boost::asio::const_buffer(bytes.data(), bytes.size()), error);
    if (parser_->fill() != BodyBuffer::Fill::kOk) {
      RefuseFill(parser_->fill());
    } else if (error && error != http::error::need_more) {
      Fail(400, "malformed chunked body: " + error.message());
    } else if (parser_->is_done()) {
      BodyDone();
    } else if (bytes.size() - used > connection_.options().max_header_bytes) {
      Fail(400, "malformed chunked body: an endless chunk header");
    }
    return used;
  }

  void BodyDone() {
    request_.body = body_.Take();
    if (!request_.body) return Refuse(connection_.NoMemory(request_));
    state_ = State::kAnswering;
    connection_.Dispatch(std::move(request_), id_);
  }

  void RefuseFill(BodyBuffer::Fill fill) {
    Refuse(fill == BodyBuffer::Fill::kTooLarge ? connection_.TooLarge(request_)
                                               : connection_.NoMemory(request_));
  }

  // An answer before the end of the request: the rest is discarded and the connection closed.
  void Refuse(Response response) {
    body_.Start(connection_.core().pool, 0, std::nullopt, false);
    state_ = State::kAnswering;
    Write(std::move(response), false);
    connection_.CloseAfterFlush(kLinger);
  }

  void Fail(int status, std::string message) {
    if (status != 408) Count(connection_.core().counters.protocol_errors);
    Refuse(ErrorResponse(ReplyFormat::kText, InvalidArgument(std::move(message)), {}, status));
  }

  void Write(Response response, bool keep_alive) {
    const bool head_only = head_method_ || response.status == 204 || response.status == 304;
    std::string head;
    head.reserve(256);
    head += "HTTP/1.1 ";
    head += std::to_string(response.status);
    head += ' ';
    head += HttpReason(response.status);
    head += "\r\ndate: ";
    head += connection_.core().date;
    if (!response.content_type.empty()) AddField(&head, "content-type", response.content_type);
    if (response.status != 204 && response.status != 304) {
      AddField(&head, "content-length", std::to_string(response.body_size()));
    }
    for (const auto& [name, value] : response.headers) AddField(&head, name, value);
    for (const auto& [name, value] : cors_) AddField(&head, name, value);
    if (!keep_alive) {
      AddField(&head, "connection", "close");
    } else if (http10_) {
      AddField(&head, "connection", "keep-alive");
    }
    head += "\r\n\r\n";
    OutputQueue& out = connection_.out();
    out.Append(std::string_view(head));
    if (!head_only) {
      if (!response.pieces.empty()) {
        for (std::string& piece : response.pieces) out.Append(std::move(piece));
      } else if (response.slab) {
        out.Append(std::move(response.slab));
      } else {
        out.Append(std::move(response.body));
      }
    }
    connection_.WantFlush();
  }

  static void AddField(std::string* head, std::string_view name, std::string_view value) {
    *head += "\r\n";
    *head += name;
    *head += ": ";
    // A value may quote what a sender sent: it must not end the line.
    for (const char c : value) head->push_back(c == '\r' || c == '\n' || c == '\0' ? ' ' : c);
  }

  Connection& connection_;
  State state_ = State::kHead;
  uint32_t id_ = 0;
  std::string kept_;  // received but not used up; at most one read and one head
  boost::optional<Parser> parser_;
  Request request_;
  BodyBuffer body_;
  uint64_t remaining_ = 0;
  std::vector<std::pair<std::string, std::string>> cors_;
  bool consuming_ = false;
  bool paused_ = false;  // kept_ holds requests that are not looked at yet
  bool first_ = true;
  bool head_begun_ = false;
  bool keep_alive_ = true;
  bool http10_ = false;
  bool head_method_ = false;
  bool close_ = false;
  TimePoint started_;  // of the connection, the head, or the idle time
  TimePoint body_marked_;
  size_t body_mark_ = 0;
};

}  // namespace

std::unique_ptr<Session> NewHttp1Session(Connection* connection) {
  return std::make_unique<Http1Session>(connection);
}

}  // namespace braid::ingest::internal
