#include "tests/bench/corpus.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "base/ids.h"
#include "base/wire.h"
#include "correlate/model/epoch.h"

namespace braid::bench {
namespace {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next() { return Mix64(state_ += 0x9e3779b97f4a7c15u); }
  uint32_t Below(uint64_t n) { return static_cast<uint32_t>(Next() % n); }
  double Uniform() { return static_cast<double>(Next() >> 11) * 0x1p-53; }
  uint32_t Skewed(uint32_t n) { return std::min(Below(n), Below(n)); }  // favours small numbers mildly
  std::string Hex(size_t digits) {
    std::string out(digits, '0');
    for (char& c : out) c = "0123456789abcdef"[Below(16)];
    return out;
  }

 private:
  uint64_t state_;
};

constexpr std::array<const char*, 12> kDomains = {"checkout", "catalogue", "cart",    "payment",
                                                  "shipping", "inventory", "pricing", "account",
                                                  "search",   "review",    "email",   "fraud"};
constexpr std::array<const char*, 5> kVerbs = {"GET", "POST", "PUT", "DELETE", "PATCH"};
constexpr std::array<const char*, 10> kNouns = {"orders", "items", "users",  "sessions", "invoices",
                                                "quotes", "stock", "offers", "ratings",  "labels"};

enum : uint32_t { kInternal = 1, kServer = 2, kClient = 3 };

struct Span {
  TraceId trace;
  uint64_t id = 0;
  uint64_t parent = 0;
  uint32_t service = 0;
  uint32_t peer = 0;  // of kClient
  uint32_t op = 0;
  uint32_t kind = 0;
  uint64_t start = 0;
  uint64_t end = 0;
  bool error = false;
};

struct Service {
  std::string name;
  uint32_t agent = 0;
  std::string resource;                                  // serialised Resource
  std::vector<std::pair<std::string, std::string>> ops;  // verb, route
  std::vector<std::pair<uint32_t, uint32_t>> calls;      // (service, op) it may call
};

void Attribute(wire::Writer& w, uint32_t field, std::string_view key, std::string_view value) {
  std::string any;
  wire::Writer(&any).Bytes(1, value);
  std::string pair;
  wire::Writer inner(&pair);
  inner.Bytes(1, key);
  inner.Bytes(2, any);
  w.Bytes(field, pair);
}

void Attribute(wire::Writer& w, uint32_t field, std::string_view key, uint64_t value) {
  std::string any;
  wire::Writer(&any).Varint(3, value);
  std::string pair;
  wire::Writer inner(&pair);
  inner.Bytes(1, key);
  inner.Bytes(2, any);
  w.Bytes(field, pair);
}

// A message under construction with the places to patch in it.
struct Message {
  std::string bytes;
  std::vector<uint32_t> ids;
  std::vector<uint32_t> times;

  void Time(uint32_t field, uint64_t ns) {
    wire::Writer(&bytes).Fixed64(field, ns);
    times.push_back(static_cast<uint32_t>(bytes.size() - 8));
  }
  void Trace(uint32_t field, const TraceId& id) {
    char raw[16];
    StoreBigEndian64(id.hi, raw);
    StoreBigEndian64(id.lo, raw + 8);
    wire::Writer(&bytes).Bytes(field, {raw, sizeof raw});
    ids.push_back(static_cast<uint32_t>(bytes.size() - 16));
  }
  void SpanId(uint32_t field, uint64_t id) {
    char raw[8];
    StoreBigEndian64(id, raw);
    wire::Writer(&bytes).Bytes(field, {raw, sizeof raw});
  }
  void Embed(uint32_t field, const Message& child) {
    wire::Writer(&bytes).Bytes(field, child.bytes);
    const auto at = static_cast<uint32_t>(bytes.size() - child.bytes.size());
    for (const uint32_t id : child.ids) ids.push_back(at + id);
    for (const uint32_t time : child.times) times.push_back(at + time);
  }
};

class Generator {
 public:
  explicit Generator(const CorpusSpec& spec) : spec_(spec), random_(spec.seed) {
    MakeServices();
    MakeSpans();
  }

  Corpus Traces() {
    // Trials fix the padding so that the mean size meets the aim.
    Corpus corpus;
    pad_ = 0;
    for (int trial = 0; trial < 3; ++trial) {
      random_ = Random(spec_.seed + 1);
      corpus = EncodeTraces();
      const double mean = static_cast<double>(corpus.stats.bytes) / static_cast<double>(corpus.stats.items);
      const double more = static_cast<double>(pad_) + spec_.span_bytes - mean;
      if (trial < 2) pad_ = static_cast<uint32_t>(std::max(0.0, more));
    }
    return corpus;
  }

  Corpus Logs() {
    Corpus corpus;
    pad_ = 0;
    for (int trial = 0; trial < 3; ++trial) {
      random_ = Random(spec_.seed + 2);
      corpus = EncodeLogs();
      const double mean = static_cast<double>(corpus.stats.bytes) / static_cast<double>(corpus.stats.items);
      const double more = static_cast<double>(pad_) + spec_.log_bytes - mean;
      if (trial < 2) pad_ = static_cast<uint32_t>(std::max(0.0, more));
    }
    return corpus;
  }

 private:
  const char* Noun(uint32_t i) const { return kNouns[i % kNouns.size()]; }
  const char* Domain(uint32_t i) const { return kDomains[i % kDomains.size()]; }

  void MakeServices() {
    const uint32_t n = spec_.agents * spec_.services_each;
    services_.resize(n);
    for (uint32_t i = 0; i < n; ++i) {
      Service& s = services_[i];
      s.name = std::string(Domain(i)) + "-" + std::to_string(i / 10) + std::to_string(i % 10);
      s.agent = i / spec_.services_each;
      for (uint32_t o = 0; o < spec_.operations; ++o) {
        const auto width = static_cast<uint32_t>(kNouns.size());
        s.ops.emplace_back(kVerbs[o % kVerbs.size()],
                           "/api/v1/" + std::string(Noun(o)) + "/{id}/" + Noun(o / width + o + 1));
      }
      for (uint32_t c = 0; c < 2 * spec_.operations; ++c) {
        const bool local = random_.Uniform() < spec_.local;
        const uint32_t to =
            local ? s.agent * spec_.services_each + random_.Below(spec_.services_each) : random_.Below(n);
        s.calls.emplace_back(to, random_.Below(spec_.operations));
      }
      wire::Writer w(&s.resource);
      Attribute(w, 1, "service.name", s.name);
      Attribute(w, 1, "service.namespace", "shop");
      Attribute(w, 1, "service.version", "2." + std::to_string(i) + ".1");
      Attribute(w, 1, "service.instance.id", s.name + "-7d9f8b6c5d-" + random_.Hex(5));
      Attribute(w, 1, "host.name", "node-0" + std::to_string(s.agent));
      Attribute(w, 1, "k8s.pod.name", s.name + "-7d9f8b6c5d-" + random_.Hex(4));
      Attribute(w, 1, "telemetry.sdk.language", "java");
      Attribute(w, 1, "deployment.environment.name", "prod");
    }
  }

  // Fills batches_ with whole traces, each span in its agent's queue, a queue leaving when it is full.
  void MakeSpans() {
    std::vector<std::vector<Span>> queues(spec_.agents);
    uint64_t now = kCorpusTime - 2'000'000'000;
    while (batches_.size() < spec_.batches) {
      now += 10'000;
      for (const Span& span : MakeTrace(now)) {
        std::vector<Span>& queue = queues[services_[span.service].agent];
        queue.push_back(span);
        if (queue.size() == spec_.items && batches_.size() < spec_.batches)
          batches_.push_back(std::exchange(queue, {}));
      }
    }
  }

  // SERVER spans with INTERNAL and CLIENT children; most CLIENT spans have the called service's SERVER span
  // as their only child.
  std::vector<Span> MakeTrace(uint64_t start) {
    const TraceId trace{random_.Next(), random_.Next() | 1};
    size_t budget = 5 + random_.Below(17);
    std::vector<Span> out;
    const auto add = [&](Span span) {
      span.trace = trace;
      span.id = random_.Next() | 1;
      span.error = random_.Uniform() < spec_.errors;
      out.push_back(span);
      --budget;
      return out.back();
    };
    Span root;
    root.service = random_.Below(services_.size());
    root.op = random_.Skewed(spec_.operations);
    root.kind = kServer;
    root.start = start;
    root.end = start + 50'000'000 + random_.Below(400'000'000);
    std::deque<Span> open{add(root)};
    while (!open.empty() && budget > 0) {
      const Span parent = open.front();
      open.pop_front();
      for (uint32_t n = 1 + random_.Below(4); n > 0 && budget > 0; --n) {
        Span child;
        child.parent = parent.id;
        child.service = parent.service;
        child.start = parent.start + random_.Below((parent.end - parent.start) / 2 + 1);
        child.end = child.start + (parent.end - child.start) / 2 + 1'000;
        if (random_.Below(10) < 3) {
          child.kind = kInternal;
          child.op = random_.Skewed(spec_.operations);
          add(child);
          continue;
        }
        const auto& calls = services_[parent.service].calls;
        const auto& [to, op] = calls[random_.Skewed(static_cast<uint32_t>(calls.size()))];
        child.kind = kClient;
        child.peer = to;
        child.op = op;
        const Span client = add(child);
        if (budget > 0 && random_.Below(10) < 8) {
          Span server;
          server.parent = client.id;
          server.service = to;
          server.op = op;
          server.kind = kServer;
          server.start = client.start + 500;
          server.end = client.end - 500;
          open.push_back(add(server));
        }
      }
    }
    return out;
  }

  std::string NameOf(const Span& span) const {
    if (span.kind == kServer) {
      const auto& [verb, route] = services_[span.service].ops[span.op];
      return verb + " " + route;
    }
    if (span.kind == kClient) return services_[span.peer].name + "/" + Noun(span.op);
    return std::string("internal.") + Noun(span.op) + "." + Domain(span.op);
  }

  std::string Padding() { return pad_ == 0 ? std::string() : random_.Hex(random_.Below(2 * pad_ + 1)); }

  Message EncodeSpan(const Span& span, uint64_t* attributes) {
    Message m;
    wire::Writer w(&m.bytes);
    m.Trace(1, span.trace);
    m.SpanId(2, span.id);
    if (span.parent != 0) m.SpanId(4, span.parent);
    w.Bytes(5, NameOf(span));
    w.Varint(6, span.kind);
    m.Time(7, span.start);
    m.Time(8, span.end);
    const auto attribute = [&](std::string_view key, auto value) {
      Attribute(w, 9, key, value);
      ++*attributes;
    };
    if (span.kind == kInternal) {
      attribute("code.function", std::string("handle") + Noun(span.op));
      attribute("code.namespace", std::string("com.shop.") + Domain(span.op));
      attribute("cache.hit", std::string_view("false"));
      attribute("db.system", std::string_view("postgresql"));
      attribute("db.statement", std::string("SELECT * FROM ") + Noun(span.op) + " WHERE id = $1");
      attribute("db.rows", uint64_t{random_.Below(200)});
      attribute("retry.count", uint64_t{0});
    } else {
      const Service& to = services_[span.kind == kClient ? span.peer : span.service];
      const auto& [verb, route] = to.ops[span.op];
      attribute("http.request.method", std::string_view(verb));
      attribute("http.response.status_code", uint64_t{span.error ? 500u : 200u});
      attribute("server.address", to.name + ".shop.svc");
      attribute("server.port", uint64_t{8080});
      attribute("network.protocol.version", std::string_view("1.1"));
      attribute("url.path",
                std::string("/api/v1/") + Noun(span.op) + "/" + std::to_string(random_.Below(1'000'000)));
      if (span.kind == kServer) {
        attribute("http.route", std::string_view(route));
      } else {
        attribute("peer.service", std::string_view(to.name));
      }
    }
    attribute("thread.id", uint64_t{20 + random_.Below(40)});
    attribute("thread.name", "http-nio-" + std::to_string(random_.Below(40)));
    attribute("enduser.id", random_.Hex(12));
    attribute("tenant", "t-" + std::to_string(100 + random_.Below(200)));
    if (const std::string padding = Padding(); !padding.empty())
      attribute("request.context", std::string_view(padding));
    if (span.error) {
      Message event;
      wire::Writer e(&event.bytes);
      event.Time(1, span.end - 1'000);
      e.Bytes(2, "exception");
      Attribute(e, 3, "exception.type", "java.lang.IllegalStateException");
      m.Embed(11, event);
      std::string status;
      wire::Writer s(&status);
      s.Bytes(2, "internal error");
      s.Varint(3, 2);
      w.Bytes(15, status);
    }
    return m;
  }

  // Groups items by service, as an agent does: resource, scope, items.
  template <typename MakeItem>
  CorpusBatch EncodeBatch(const std::string& scope_name, const std::vector<Span>& spans, CorpusStats* stats,
                          MakeItem make) {
    std::string scope;
    wire::Writer s(&scope);
    s.Bytes(1, scope_name);
    s.Bytes(2, "1.4.0");
    std::map<uint32_t, size_t> place;
    std::vector<std::pair<uint32_t, Message>> scopes;
    for (const Span& span : spans) {
      const auto [at, fresh] = place.emplace(span.service, scopes.size());
      if (fresh) {
        scopes.emplace_back(span.service, Message());
        wire::Writer(&scopes.back().second.bytes).Bytes(1, scope);
      }
      scopes[at->second].second.Embed(2, make(span));
    }
    Message request;
    for (const auto& [service, items] : scopes) {
      Message resource;
      wire::Writer(&resource.bytes).Bytes(1, services_[service].resource);
      resource.Embed(2, items);
      request.Embed(1, resource);
    }
    CorpusBatch batch;
    batch.items = static_cast<uint32_t>(spans.size());
    stats->items += spans.size();
    stats->bytes += request.bytes.size();
    stats->resources += scopes.size();
    batch.payload = std::move(request.bytes);
    batch.ids = std::move(request.ids);
    batch.times = std::move(request.times);
    return batch;
  }

  static void SetKeySum(Signal signal, CorpusBatch* batch) {
    Tally tally;
    TallyRequest(signal, batch->payload, &tally);
    batch->key_sum = tally.key_sum;
  }

  Corpus EncodeTraces() {
    Corpus corpus;
    std::set<std::tuple<uint32_t, std::string, uint32_t, bool>> series;
    std::set<uint64_t> traces;
    for (const std::vector<Span>& spans : batches_) {
      corpus.batches.push_back(EncodeBatch("com.shop.http", spans, &corpus.stats, [&](const Span& span) {
        series.emplace(span.service, NameOf(span), span.kind, span.error);
        traces.insert(span.trace.lo);
        corpus.stats.errors += span.error ? 1 : 0;
        return EncodeSpan(span, &corpus.stats.attributes);
      }));
      SetKeySum(Signal::kTraces, &corpus.batches.back());
    }
    corpus.stats.series = series.size();
    corpus.stats.traces = traces.size();
    corpus.stats.with_trace = corpus.stats.items;
    return corpus;
  }

  Corpus EncodeLogs() {
    struct Level {
      uint32_t number;
      const char* text;
    };
    constexpr std::array<Level, 6> kLevels = {
        {{9, "INFO"}, {9, "INFO"}, {9, "INFO"}, {5, "DEBUG"}, {13, "WARN"}, {17, "ERROR"}}};
    Corpus corpus;
    corpus.signal = Signal::kLogs;
    for (const std::vector<Span>& spans : batches_) {
      corpus.batches.push_back(EncodeBatch("com.shop.log", spans, &corpus.stats, [&](const Span& span) {
        const Level level = kLevels[random_.Below(kLevels.size())];
        const uint64_t at = span.start + random_.Below(span.end - span.start + 1);
        Message m;
        wire::Writer w(&m.bytes);
        m.Time(1, at);
        w.Varint(2, level.number);
        w.Bytes(3, level.text);
        std::string body;
        wire::Writer(&body).Bytes(1, "handled " + NameOf(span) + " for user " + random_.Hex(12) + " in " +
                                         std::to_string((span.end - span.start) / 1'000) + " us " +
                                         Padding());
        w.Bytes(5, body);
        Attribute(w, 6, "logger.name", std::string("com.shop.") + Domain(span.op));
        Attribute(w, 6, "thread.name", "http-nio-" + std::to_string(random_.Below(40)));
        Attribute(w, 6, "tenant", "t-" + std::to_string(100 + random_.Below(200)));
        corpus.stats.attributes += 3;
        if (random_.Uniform() < spec_.logs_joined) {
          ++corpus.stats.with_trace;
          corpus.stats.errors += level.number >= 17 ? 1 : 0;
          m.Trace(9, span.trace);
          m.SpanId(10, span.id);
        }
        m.Time(11, at + 1'000);
        return m;
      }));
      SetKeySum(Signal::kLogs, &corpus.batches.back());
    }
    return corpus;
  }

  const CorpusSpec spec_;
  Random random_;
  std::vector<Service> services_;
  std::vector<std::vector<Span>> batches_;
  uint32_t pad_ = 0;
};

template <typename Fn>
bool ForEach(std::string_view message, uint32_t number, Fn fn) {
  wire::Cursor cursor(message);
  while (cursor.Next()) {
    if (cursor.field().number == number && cursor.field().type == wire::Type::kBytes &&
        !fn(cursor.field().bytes)) {
      return false;
    }
  }
  return cursor.ok();
}

}  // namespace

void CorpusBatch::Salt(uint64_t pass, uint64_t shift_ns) {
  const uint64_t wanted = pass == 0 ? 0 : Mix64(pass * 0x9e3779b97f4a7c15u);
  const uint64_t flip = wanted ^ salt;
  const uint64_t move = shift_ns - shift;
  salt = wanted;
  shift = shift_ns;
  uint64_t word;
  if (flip != 0) {
    for (const uint32_t at : ids) {
      std::memcpy(&word, payload.data() + at, 8);
      word ^= flip;
      std::memcpy(payload.data() + at, &word, 8);
      // Gateways place traces by the low half (it is what 64-bit IDs have), so that must change as well.
      std::memcpy(&word, payload.data() + at + 8, 8);
      word ^= flip;
      std::memcpy(payload.data() + at + 8, &word, 8);
    }
  }
  if (move != 0) {
    for (const uint32_t at : times) {
      std::memcpy(&word, payload.data() + at, 8);
      word += move;
      std::memcpy(payload.data() + at, &word, 8);
    }
  }
}

Corpora MakeCorpora(const CorpusSpec& spec) {
  Generator generator(spec);
  Corpora corpora;
  corpora.traces = generator.Traces();
  corpora.logs = generator.Logs();
  return corpora;
}

bool TallyRequest(Signal signal, std::string_view request, Tally* tally) {
  const auto item = [&](std::string_view bytes) {
    if (signal == Signal::kMetrics) {
      for (const uint32_t data : {5u, 7u, 9u, 10u, 11u}) {
        const bool ok = ForEach(bytes, data, [&](std::string_view points) {
          return ForEach(points, 1, [&](std::string_view) {
            ++tally->items;
            return true;
          });
        });
        if (!ok) return false;
      }
      return true;
    }
    ++tally->items;
    wire::Cursor cursor(bytes);
    while (cursor.Next()) {
      const wire::Field& field = cursor.field();
      if (signal == Signal::kTraces && field.number == 2 && field.bytes.size() == 8) {
        uint64_t id;
        std::memcpy(&id, field.bytes.data(), 8);
        tally->key_sum += id;
        return true;
      }
      if (signal == Signal::kLogs && field.number == 1 && field.type == wire::Type::kFixed64) {
        tally->key_sum += field.scalar;
        return true;
      }
    }
    return cursor.ok();
  };
  return ForEach(request, 1, [&](std::string_view resource) {
    return ForEach(resource, 2, [&](std::string_view scope) { return ForEach(scope, 2, item); });
  });
}

}  // namespace braid::bench
