#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "ingest/http/body_buffer.h"
#include "ingest/http/connection.h"

namespace braid::ingest::internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// After a GOAWAY: long enough for the peer to read it, short enough not to serve a flood.
constexpr milliseconds kLinger = seconds(1);

// If the peer does not answer the PING that goes with the first GOAWAY of a shutdown.
constexpr milliseconds kGoawayPause{1'000};

// Between the end of an early answer and the reset that stops the rest of its request.
constexpr milliseconds kResetDelay{500};

constexpr char kDrainPing[] = "braiddrn";  // 8 bytes

// Frames that cost us something are paid from a budget that time and completed requests refill. gRPC clients
// send a PING per round trip while they estimate bandwidth, hence the generous refill per request.
class FloodBudget {
 public:
  explicit FloodBudget(TimePoint now) : refilled_(now) {}

  bool Spend(double cost, TimePoint now) {
    if (now > refilled_) {
      Earn(std::chrono::duration<double>(now - refilled_).count() * kPerSecond);
      refilled_ = now;
    }
    tokens_ -= cost;
    return tokens_ >= 0;
  }
  void Earn(double tokens) { tokens_ = std::min(kBurst, tokens_ + tokens); }

  static constexpr double kPerRequest = 12;

 private:
  static constexpr double kBurst = 2'000;
  static constexpr double kPerSecond = 200;
  double tokens_ = kBurst;
  TimePoint refilled_;
};

constexpr int kFirstExtension = 0x0a;

// DATA frames of at least this size pay for themselves.
constexpr size_t kSmallData = 64;

// A header block that inflates to this many times what we take is an attack, not a mistake.
constexpr size_t kHeaderBombFactor = 32;

// Frames queued in nghttp2 for a peer that does not read them.
constexpr size_t kMaxQueuedFrames = 4'000;

struct Stream {
  int32_t id = 0;
  Request request;
  BodyBuffer body;
  size_t header_bytes = 0;
  bool header_too_large = false;
  bool head_done = false;
  bool refused = false;       // answered before the request was complete: the rest is discarded
  bool request_done = false;  // END_STREAM seen
  bool dispatched = false;
  bool replied = false;
  bool reply_done = false;  // its last frame was sent
  bool grpc = false;
  bool head_method = false;
  size_t held = 0;  // body bytes counted in the session's total
  size_t replied_bytes = 0;
  std::vector<std::pair<std::string, std::string>> cors;
  Response response;
  size_t piece = 0;  // of response.pieces, on its way
  size_t sent = 0;   // of the piece, or of the body
  std::optional<TimePoint> deadline;
  TimePoint begun;
  TimePoint marked;  // body or reply progress was last seen
  size_t mark = 0;
  std::list<Stream>::iterator self;
};

void AddField(std::vector<nghttp2_nv>* fields, std::string_view name, std::string_view value) {
  fields->push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                     reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
                     NGHTTP2_NV_FLAG_NONE});
}

class Http2Session : public Session {
 public:
  explicit Http2Session(Connection* connection) : connection_(*connection), budget_(connection->now()) {
    nghttp2_option* option = nullptr;
    if (nghttp2_option_new(&option) != 0) throw std::bad_alloc();
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_outbound_ack(option, 1'000);
    nghttp2_option_set_max_settings(option, 32);
    nghttp2_option_set_max_continuations(option, 8);
    // The flood budget counts resets; nghttp2's own limiter would close with INTERNAL_ERROR.
    nghttp2_option_set_stream_reset_rate_limit(option, 1'000'000, 1'000'000);
    // Frames of unknown types are ignored, but not for free: without this nghttp2 would not even mention
    // them.
    for (int type = kFirstExtension; type <= 0xff; ++type) {
      nghttp2_option_set_user_recv_extension_type(option, static_cast<uint8_t>(type));
    }
    const int rc = nghttp2_session_server_new2(&session_, Callbacks(), this, option);
    nghttp2_option_del(option);
    if (rc != 0) throw std::bad_alloc();

    const HttpServer::Options& limits = connection_.options();
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits.max_concurrent_streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits.stream_window},
        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, 1u << 20},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(limits.max_header_bytes)},
    };
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings));
    nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0,
                                          static_cast<int32_t>(limits.connection_window));
    progress_ = connection_.now();
  }

  ~Http2Session() override { nghttp2_session_del(session_); }

  void OnBytes(std::string_view bytes) override {
    const ssize_t used =
        nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    if (connection_.closing()) return;
    if (flooded_ || used == NGHTTP2_ERR_FLOODED || used == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS) return Calm();
    if (used < 0) {
      Count(connection_.core().counters.protocol_errors);
      return Goaway(used == NGHTTP2_ERR_BAD_CLIENT_MAGIC ? NGHTTP2_PROTOCOL_ERROR : NGHTTP2_INTERNAL_ERROR);
    }
    if (nghttp2_session_get_outbound_queue_size(session_) > kMaxQueuedFrames) Calm();
  }

  void OnEof() override { connection_.Abort(); }

  size_t wanted() const override { return nghttp2_session_want_read(session_) != 0 ? Core::kReadBuffer : 0; }

  void Respond(uint32_t id, Response response) override {
    auto* stream =
        static_cast<Stream*>(nghttp2_session_get_stream_user_data(session_, static_cast<int32_t>(id)));
    if (stream == nullptr || stream->replied) return;
    budget_.Earn(FloodBudget::kPerRequest);
    Submit(stream, std::move(response));
  }

  void Produce(size_t limit) override {
    OutputQueue& out = connection_.out();
    while (out.bytes() < limit) {
      const uint8_t* data = nullptr;
      const ssize_t size = nghttp2_session_mem_send(session_, &data);
      if (size < 0) return Goaway(NGHTTP2_INTERNAL_ERROR);
      if (size == 0) break;
      out.Append(std::string_view(reinterpret_cast<const char*>(data), static_cast<size_t>(size)));
    }
    const bool drained = goaway_final_ && streams_.empty();
    if (out.bytes() < limit && (drained || (nghttp2_session_want_read(session_) == 0 &&
                                            nghttp2_session_want_write(session_) == 0))) {
      connection_.CloseAfterFlush(kLinger);
    }
  }

  void Sweep(TimePoint now) override {
    const HttpServer::Options& limits = connection_.options();
    Counters& counters = connection_.core().counters;
    if (drain_since_ && !goaway_final_ && now - *drain_since_ > kGoawayPause) FinalGoaway();
    if (streams_.empty()) {
      if (now - progress_ > limits.idle_timeout) {
        Count(counters.idle_timeouts);
        return Goaway(NGHTTP2_NO_ERROR);
      }
      return;
    }
    bool head_late = false;
    for (auto it = streams_.begin(); it != streams_.end();) {
      Stream& stream = *it++;
      if (!stream.head_done) {
        head_late = head_late || now - stream.begun > limits.header_timeout;
      } else if (stream.replied) {
        SweepReply(&stream, now);
      } else if (stream.deadline && now > *stream.deadline) {
        Count(counters.deadlines_passed);
        Refuse(&stream,
               ErrorResponse(ReplyFormat::kGrpc, Status(Code::kDeadlineExceeded, "grpc-timeout passed")));
      } else if (!stream.request_done && now - stream.marked >= limits.body_interval) {
        if (stream.body.size() - stream.mark <
            limits.min_body_rate * static_cast<size_t>(limits.body_interval.count()) / 1000) {
          Count(counters.body_timeouts);
          Refuse(&stream,
                 ErrorResponse(stream.request.reply_format(),
                               Status(Code::kDeadlineExceeded, "the body arrives too slowly"), {}, 408));
        } else {
          stream.marked = now;
          stream.mark = stream.body.size();
        }
      }
    }
    if (head_late) {
      Count(counters.header_timeouts);
      return Goaway(NGHTTP2_PROTOCOL_ERROR);
    }
    connection_.WantFlush();
  }

  void Drain() override {
    if (drain_since_) return;
    // RFC 9113 section 6.8: first "no new streams soon", so that requests already on their way are still
    // taken; the last stream is named once they must have arrived.
    drain_since_ = connection_.now();
    nghttp2_submit_shutdown_notice(session_);
    nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, reinterpret_cast<const uint8_t*>(kDrainPing));
  }

  bool busy() const override { return !streams_.empty(); }

 private:
  static const nghttp2_session_callbacks* Callbacks() {
    static const nghttp2_session_callbacks* const callbacks = [] {
      nghttp2_session_callbacks* c = nullptr;
      if (nghttp2_session_callbacks_new(&c) != 0) throw std::bad_alloc();
      nghttp2_session_callbacks_set_on_begin_frame_callback(
          c, [](nghttp2_session*, const nghttp2_frame_hd* frame, void* self) {
            return static_cast<Http2Session*>(self)->OnBeginFrame(*frame);
          });
      nghttp2_session_callbacks_set_on_begin_headers_callback(
          c, [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
            return static_cast<Http2Session*>(self)->OnBeginHeaders(*frame);
          });
      nghttp2_session_callbacks_set_on_header_callback(
          c, [](nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                const uint8_t* value, size_t value_size, uint8_t, void* self) {
            return static_cast<Http2Session*>(self)->OnHeader(
                *frame, {reinterpret_cast<const char*>(name), name_size},
                {reinterpret_cast<const char*>(value), value_size});
          });
      nghttp2_session_callbacks_set_on_frame_recv_callback(
          c, [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
            return static_cast<Http2Session*>(self)->OnFrame(*frame);
          });
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
          c, [](nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t size, void* self) {
            return static_cast<Http2Session*>(self)->OnData(id, {reinterpret_cast<const char*>(data), size});
          });
      nghttp2_session_callbacks_set_on_stream_close_callback(
          c, [](nghttp2_session*, int32_t id, uint32_t, void* self) {
            return static_cast<Http2Session*>(self)->OnStreamClose(id);
          });
      nghttp2_session_callbacks_set_on_frame_send_callback(
          c, [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
            return static_cast<Http2Session*>(self)->OnFrameSent(*frame);
          });
      nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(
          c, [](nghttp2_session*, const nghttp2_frame*, int, void* self) {
            return static_cast<Http2Session*>(self)->Spend(10);
          });
      nghttp2_session_callbacks_set_unpack_extension_callback(
          c,
          [](nghttp2_session*, void**, const nghttp2_frame_hd*, void*) -> int { return NGHTTP2_ERR_CANCEL; });
      return c;
    }();
    return callbacks;
  }

  int Spend(double cost) {
    if (budget_.Spend(cost, connection_.now())) return 0;
    flooded_ = true;
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }

  Stream* Find(int32_t id) {
    return static_cast<Stream*>(nghttp2_session_get_stream_user_data(session_, id));
  }

  // Every frame passes here, unknown ones included.
  int OnBeginFrame(const nghttp2_frame_hd& frame) {
    if (frame.type == NGHTTP2_DATA && frame.length >= kSmallData) return 0;
    // The last one of a body is often empty and no sign of ill will.
    if (frame.type == NGHTTP2_DATA && (frame.flags & NGHTTP2_FLAG_END_STREAM) != 0) return Spend(0.25);
    return Spend(frame.type == NGHTTP2_RST_STREAM || frame.type == NGHTTP2_SETTINGS ? 2 : 1);
  }

  int OnBeginHeaders(const nghttp2_frame& frame) {
    if (frame.hd.type != NGHTTP2_HEADERS || frame.headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    Stream& stream = streams_.emplace_back();
    stream.self = std::prev(streams_.end());
    stream.id = frame.hd.stream_id;
    stream.begun = connection_.now();
    stream.request.http2 = true;
    nghttp2_session_set_stream_user_data(session_, stream.id, &stream);
    return 0;
  }

  int OnHeader(const nghttp2_frame& frame, std::string_view name, std::string_view value) {
    Stream* stream = Find(frame.hd.stream_id);
    if (stream == nullptr) return 0;
    // RFC 9113 section 6.5.2 counts 32 bytes of overhead for each field.
    stream->header_bytes += name.size() + value.size() + 32;
    const HttpServer::Options& limits = connection_.options();
    if (stream->header_bytes > limits.max_header_bytes * kHeaderBombFactor) {
      flooded_ = true;
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (stream->head_done || stream->header_too_large) return 0;  // trailers say nothing to us
    Request& request = stream->request;
    if (stream->header_bytes > limits.max_header_bytes ||
        request.headers.count() >= limits.max_header_count) {
      stream->header_too_large = true;
    } else if (name == ":method") {
      request.method = value;
    } else if (name == ":path") {
      request.target = value;
    } else if (name == ":authority") {
      request.headers.Add("host", value);
    } else if (!name.starts_with(':')) {
      request.headers.Add(name, value);
    }
    return 0;
  }

  int OnFrame(const nghttp2_frame& frame) {
    progress_ = connection_.now();
    switch (frame.hd.type) {
      case NGHTTP2_HEADERS:
      case NGHTTP2_DATA: {
        Stream* stream = Find(frame.hd.stream_id);
        if (stream == nullptr) return 0;
        const bool end = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
        if (end) stream->request_done = true;
        if (!stream->head_done) HeadDone(stream);
        if (end && !stream->refused && !stream->dispatched) RequestDone(stream);
        return 0;
      }
      case NGHTTP2_PING:
        if (drain_since_ && (frame.hd.flags & NGHTTP2_FLAG_ACK) != 0 &&
            std::memcmp(frame.ping.opaque_data, kDrainPing, 8) == 0) {
          FinalGoaway();
        }
        return 0;
      default: return 0;
    }
  }

  void HeadDone(Stream* stream) {
    stream->head_done = true;
    stream->marked = connection_.now();
    Request& request = stream->request;
    const std::string type = request.content_type();
    stream->grpc = request.grpc =
        request.method == "POST" && (type == "application/grpc" || type.starts_with("application/grpc+"));
    stream->head_method = request.method == "HEAD";
    const ReplyFormat format = request.reply_format();
    if (stream->header_too_large) {
      return Refuse(stream,
                    ErrorResponse(format, ResourceExhausted("the request's headers are too large"), {}, 431));
    }
    if (request.target.empty() || (request.target.front() != '/' && request.target != "*")) {
      return Refuse(stream, ErrorResponse(format, InvalidArgument("the request has no path")));
    }
    if (const std::string_view timeout = request.headers.Get("grpc-timeout");
        request.grpc && !timeout.empty()) {
      const auto wait = ParseGrpcTimeout(timeout);
      if (!wait)
        return Refuse(stream, ErrorResponse(format, InvalidArgument("grpc: malformed grpc-timeout")));
      request.deadline = stream->deadline = connection_.now() + *wait;
    }
    if (std::optional<Response> refusal = connection_.Screen(&request, &stream->cors)) {
      return Refuse(stream, std::move(*refusal));
    }
    std::optional<uint64_t> expected;
    if (const std::string_view length = request.headers.Get("content-length"); !length.empty()) {
      // nghttp2 has checked that it is a number, and will check that it is true.
      expected = std::strtoull(std::string(length).c_str(), nullptr, 10);
      const size_t prefix = request.grpc ? 5 : 0;
      if (*expected > connection_.options().max_body_bytes + prefix) {
        return Refuse(stream, connection_.TooLarge(request));
      }
    }
    stream->body.Start(connection_.core().pool, connection_.options().max_body_bytes, expected, request.grpc);
    if (!stream->request_done && request.headers.Get("expect") == "100-continue") {
      std::vector<nghttp2_nv> fields;
      AddField(&fields, ":status", "100");
      nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, stream->id, nullptr, fields.data(), fields.size(),
                             nullptr);
    }
  }

  int OnData(int32_t id, std::string_view bytes) {
    Stream* stream = Find(id);
    if (stream == nullptr || stream->refused) {
      // The bytes are gone, so others may use the connection's window; the stream's stays shut.
      nghttp2_session_consume_connection(session_, bytes.size());
      return 0;
    }
    BodyBuffer::Fill fill = BodyBuffer::Fill::kNoMemory;
    if (held_ + bytes.size() <= connection_.options().max_connection_body_bytes) {
      fill = stream->body.Append(bytes);
    }
    if (fill == BodyBuffer::Fill::kOk) {
      held_ -= stream->held;
      stream->held = stream->body.size();
      held_ += stream->held;
      nghttp2_session_consume(session_, id, bytes.size());
      return 0;
    }
    nghttp2_session_consume_connection(session_, bytes.size());
    const ReplyFormat format = stream->request.reply_format();
    switch (fill) {
      case BodyBuffer::Fill::kOk: break;
      case BodyBuffer::Fill::kTooLarge: Refuse(stream, connection_.TooLarge(stream->request)); break;
      case BodyBuffer::Fill::kNoMemory: Refuse(stream, connection_.NoMemory(stream->request)); break;
      case BodyBuffer::Fill::kExtraMessage:
        Refuse(stream, ErrorResponse(
                           format, Unimplemented("grpc: bytes follow the message; exactly one is expected")));
        break;
      case BodyBuffer::Fill::kBadPrefix:
        Refuse(stream,
               ErrorResponse(format, InvalidArgument("grpc: the compressed flag is neither 0 nor 1")));
        break;
    }
    return 0;
  }

  void RequestDone(Stream* stream) {
    Request& request = stream->request;
    if (request.grpc) {
      if (Status status = stream->body.CheckGrpcEnd(); !status.ok()) {
        return Refuse(stream, ErrorResponse(ReplyFormat::kGrpc, status));
      }
      request.grpc_compressed = stream->body.grpc_compressed();
    }
    request.body = stream->body.Take();
    if (!request.body) return Refuse(stream, connection_.NoMemory(request));
    held_ -= stream->held;
    stream->held = 0;
    stream->dispatched = true;
    connection_.Dispatch(std::move(request), static_cast<uint32_t>(stream->id));
  }

  // An answer of the server's own, perhaps before the request is complete.
  void Refuse(Stream* stream, Response response) {
    stream->refused = true;
    held_ -= stream->held;
    stream->held = 0;
    stream->body.Start(connection_.core().pool, 0, std::nullopt, false);  // gives its slab back
    Submit(stream, std::move(response));
  }

  void Submit(Stream* stream, Response response) {
    stream->replied = true;
    stream->marked = connection_.now();
    // A handler that does not know of gRPC, or gave no answer.
    if (stream->grpc && !response.grpc && response.status >= 500) {
      response = ErrorResponse(ReplyFormat::kGrpc, Internal(response.body));
    }
    if (output_held_ + response.body_size() > connection_.options().max_output_bytes) {
      Count(connection_.core().counters.write_timeouts);
      nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_CANCEL);
      return connection_.WantFlush();
    }
    if (response.grpc && response.grpc->status.ok()) {
      const size_t size = response.body.size();
      const char prefix[5] = {0, static_cast<char>(size >> 24), static_cast<char>(size >> 16),
                              static_cast<char>(size >> 8), static_cast<char>(size)};
      response.body.insert(0, prefix, sizeof prefix);
    }
    stream->response = std::move(response);
    stream->replied_bytes = stream->response.body_size();
    output_held_ += stream->replied_bytes;

    Response& reply = stream->response;
    const std::string status = std::to_string(reply.status);
    const std::string length = std::to_string(reply.body_size());
    std::vector<nghttp2_nv> fields;
    fields.reserve(8 + reply.headers.size());
    AddField(&fields, ":status", status);
    if (!reply.content_type.empty()) AddField(&fields, "content-type", reply.content_type);
    const bool bodiless = reply.status == 204 || reply.status == 304;
    if (!reply.grpc) {
      if (!bodiless) AddField(&fields, "content-length", length);
      AddField(&fields, "date", connection_.core().date);
    }
    for (const auto& [name, value] : reply.headers) AddField(&fields, name, value);
    for (const auto& [name, value] : stream->cors) AddField(&fields, name, value);

    TrailerText trailer;
    if (reply.grpc) {
      AddField(&fields, "grpc-accept-encoding", "identity, gzip, zstd");
      if (!reply.grpc->status.ok()) {
        // Trailers-only: the one header block says it all.
        trailer = MakeTrailer(*reply.grpc);
        AddTrailer(trailer, &fields);
      }
    }
    nghttp2_data_provider provider{};
    provider.source.ptr = stream;
    provider.read_callback = [](nghttp2_session*, int32_t, uint8_t* to, size_t size, uint32_t* flags,
                                nghttp2_data_source* source, void* self) {
      return static_cast<Http2Session*>(self)->ReadReply(static_cast<Stream*>(source->ptr), to, size, flags);
    };
    const bool has_body =
        reply.grpc ? reply.grpc->status.ok() : reply.body_size() > 0 && !bodiless && !stream->head_method;
    if (nghttp2_submit_response(session_, stream->id, fields.data(), fields.size(),
                                has_body ? &provider : nullptr) != 0) {
      // A field that HTTP/2 cannot carry: a handler's fault, told as such.
      nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_INTERNAL_ERROR);
    }
    connection_.WantFlush();
  }

  struct TrailerText {
    std::string status, message, details;
  };

  static TrailerText MakeTrailer(const GrpcTrailer& trailer) {
    return {std::to_string(static_cast<int>(trailer.status.code())),
            GrpcPercentEncode(trailer.status.message()), Base64Unpadded(trailer.details)};
  }

  static void AddTrailer(const TrailerText& text, std::vector<nghttp2_nv>* fields) {
    AddField(fields, "grpc-status", text.status);
    if (!text.message.empty()) AddField(fields, "grpc-message", text.message);
    if (!text.details.empty()) AddField(fields, "grpc-status-details-bin", text.details);
  }

  ssize_t ReadReply(Stream* stream, uint8_t* to, size_t size, uint32_t* flags) {
    std::vector<std::string>& pieces = stream->response.pieces;
    const bool piecewise = stream->piece < pieces.size();
    const std::string_view rest = piecewise ? std::string_view(pieces[stream->piece]).substr(stream->sent)
                                            : stream->response.body_view().substr(stream->sent);
    const size_t taken = std::min(size, rest.size());
    std::memcpy(to, rest.data(), taken);
    stream->sent += taken;
    budget_.Earn(1);  // for the WINDOW_UPDATE that it may bring
    stream->marked = connection_.now();
    if (piecewise && taken == rest.size() && stream->piece + 1 < pieces.size()) {
      std::string().swap(pieces[stream->piece++]);  // it has gone out
      stream->sent = 0;
      return static_cast<ssize_t>(taken);
    }
    if (taken == rest.size()) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (stream->response.grpc) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        const TrailerText text = MakeTrailer(*stream->response.grpc);
        std::vector<nghttp2_nv> fields;
        AddTrailer(text, &fields);
        nghttp2_submit_trailer(session_, stream->id, fields.data(), fields.size());
      }
    }
    return static_cast<ssize_t>(taken);
  }

  int OnFrameSent(const nghttp2_frame& frame) {
    if (frame.hd.type == NGHTTP2_GOAWAY && frame.goaway.error_code != NGHTTP2_NO_ERROR) {
      Count(connection_.core().counters.protocol_errors);  // found by nghttp2 itself
    }
    if (frame.hd.type != NGHTTP2_HEADERS && frame.hd.type != NGHTTP2_DATA) return 0;
    if ((frame.hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
    Stream* stream = Find(frame.hd.stream_id);
    if (stream != nullptr && !stream->request_done) {
      // The answer is complete, the request is not, and will not be wanted. RFC 9113 section 8.1 has us reset
      // the stream, but several clients then forget the answer they already hold; see SweepReply().
      stream->reply_done = true;
      stream->marked = connection_.now();
    }
    return 0;
  }

  int OnStreamClose(int32_t id) {
    Stream* stream = Find(id);
    if (stream == nullptr) return 0;
    held_ -= stream->held;
    output_held_ -= stream->replied_bytes;
    nghttp2_session_set_stream_user_data(session_, id, nullptr);
    streams_.erase(stream->self);
    return 0;
  }

  // A reply that the peer gives us no window for; a request that goes on after its reply.
  void SweepReply(Stream* stream, TimePoint now) {
    if (stream->reply_done) {
      if (now - stream->marked <= kResetDelay) return;
      stream->marked = now;
      nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_NO_ERROR);
      return;
    }
    if (now - stream->marked <= connection_.options().write_timeout) return;
    Count(connection_.core().counters.write_timeouts);
    stream->marked = now;
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_CANCEL);
  }

  void FinalGoaway() {
    if (std::exchange(goaway_final_, true)) return;
    nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session_),
                          NGHTTP2_NO_ERROR, nullptr, 0);
    connection_.WantFlush();
  }

  void Calm() {
    Count(connection_.core().counters.floods);
    Goaway(NGHTTP2_ENHANCE_YOUR_CALM);
  }

  // Ends the connection at once. Written by hand, because after a fatal error nghttp2 writes nothing more.
  void Goaway(uint32_t error) {
    if (connection_.closing()) return;
    const auto last = static_cast<uint32_t>(nghttp2_session_get_last_proc_stream_id(session_));
    const auto byte = [](uint32_t word, int shift) { return static_cast<char>(word >> shift & 0xff); };
    const char frame[17] = {0,
                            0,
                            8,
                            NGHTTP2_GOAWAY,
                            0,
                            0,
                            0,
                            0,
                            0,
                            byte(last, 24),
                            byte(last, 16),
                            byte(last, 8),
                            byte(last, 0),
                            byte(error, 24),
                            byte(error, 16),
                            byte(error, 8),
                            byte(error, 0)};
    connection_.out().Append(std::string_view(frame, sizeof frame));
    connection_.CloseAfterFlush(kLinger);
  }

  Connection& connection_;
  nghttp2_session* session_ = nullptr;
  std::list<Stream> streams_;
  FloodBudget budget_;
  bool flooded_ = false;
  size_t held_ = 0;         // body bytes of incomplete requests
  size_t output_held_ = 0;  // reply bytes of open streams
  std::optional<TimePoint> drain_since_;
  bool goaway_final_ = false;
  TimePoint progress_;  // the last frame
};

}  // namespace

std::unique_ptr<Session> NewHttp2Session(Connection* connection) {
  return std::make_unique<Http2Session>(connection);
}

}  // namespace braid::ingest::internal
