// Decode alone, next to generated protobuf reading the same bytes. Prints nanoseconds, rates and ratios;
// gates nothing.
//
//   decode_kernel_bench [batches] [rounds]
//
// Cases are interleaved round by round and compared by the median of their CPU times, because other work on
// the machine comes in spells. The corpus (512 spans a request, 12 attributes, 3 resources, some 450 bytes a
// span) exceeds the caches unless few batches are asked for.

#include <google/protobuf/arena.h>
#include <google/protobuf/util/json_util.h>
#include <otlp.pb.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/slab.h"
#include "ingest/decode/decoder.h"

namespace braid::bench {
namespace {

namespace oracle = braid::oracle;

double CpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

std::string RandomBytes(std::mt19937_64& random, size_t size) {
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  bytes[0] = static_cast<char>(bytes[0] | 1);
  return bytes;
}

std::string Number(std::mt19937_64& random, uint64_t below) { return std::to_string(random() % below); }

constexpr int kItems = 512;
constexpr int kResources = 3;

void SetString(oracle::KeyValue* attribute, std::string_view key, std::string value) {
  attribute->set_key(std::string(key));
  attribute->mutable_value()->set_string_value(std::move(value));
}

void SetInt(oracle::KeyValue* attribute, std::string_view key, uint64_t value) {
  attribute->set_key(std::string(key));
  attribute->mutable_value()->set_int_value(static_cast<int64_t>(value));
}

void FillResource(oracle::Resource* resource, std::mt19937_64& random) {
  SetString(resource->add_attributes(), "service.name", "service-" + Number(random, 40));
  SetString(resource->add_attributes(), "service.version", "1.4.2");
  SetString(resource->add_attributes(), "host.name", "node-" + Number(random, 100) + ".cluster.local");
  SetString(resource->add_attributes(), "telemetry.sdk.language", "java");
}

std::string TraceRequest(std::mt19937_64& random) {
  oracle::ExportTraceServiceRequest request;
  std::string trace;
  int left = 0;
  for (int r = 0; r < kResources; ++r) {
    auto* home = request.add_resource_spans();
    FillResource(home->mutable_resource(), random);
    auto* group = home->add_scope_spans();
    group->mutable_scope()->set_name("io.opentelemetry.instrumentation");
    const int count = r == 0 ? kItems - kItems / kResources * (kResources - 1) : kItems / kResources;
    for (int i = 0; i < count; ++i) {
      if (left-- <= 0) {
        trace = RandomBytes(random, 16);
        left = static_cast<int>(random() % 20);
      }
      auto* span = group->add_spans();
      span->set_trace_id(trace);
      span->set_span_id(RandomBytes(random, 8));
      if (random() % 10 != 0) span->set_parent_span_id(RandomBytes(random, 8));
      span->set_name("GET /api/v1/items/" + Number(random, 100));
      span->set_kind(static_cast<oracle::Span::SpanKind>(1 + random() % 5));
      span->set_start_time_unix_nano(1'700'000'000'000'000'000 + random() % 1'000'000'000);
      span->set_end_time_unix_nano(span->start_time_unix_nano() + random() % 50'000'000);
      SetString(span->add_attributes(), "http.request.method", "GET");
      SetString(span->add_attributes(), "url.path", "/api/v1/items/" + Number(random, 10'000));
      SetInt(span->add_attributes(), "http.response.status_code", 200);
      SetString(span->add_attributes(), "server.address",
                "10.1." + Number(random, 256) + "." + Number(random, 256));
      SetInt(span->add_attributes(), "server.port", 8080);
      SetString(span->add_attributes(), "network.protocol.version", "1.1");
      SetString(span->add_attributes(), "user_agent.original", "okhttp/4.9.3");
      SetString(span->add_attributes(), "enduser.id", "user-" + Number(random, 1'000'000));
      SetString(span->add_attributes(), "thread.name", "worker-" + Number(random, 32));
      SetInt(span->add_attributes(), "thread.id", random() % 200);
      SetString(span->add_attributes(), "http.route", "/api/v1/items/{id}");
      SetString(span->add_attributes(), "peer.service", "inventory");
      if (random() % 20 == 0) span->mutable_status()->set_code(oracle::Status::STATUS_CODE_ERROR);
      span->set_flags(0x101);
    }
  }
  return request.SerializeAsString();
}

std::string LogRequest(std::mt19937_64& random) {
  oracle::ExportLogsServiceRequest request;
  for (int r = 0; r < kResources; ++r) {
    auto* home = request.add_resource_logs();
    FillResource(home->mutable_resource(), random);
    auto* group = home->add_scope_logs();
    group->mutable_scope()->set_name("logger");
    const int count = r == 0 ? kItems - kItems / kResources * (kResources - 1) : kItems / kResources;
    for (int i = 0; i < count; ++i) {
      auto* log = group->add_log_records();
      log->set_time_unix_nano(1'700'000'000'000'000'000 + random() % 1'000'000'000);
      log->set_observed_time_unix_nano(log->time_unix_nano());
      log->set_severity_number(random() % 50 == 0 ? oracle::SEVERITY_NUMBER_ERROR
                                                  : oracle::SEVERITY_NUMBER_INFO);
      log->set_severity_text("INFO");
      log->mutable_body()->set_string_value("order " + Number(random, 1'000'000) +
                                            " was taken from stock and handed to shipping");
      SetString(log->add_attributes(), "code.namespace", "com.example.shop.OrderService");
      SetInt(log->add_attributes(), "code.lineno", random() % 1000);
      SetString(log->add_attributes(), "thread.name", "worker-" + Number(random, 32));
      SetString(log->add_attributes(), "order.id", Number(random, 1'000'000));
      log->set_flags(1);
      log->set_trace_id(RandomBytes(random, 16));
      log->set_span_id(RandomBytes(random, 8));
    }
  }
  return request.SerializeAsString();
}

// As an SDK prints it: IDs in hex, 64-bit integers as strings.
std::string ToOtlpJson(const oracle::ExportTraceServiceRequest& request) {
  oracle::ExportTraceServiceRequest bare = request;
  std::vector<std::string> ids;
  for (auto& home : *bare.mutable_resource_spans()) {
    for (auto& span : *home.mutable_scope_spans(0)->mutable_spans()) {
      ids.push_back("{\"traceId\":\"" +
                    ToHex(TraceId{LoadBigEndian64(span.trace_id().data()),
                                  LoadBigEndian64(span.trace_id().data() + 8)}) +
                    "\",\"spanId\":\"" + ToHex(LoadBigEndian64(span.span_id().data())) + "\",");
      span.clear_trace_id();
      span.clear_span_id();
      span.clear_parent_span_id();
    }
  }
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_enums_as_ints = true;
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(bare, &json, options).ok()) std::abort();
  std::string with_ids;
  size_t at = 0;
  for (const std::string& id : ids) {
    const size_t name = json.find("{\"name\":\"GET", at);
    with_ids.append(json, at, name - at).append(id);
    at = name + 1;
  }
  return with_ids.append(json, at);
}

struct Case {
  std::string name;
  std::function<uint64_t()> run;  // items done
  std::vector<double> seconds_per_item = {};

  double Median() {
    std::sort(seconds_per_item.begin(), seconds_per_item.end());
    return seconds_per_item[seconds_per_item.size() / 2];
  }
};

// Requests in slabs, which the decoder takes and the bench takes back, so that nothing is copied in between.
class Corpus {
 public:
  Corpus(SlabPool& pool, Signal signal, const std::vector<std::string>& requests) : signal_(signal) {
    for (const std::string& request : requests) {
      Slab slab = pool.TakeUnbounded(request.size());
      slab.Append(request);
      bytes_ += request.size();
      slabs_.push_back(std::move(slab));
    }
  }

  uint64_t Decode(ingest::Decoder& decoder) {
    uint64_t items = 0;
    for (Slab& slab : slabs_) {
      Result<ingest::Submission> submission = decoder.Decode(signal_, std::move(slab), 0);
      if (!submission.ok()) std::abort();
      items += submission->items;
      slab = std::move(submission->batch.mutable_batch().body);
    }
    return items;
  }

  template <typename Request>
  uint64_t Parse(char* block, size_t block_size) {
    for (const Slab& slab : slabs_) {
      google::protobuf::ArenaOptions options;
      options.initial_block = block;
      options.initial_block_size = block_size;
      google::protobuf::Arena arena(options);
      auto* request = google::protobuf::Arena::CreateMessage<Request>(&arena);
      if (!request->ParseFromArray(slab.data(), static_cast<int>(slab.size()))) std::abort();
    }
    return slabs_.size() * kItems;
  }

  uint64_t Transcode(ingest::Decoder& decoder) {
    for (const Slab& slab : slabs_) {
      if (!decoder.TranscodeJson(signal_, slab).ok()) std::abort();
    }
    return slabs_.size() * kItems;
  }

  double bytes_per_item() const {
    return static_cast<double>(bytes_) / static_cast<double>(slabs_.size() * kItems);
  }

 private:
  const Signal signal_;
  std::vector<Slab> slabs_;
  size_t bytes_ = 0;
};

int Main(int argc, char** argv) {
  const int batches = argc > 1 ? std::atoi(argv[1]) : 200;
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 11;
  if (batches <= 0 || rounds <= 0) {
    std::fprintf(stderr, "usage: %s [batches] [rounds]\n", argv[0]);
    return 2;
  }

  SlabPool slabs({.max_bytes = size_t{1} << 30});
  BatchPool batch_pool;
  SlicePool slice_pool;
  const Epoch epoch{.number = 1, .shards = 2, .seed = 42};
  ingest::Decoder best(epoch, batch_pool, slice_pool, slabs, nullptr);
  ingest::Decoder plain(epoch, batch_pool, slice_pool, slabs, nullptr,
                        {.isa = ingest::Decoder::Isa::kBaseline});
  const size_t block_size = 4u << 20;
  const auto block = std::make_unique<char[]>(block_size);

  std::mt19937_64 random(1);
  std::vector<std::string> traces;
  std::vector<std::string> logs;
  std::vector<std::string> json;
  for (int i = 0; i < batches; ++i) {
    traces.push_back(TraceRequest(random));
    logs.push_back(LogRequest(random));
    if (i % 4 == 0) {
      oracle::ExportTraceServiceRequest request;
      if (!request.ParseFromString(traces.back())) std::abort();
      json.push_back(ToOtlpJson(request));
    }
  }
  Corpus trace_corpus(slabs, Signal::kTraces, traces);
  Corpus log_corpus(slabs, Signal::kLogs, logs);
  Corpus json_corpus(slabs, Signal::kTraces, json);

  std::vector<Case> cases;
  cases.push_back({"spans, decoder (best)", [&] { return trace_corpus.Decode(best); }});
  cases.push_back({"spans, decoder (plain x86-64)", [&] { return trace_corpus.Decode(plain); }});
  cases.push_back({"spans, protobuf, reused arena", [&] {
                     return trace_corpus.Parse<oracle::ExportTraceServiceRequest>(block.get(), block_size);
                   }});
  cases.push_back({"logs, decoder (best)", [&] { return log_corpus.Decode(best); }});
  cases.push_back({"logs, decoder (plain x86-64)", [&] { return log_corpus.Decode(plain); }});
  cases.push_back({"logs, protobuf, reused arena", [&] {
                     return log_corpus.Parse<oracle::ExportLogsServiceRequest>(block.get(), block_size);
                   }});
  cases.push_back({"spans, JSON to wire", [&] { return json_corpus.Transcode(best); }});

  for (int round = 0; round <= rounds; ++round) {
    for (Case& one : cases) {
      const double begin = CpuSeconds();
      const uint64_t items = one.run();
      const double seconds = CpuSeconds() - begin;
      if (round != 0)
        one.seconds_per_item.push_back(seconds / static_cast<double>(items));  // Round 0 warms up.
    }
  }

  std::printf(
      "%.0f bytes per span, %.0f per log, %.0f per span in JSON; %d requests of %d; median of %d rounds\n",
      trace_corpus.bytes_per_item(), log_corpus.bytes_per_item(), json_corpus.bytes_per_item(), batches,
      kItems, rounds);
  for (Case& one : cases) {
    const double median = one.Median();
    std::printf("%-32s %8.1f ns %8.2f M/s   fastest %8.1f ns\n", one.name.c_str(), median * 1e9,
                1e-6 / median, one.seconds_per_item.front() * 1e9);
  }
  std::printf("protobuf / decoder: spans %.1f (plain %.1f), logs %.1f (plain %.1f)\n",
              cases[2].Median() / cases[0].Median(), cases[2].Median() / cases[1].Median(),
              cases[5].Median() / cases[3].Median(), cases[5].Median() / cases[4].Median());
  return 0;
}

}  // namespace
}  // namespace braid::bench

int main(int argc, char** argv) { return braid::bench::Main(argc, argv); }
