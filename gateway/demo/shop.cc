#include "gateway/demo/shop.h"

#include <algorithm>
#include <limits>

namespace braid::gateway::demo {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr std::array<uint64_t, kSignals> kExportEvery = {kSecond, kSecond, 5 * kSecond};
constexpr size_t kMaxExport = 512;  // OTEL_BSP_MAX_EXPORT_BATCH_SIZE

// Advised by the semantic conventions for http.server.request.duration, in seconds.
const std::vector<double> kBounds = {0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25,
                                     0.5,   0.75, 1,     2.5,  5,     7.5, 10};

constexpr std::array<const char*, kServices> kLanguages = {"nodejs", "java",   "go",
                                                           "python", "dotnet", "java"};
constexpr std::array<const char*, kServices> kVersions = {"4.2.0", "2.11.3", "1.8.0",
                                                          "3.0.1", "1.4.7",  "2.2.0"};

const std::string& Scope(Signal signal) {
  static const std::string kScopes[kSignals] = {"shop.tracing", "shop.logging", "shop.metrics"};
  return kScopes[static_cast<size_t>(signal)];
}

}  // namespace

Shop::Shop(const Options& options, std::function<void(Export)> send)
    : options_(options), send_(std::move(send)), random_(options.seed) {
  for (int i = 0; i < kServices; ++i) {
    ServiceState& state = services_[static_cast<size_t>(i)];
    const std::string name(kServiceNames[static_cast<size_t>(i)]);
    const std::string instance = name + "-" + ToHex(random_.Next()).substr(0, 8);
    state.resource = {{"service.name", name},
                      {"service.namespace", "shop"},
                      {"service.version", kVersions[static_cast<size_t>(i)]},
                      {"service.instance.id", instance},
                      {"deployment.environment.name", "demo"},
                      {"host.name", "node-" + std::to_string(i % 3 + 1)},
                      {"telemetry.sdk.language", kLanguages[static_cast<size_t>(i)]}};
    for (size_t signal = 0; signal < kSignals; ++signal) {
      // Every service and signal has its own phase.
      state.next_export[signal] = options.start_ns + kExportEvery[signal] / (2 * kServices) *
                                                         (2 * static_cast<uint64_t>(i) + signal % 2 + 1);
    }
  }
  next_arrival_ = options.start_ns + static_cast<uint64_t>(random_.Exponential(1 / options_.rate) * 1e9);
}

void Shop::Advance(uint64_t now_ns) {
  constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();
  while (true) {
    const uint64_t happening = under_way_.empty() ? kNever : under_way_.begin()->first.first;
    uint64_t exporting = kNever;
    Service service = Service::kFrontend;
    Signal signal = Signal::kTraces;
    for (int i = 0; i < kServices; ++i) {
      for (int k = 0; k < kSignals; ++k) {
        const uint64_t at = services_[static_cast<size_t>(i)].next_export[static_cast<size_t>(k)];
        if (at >= exporting) continue;
        exporting = at;
        service = static_cast<Service>(i);
        signal = static_cast<Signal>(k);
      }
    }
    const uint64_t next = std::min({next_arrival_, happening, exporting});
    if (next > now_ns) break;
    if (next == next_arrival_) {
      Arrive(next);
      next_arrival_ += static_cast<uint64_t>(random_.Exponential(1 / options_.rate) * 1e9) + 1;
    } else if (next == happening) {
      auto node = under_way_.extract(under_way_.begin());
      Happen(std::move(node.mapped()));
    } else {
      Flush(service, signal, next);
      At(service).next_export[static_cast<size_t>(signal)] += kExportEvery[static_cast<size_t>(signal)];
    }
  }
  while (!failing_.empty() && failing_.front().first <= now_ns) {
    failed_trace_ = failing_.front().second;
    failing_.pop_front();
  }
}

void Shop::Close() {
  uint64_t last = 0;
  for (auto& [when, happening] : under_way_) {
    last = when.first;
    Happen(std::move(happening));
  }
  under_way_.clear();
  for (int i = 0; i < kServices; ++i) {
    ServiceState& state = services_[static_cast<size_t>(i)];
    // Metrics first: their export writes a log line.
    for (const Signal signal : {Signal::kMetrics, Signal::kTraces, Signal::kLogs}) {
      Flush(static_cast<Service>(i), signal, std::max(last, state.next_export[static_cast<size_t>(signal)]));
    }
  }
  next_arrival_ = std::numeric_limits<uint64_t>::max();
  for (const auto& failing : failing_) failed_trace_ = failing.second;
  failing_.clear();
}

void Shop::Arrive(uint64_t now_ns) {
  Story story = Tell(random_, now_ns);
  Count(story);
  const bool failed = story.failed();
  uint64_t last = now_ns;
  for (Story::ServiceSpan& span : story.spans) {
    const uint64_t at = span.span.end_ns;
    last = std::max(last, at);
    under_way_.emplace(std::pair(at, order_++), std::move(span));
  }
  for (Story::ServiceLog& log : story.logs) {
    const uint64_t at = log.log.time_ns;
    last = std::max(last, at);
    under_way_.emplace(std::pair(at, order_++), std::move(log));
  }
  if (failed) failing_.emplace_back(last + kExportEvery[0], story.trace);
}

void Shop::Happen(Happening happening) {
  if (auto* log = std::get_if<Story::ServiceLog>(&happening)) {
    ServiceState& state = At(log->service);
    state.logs.push_back(std::move(log->log));
    if (state.logs.size() >= kMaxExport) Flush(log->service, Signal::kLogs, state.logs.back().time_ns);
    return;
  }
  auto& served = std::get<Story::ServiceSpan>(happening);
  if (served.span.kind == SpanKind::kProducer) ++queue_length_;
  if (served.span.kind == SpanKind::kConsumer) --queue_length_;
  if (!served.route.empty()) Observe(served);
  ServiceState& state = At(served.service);
  const uint64_t now = served.span.end_ns;
  state.spans.push_back(std::move(served.span));
  if (state.spans.size() >= kMaxExport) Flush(served.service, Signal::kTraces, now);
}

void Shop::Observe(const Story::ServiceSpan& served) {
  const Span& span = served.span;
  HistogramPoint& point = At(served.service).latency[{served.method, served.route, served.status}];
  if (point.buckets.empty()) {
    point.buckets.resize(kBounds.size() + 1);
    point.exemplars.resize(kBounds.size() + 1);
    point.attributes = {{"http.request.method", served.method},
                        {"http.route", served.route},
                        {"http.response.status_code", int64_t{served.status}}};
  }
  const double seconds = static_cast<double>(span.end_ns - span.start_ns) / 1e9;
  const auto bucket =
      static_cast<size_t>(std::lower_bound(kBounds.begin(), kBounds.end(), seconds) - kBounds.begin());
  ++point.count;
  point.sum += seconds;
  ++point.buckets[bucket];
  point.exemplars[bucket] = Exemplar{span.end_ns, seconds, span.trace, span.id};
}

std::vector<Metric> Shop::Collect(Service service) {
  std::vector<Metric> metrics;
  ServiceState& state = At(service);
  if (!state.latency.empty()) {
    Metric latency{"http.server.request.duration",
                   "s",
                   "Duration of HTTP server requests.",
                   Metric::Kind::kHistogram,
                   kBounds,
                   {},
                   {}};
    for (auto& [key, point] : state.latency) {
      latency.histogram.push_back(point);
      std::fill(point.exemplars.begin(), point.exemplars.end(), std::nullopt);
    }
    metrics.push_back(std::move(latency));
  }
  if (service == Service::kShipping) {
    metrics.push_back({"shop.queue.length",
                       "{message}",
                       "Orders that wait for shipping.",
                       Metric::Kind::kGauge,
                       {},
                       {},
                       {{{{"messaging.destination.name", "orders"}}, queue_length_}}});
  }
  if (service == Service::kCheckout) {
    metrics.push_back({"shop.orders",
                       "{order}",
                       "Orders by outcome.",
                       Metric::Kind::kCounter,
                       {},
                       {},
                       {{{{"outcome", "placed"}}, placed_}, {{{"outcome", "failed"}}, failed_}}});
  }
  return metrics;
}

void Shop::Flush(Service service, Signal signal, uint64_t now_ns) {
  ServiceState& state = At(service);
  Export out;
  out.signal = signal;
  out.service = service;
  out.time_ns = now_ns;
  switch (signal) {
    case Signal::kTraces:
      out.items = state.spans.size();
      if (out.items > 0) out.request = EncodeSpans(state.resource, Scope(signal), state.spans);
      state.spans.clear();
      break;
    case Signal::kLogs:
      out.items = state.logs.size();
      if (out.items > 0) out.request = EncodeLogs(state.resource, Scope(signal), state.logs);
      state.logs.clear();
      break;
    case Signal::kMetrics: {
      // A log that belongs to no request, as every service writes some.
      Log line;
      line.time_ns = now_ns;
      line.body = "uptime " + std::to_string((now_ns - options_.start_ns) / kSecond) + " s";
      state.logs.push_back(line);
      const std::string name(kServiceNames[static_cast<size_t>(service)]);
      ++truth_.logs;
      ++truth_.severities[{name, line.severity}].records;

      const std::vector<Metric> metrics = Collect(service);
      for (const Metric& metric : metrics) out.items += metric.histogram.size() + metric.numbers.size();
      if (out.items > 0)
        out.request = EncodeMetrics(state.resource, Scope(signal), metrics, options_.start_ns, now_ns);
      break;
    }
  }
  if (out.items > 0) send_(std::move(out));
}

void Shop::Count(const Story& story) {
  ++truth_.requests;
  if (story.failed()) ++truth_.failed_requests;
  for (const Story::ServiceSpan& made : story.spans) {
    const std::string service(kServiceNames[static_cast<size_t>(made.service)]);
    Truth::Operation& operation = truth_.operations[{service, made.span.name, made.span.kind}];
    ++operation.spans;
    if (made.span.error) ++operation.errors;
    operation.durations.Add(made.span.end_ns - made.span.start_ns);
  }
  truth_.spans += story.spans.size();
  for (const Story::ServiceLog& made : story.logs) {
    Truth::Logs& logs =
        truth_.severities[{std::string(kServiceNames[static_cast<size_t>(made.service)]), made.log.severity}];
    ++logs.records;
    if (made.log.span != 0) ++logs.with_span;
  }
  truth_.logs += story.logs.size();
  for (const Story::Call& call : story.calls) {
    Truth::Edge& edge = truth_.edges[{call.client, call.server, call.type}];
    ++edge.calls;
    if (call.failed) ++edge.failed;
    const auto duration = [&story](int span) {
      const Span& seen = story.spans[static_cast<size_t>(span)].span;
      return seen.end_ns - seen.start_ns;
    };
    edge.client.Add(duration(call.client_span));
    edge.server.Add(duration(call.server_span));
  }
  placed_ += static_cast<int64_t>(story.orders_placed);
  failed_ += static_cast<int64_t>(story.orders_failed);
  truth_.counters["orders.placed"] += story.orders_placed;
  truth_.counters["orders.failed"] += story.orders_failed;
}

}  // namespace braid::gateway::demo
