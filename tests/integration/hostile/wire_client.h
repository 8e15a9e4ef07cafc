#pragma once

// A client that writes exactly the bytes a test wants, well-formed or not.

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct ssl_st;
struct ssl_ctx_st;
struct nghttp2_hd_inflater;

namespace braid::hostile {

constexpr std::chrono::seconds kPatience{20};

// One TCP connection, perhaps with TLS. All waits end at a deadline.
class Wire {
 public:
  explicit Wire(uint16_t port);
  ~Wire();
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  // Negotiates TLS; `alpn` in wire form ("\x02h2"). Certificate and key files are optional.
  bool StartTls(std::string_view alpn, const std::string& certificate = {}, const std::string& key = {});
  std::string Alpn() const;

  // False once the peer is gone, or (`patience`) does not take the bytes.
  bool Send(std::string_view bytes, std::chrono::milliseconds patience = kPatience);

  // What is there, waiting up to `patience` for the first byte. Empty at time-out and at the end.
  std::string Read(std::chrono::milliseconds patience = kPatience);

  // Reads on until `end` appears, the peer closes or patience ends; returns all of it.
  std::string ReadUntil(std::string_view end);
  std::string ReadToEnd();

  void HalfClose();
  bool closed() const { return closed_; }

 private:
  int fd_ = -1;
  bool closed_ = false;
  ssl_ctx_st* context_ = nullptr;
  ssl_st* ssl_ = nullptr;
};

using Fields = std::vector<std::pair<std::string, std::string>>;

struct Frame {
  uint8_t type = 0;
  uint8_t flags = 0;
  uint32_t stream = 0;
  std::string payload;
};

namespace frames {
enum Type : uint8_t {
  kData,
  kHeaders,
  kPriority,
  kReset,
  kSettings,
  kPush,
  kPing,
  kGoaway,
  kWindow,
  kContinuation
};
constexpr uint8_t kEndStream = 1;
constexpr uint8_t kAck = 1;
constexpr uint8_t kEndHeaders = 4;

std::string Make(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload = {});
std::string Word(uint32_t word);

// HPACK literals without indexing: no state to keep.
std::string Block(const Fields& fields);
std::string Literal(std::string_view name, std::string_view value);
}  // namespace frames

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// HTTP/2, frame by frame.
class Http2Wire : public Wire {
 public:
  explicit Http2Wire(uint16_t port);
  ~Http2Wire();

  // Preface and SETTINGS, and the server's answered.
  bool Open();

  // A request's HEADERS; returns its stream.
  uint32_t Headers(const Fields& fields, bool end_stream);
  uint32_t Call(std::string_view method, std::string_view path, const Fields& more, std::string_view body);
  uint32_t GrpcCall(std::string_view method, std::string_view wire_bytes, const Fields& more = {});

  // DATA frames of at most 16 KiB, waiting for windows as a decent client does.
  bool Data(uint32_t stream, std::string_view bytes, bool end_stream);

  struct Reply {
    std::map<std::string, std::string> headers;  // with trailers
    std::string body;
    int header_blocks = 0;
    bool ended = false;
    std::optional<uint32_t> reset;

    std::string Get(const std::string& name) const {
      const auto it = headers.find(name);
      return it == headers.end() ? "" : it->second;
    }
  };

  // Until the stream ends or is reset, or the connection does.
  Reply Await(uint32_t stream);

  // Reads frames for `patience` or until the connection ends; false then.
  bool Pump(std::chrono::milliseconds patience);

  // Until GOAWAY with an error or the end; the error code.
  std::optional<uint32_t> AwaitGoaway();

  const std::vector<std::pair<uint32_t, uint32_t>>& goaways() const {
    return goaways_;
  }  // last stream, error
  int64_t window() const { return window_; }
  std::map<uint32_t, Reply>& replies() { return replies_; }

 private:
  void OnFrame(const Frame& frame);

  nghttp2_hd_inflater* inflater_ = nullptr;
  std::string input_;
  uint32_t next_stream_ = 1;
  int64_t window_ = 65'535;
  uint32_t initial_window_ = 65'535;
  std::map<uint32_t, int64_t> stream_windows_;
  std::map<uint32_t, Reply> replies_;
  std::vector<std::pair<uint32_t, uint32_t>> goaways_;
  bool settings_seen_ = false;
};

// A parsed HTTP/1 response.
struct Http1Reply {
  int status = 0;
  std::map<std::string, std::string> headers;
  std::string body;
};
// The first response in `text`, which is cut off it. Nothing while incomplete.
std::optional<Http1Reply> TakeReply(std::string* text);
Http1Reply Exchange(Wire& wire, std::string_view request);
std::string Post(std::string_view path, std::string_view body, const Fields& more = {});

std::string GrpcMessage(std::string_view message, char flag = 0);

// Resident memory of this process.
size_t Rss();

}  // namespace braid::hostile
