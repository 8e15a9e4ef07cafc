#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/slab.h"
#include "base/status.h"

namespace braid::ingest {

// The header fields of one request, in two allocations whatever their number. Names are lower-case.
class Headers {
 public:
  void Add(std::string_view name, std::string_view value);

  // The first value; empty if there is none. `name` is lower-case.
  std::string_view Get(std::string_view name) const;

  size_t count() const { return entries_.size(); }
  std::pair<std::string_view, std::string_view> at(size_t index) const;

  // Names and values together.
  size_t bytes() const { return text_.size(); }

 private:
  struct Entry {
    uint32_t begin;
    uint32_t name_size;
    uint32_t value_size;
  };
  std::string text_;
  std::vector<Entry> entries_;
};

// The other side of a connection.
struct Peer {
  std::string address;  // without the port
  bool loopback = false;
  bool tls = false;
  std::string certificate_subject;  // RFC 2253 form; only of a certificate that the client CA vouches for
};

// How errors are worded for the sender of a request.
enum class ReplyFormat : uint8_t { kText, kProtobuf, kJson, kGrpc };

// One request. At Handler::Screen() the body is still empty.
struct Request {
  std::string method;
  std::string target;  // path and query as sent
  Headers headers;

  // As sent, so perhaps compressed. gRPC: the one message, without its 5-byte prefix.
  Slab body;

  std::shared_ptr<const Peer> peer;
  size_t core = 0;      // index of the core that owns the connection
  uint32_t tenant = 0;  // of the authenticated identity; Handler::Screen() sets it
  bool http2 = false;
  bool grpc = false;             // POST with content-type application/grpc, over HTTP/2
  bool grpc_compressed = false;  // the message's compressed flag

  // From grpc-timeout. The server itself answers DEADLINE_EXCEEDED when it passes.
  std::optional<std::chrono::steady_clock::time_point> deadline;

  // The target up to '?', as sent.
  std::string_view path() const;
  std::string_view query() const;

  // The first query parameter of that name, percent-decoded, '+' as space. Nothing if absent or malformed.
  std::optional<std::string> QueryParameter(std::string_view name) const;

  // Every query parameter, decoded, in order; malformed ones are left out.
  std::vector<std::pair<std::string, std::string>> QueryParameters() const;

  // The Content-Type without its parameters, lower-case.
  std::string content_type() const;

  ReplyFormat reply_format() const;
};

// Percent-decodes; nothing if a '%' is not followed by two hex digits. `plus_is_space` for queries.
std::optional<std::string> PercentDecode(std::string_view text, bool plus_is_space);

// How a gRPC call ends.
struct GrpcTrailer {
  Status status;
  std::string details;  // google.rpc.Status, serialised; empty for none
};

struct Response {
  int status = 200;
  std::string content_type;
  std::vector<std::pair<std::string, std::string>> headers;  // names lower-case
  std::string body;
  Slab slab;                        // in place of `body`
  std::vector<std::string> pieces;  // in place of `body`: what is too large to lie together; not for gRPC

  // Set for replies to gRPC calls; `body` is then the message, and `status` stays 200.
  std::optional<GrpcTrailer> grpc;

  size_t body_size() const {
    if (pieces.empty()) return slab ? slab.size() : body.size();
    size_t sum = 0;
    for (const std::string& piece : pieces) sum += piece.size();
    return sum;
  }

  // Of a body that lies together.
  std::string_view body_view() const { return slab ? slab.view() : std::string_view(body); }
};

}  // namespace braid::ingest
