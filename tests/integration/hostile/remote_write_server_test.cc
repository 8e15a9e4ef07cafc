// Remote write over real sockets, from the first byte to the sequencer: what each sender is told, and what is
// counted.

#include <prometheus_write.pb.h>
#include <snappy.h>

#include "ingest/receivers/remote_write_receiver.h"
#include "tests/integration/hostile/fake_sequencer.h"
#include "tests/integration/hostile/test_server.h"

namespace braid::hostile {
namespace {

namespace pb = oracle::prometheus;
using ingest::ReceiveOutcome;
using ingest::RemoteWriteReceiver;
using testing::HasSubstr;

constexpr char kOne[] = "application/x-protobuf";
constexpr char kTwo[] = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
constexpr int64_t kTime = 1'700'000'000'000;

std::string Snappy(const std::string& input) {
  std::string out;
  snappy::Compress(input.data(), input.size(), &out);
  return out;
}

class RemoteWriteServerTest : public testing::Test {
 protected:
  void Start(size_t max_bytes = 64u << 20, size_t pool_bytes = 256u << 20) {
    switch_ = std::make_unique<Switch>();
    ingest::HttpServer::Options http;
    http.max_body_bytes = max_bytes;
    server_ = std::make_unique<TestServer>(switch_.get(), http, 1, pool_bytes);
    ASSERT_TRUE(server_->start.ok());
    RemoteWriteReceiver::Options options;
    options.max_decompressed_bytes = max_bytes;
    options.now_seconds = [] { return uint64_t{1}; };
    receiver_ = std::make_unique<RemoteWriteReceiver>(std::vector<ingest::Decoder*>{&decoder_}, sequencer_,
                                                      server_->pool, options);
    switch_->to = receiver_.get();
  }
  void TearDown() override {
    sequencer_.Join();
    if (!server_) return;
    server_->server->Stop(steady_clock::now());
    EXPECT_TRUE(Eventually([&] { return server_->pool.used_bytes() == 0; }));
  }

  // `good` series with a sample and an exemplar each, one native histogram, and `bad` series without a name.
  static pb::WriteRequest2 Version2(int good, int bad) {
    pb::WriteRequest2 request;
    for (const char* symbol : {"", "__name__", "a", "trace_id", "x"}) request.add_symbols(symbol);
    for (int i = 0; i < good + bad; ++i) {
      pb::TimeSeries2* series = request.add_timeseries();
      request.add_symbols(std::to_string(i));
      if (i < good) {
        series->add_labels_refs(1);
        series->add_labels_refs(2);
      }
      series->add_labels_refs(4);
      series->add_labels_refs(static_cast<uint32_t>(request.symbols_size() - 1));
      series->add_samples()->set_timestamp(kTime);
      pb::Exemplar2* exemplar = series->add_exemplars();
      exemplar->set_timestamp(kTime);
      exemplar->add_labels_refs(3);
      exemplar->add_labels_refs(2);
    }
    pb::TimeSeries2* series = request.add_timeseries();
    for (const uint32_t ref : {1u, 4u}) series->add_labels_refs(ref);
    series->add_histograms()->set_timestamp(kTime);
    return request;
  }
  static pb::WriteRequest1 Version1(int good, int bad) {
    pb::WriteRequest1 request;
    for (int i = 0; i < good + bad; ++i) {
      pb::TimeSeries1* series = request.add_timeseries();
      pb::Label* label = series->add_labels();
      label->set_name(i < good ? "__name__" : "x");
      label->set_value("a" + std::to_string(i));
      series->add_samples()->set_timestamp(kTime);
    }
    return request;
  }

  Http1Reply Send(const std::string& body, std::string type, const std::string& path = "/api/v1/write") {
    Wire wire(server_->port());
    return Exchange(wire,
                    Post(path, body, {{"content-type", std::move(type)}, {"content-encoding", "snappy"}}));
  }
  static std::string Written(const Http1Reply& reply) {
    std::string all;
    for (const char* what : {"samples", "histograms", "exemplars"}) {
      const auto at = reply.headers.find("x-prometheus-remote-write-" + std::string(what) + "-written");
      all += (all.empty() ? "" : " ") + (at == reply.headers.end() ? "-" : at->second);
    }
    return all;
  }
  uint64_t Outcome(size_t version, ReceiveOutcome outcome) const {
    return receiver_->stats().requests[version][static_cast<size_t>(outcome)];
  }

  // The receiver needs the server's pool, the server its handler.
  struct Switch : ingest::Handler {
    std::optional<ingest::Response> Screen(ingest::Request& head) override { return to.load()->Screen(head); }
    void Handle(ingest::Request request, ingest::Responder responder) override {
      to.load()->Handle(std::move(request), std::move(responder));
    }
    std::atomic<ingest::Handler*> to{nullptr};
  };

  SlabPool decode_pool_{{}};
  BatchPool batches_;
  SlicePool slices_;
  ingest::Decoder decoder_{Epoch(), batches_, slices_, decode_pool_, nullptr};
  FakeSequencer sequencer_;
  std::unique_ptr<Switch> switch_;
  std::unique_ptr<RemoteWriteReceiver> receiver_;
  std::unique_ptr<TestServer> server_;
};

// Scenario: good requests of both versions, on both paths.
// Guarantees: 204 without a body; 2.0 is told exact counts, 1.0 none; every sample is submitted.
TEST_F(RemoteWriteServerTest, Accepts) {
  Start();
  const Http1Reply one = Send(Snappy(Version1(5, 0).SerializeAsString()), kOne);
  EXPECT_EQ(one.status, 204);
  EXPECT_EQ(one.body, "");
  EXPECT_EQ(Written(one), "- - -");
  EXPECT_EQ(sequencer_.items, 5u);
  const Http1Reply two = Send(Snappy(Version2(3, 0).SerializeAsString()), kTwo, "/api/v1/push");
  EXPECT_EQ(two.status, 204);
  EXPECT_EQ(Written(two), "3 1 3");
  EXPECT_EQ(sequencer_.items, 9u);
  EXPECT_EQ(Send(Snappy(""), kTwo).status, 204);
  EXPECT_EQ(Outcome(0, ReceiveOutcome::kAccepted), 1u);
  EXPECT_EQ(Outcome(1, ReceiveOutcome::kAccepted), 2u);
  EXPECT_EQ(receiver_->stats().samples_written, 8u);
  EXPECT_EQ(receiver_->stats().histograms_written, 1u);
  EXPECT_EQ(receiver_->stats().exemplars_written, 3u);
}

// Scenario: two good series and three without a name, in both versions.
// Guarantees: 400 that names the first; the good ones are submitted, the others in the account as
// rejected; 2.0 is told what was written.
TEST_F(RemoteWriteServerTest, PartialWrites) {
  Start();
  const Http1Reply one = Send(Snappy(Version1(2, 3).SerializeAsString()), kOne);
  EXPECT_EQ(one.status, 400);
  EXPECT_THAT(one.body, HasSubstr("2 of 5 samples"));
  EXPECT_THAT(one.body, HasSubstr("timeseries[2]: no label __name__\n"));
  EXPECT_EQ(sequencer_.items, 2u);
  EXPECT_EQ(sequencer_.rejected, 3u);
  const Http1Reply two = Send(Snappy(Version2(2, 3).SerializeAsString()), kTwo);
  EXPECT_EQ(two.status, 400);
  EXPECT_EQ(Written(two), "2 1 2");
  EXPECT_EQ(sequencer_.items, 5u);
  EXPECT_EQ(sequencer_.rejected, 6u);
  EXPECT_EQ(Outcome(0, ReceiveOutcome::kPartial), 1u);
  EXPECT_EQ(Outcome(1, ReceiveOutcome::kPartial), 1u);
  const auto no_name = static_cast<size_t>(ingest::SeriesFault::kNoName);
  EXPECT_EQ(receiver_->stats().rejected_samples[no_name], 6u);
  EXPECT_EQ(receiver_->stats().exemplars_dropped, 3u);
}

// Scenario: what is not snappy, not protobuf, the other version's message, or framed snappy.
// Guarantees: 400, counted as undecodable; nothing submitted.
TEST_F(RemoteWriteServerTest, Undecodable) {
  Start();
  const std::string good = Version1(3, 0).SerializeAsString();
  EXPECT_EQ(Send(good, kOne).status, 400);
  EXPECT_EQ(Send("", kOne).status, 400);
  EXPECT_EQ(Send(std::string("\xff\x06\x00\x00sNaPpY", 10), kOne).status, 400);
  EXPECT_THAT(Send(Snappy(good.substr(1)), kOne).body, HasSubstr("no protobuf field"));
  EXPECT_EQ(Send(Snappy(good + "\x0a\x01"), kTwo).status, 400);
  EXPECT_EQ(sequencer_.items, 0u);
  EXPECT_EQ(sequencer_.undecodable, 5u);
  EXPECT_EQ(Outcome(0, ReceiveOutcome::kBadData) + Outcome(1, ReceiveOutcome::kBadData), 5u);
}

// Scenario: too large as sent, too large by snappy's header, an untrue header, and too large as OTLP.
// Guarantees: 413 or 400, and nothing of it is kept.
TEST_F(RemoteWriteServerTest, TooLarge) {
  Start(1u << 20);
  EXPECT_EQ(Send(std::string(2u << 20, 'x'), kOne).status, 413);
  EXPECT_EQ(Send(Snappy(std::string(2u << 20, 'x')), kOne).status, 413);
  EXPECT_EQ(Send("\xff\xff\xff\xff\x0f", kOne).status, 413);
  EXPECT_EQ(Send(std::string("\x80\x80\x20", 3) + "xx", kOne).status, 400);
  pb::WriteRequest2 request = Version2(0, 0);
  request.add_symbols(std::string(10'000, 'x'));
  for (int i = 0; i < 200; ++i) {
    pb::TimeSeries2* series = request.add_timeseries();
    for (const uint32_t ref : {1u, 2u, 4u, 5u}) series->add_labels_refs(ref);
    series->add_samples()->set_timestamp(kTime + i);
  }
  const Http1Reply reply = Send(Snappy(request.SerializeAsString()), kTwo);
  EXPECT_EQ(reply.status, 413);
  EXPECT_EQ(Written(reply), "0 0 0");
  EXPECT_EQ(sequencer_.items, 0u);
}

// Scenario: the core is behind.
// Guarantees: 503 with Retry-After, whichever thread says so; counted as refused; 2.0 is told that nothing
// was written.
TEST_F(RemoteWriteServerTest, RefusesForNow) {
  Start();
  sequencer_.refuse = true;
  for (const bool elsewhere : {false, true}) {
    sequencer_.elsewhere = elsewhere;
    const Http1Reply reply = Send(Snappy(Version2(3, 1).SerializeAsString()), kTwo);
    EXPECT_EQ(reply.status, 503);
    ASSERT_TRUE(reply.headers.contains("retry-after"));
    EXPECT_GE(std::stoi(reply.headers.at("retry-after")), 1);
    EXPECT_EQ(Written(reply), "0 0 0");
  }
  EXPECT_EQ(Outcome(1, ReceiveOutcome::kRefused), 2u);
  EXPECT_EQ(receiver_->stats().samples_written, 0u);
}

// Scenario: no memory for the tables of a request.
// Guarantees: 503 with Retry-After; the request may come again, and is not called undecodable.
TEST_F(RemoteWriteServerTest, NoMemory) {
  Start(64u << 20, 1u << 20);
  const Http1Reply reply = Send(Snappy(Version1(20'000, 0).SerializeAsString()), kOne);
  EXPECT_EQ(reply.status, 503);
  EXPECT_TRUE(reply.headers.contains("retry-after"));
  EXPECT_EQ(sequencer_.undecodable, 0u);
  EXPECT_EQ(Send(Snappy(Version1(10, 0).SerializeAsString()), kOne).status, 204);
}

}  // namespace
}  // namespace braid::hostile
