#include "tests/support/otlp/samples.h"

#include <otlp.pb.h>

#include <algorithm>
#include <initializer_list>

namespace braid::test {
namespace {

namespace oracle = braid::oracle;

class Generator {
 public:
  explicit Generator(std::mt19937_64& random) : random_(random) {}

  uint64_t Below(uint64_t limit) { return random_() % limit; }
  bool Once(uint64_t in) { return Below(in) == 0; }

  std::string Id(size_t size) {
    if (Once(40)) size = Below(20);
    if (Once(60)) return std::string(size, '\0');
    std::string id(size, '\0');
    for (char& c : id) c = static_cast<char>(random_());
    return id;
  }

  std::string Text() {
    static constexpr std::string_view kWords[] = {
        "",
        "GET /cart",
        "checkout",
        "naïve",
        "数据库连接失败",
        "🚀 launched",
        "a rather long piece of text that needs more than thirty-two bytes",
        "x"};
    std::string text(kWords[Below(std::size(kWords))]);
    if (Once(20)) {
      for (uint64_t i = Below(100); i > 0; --i) text += kWords[Below(std::size(kWords))];
    }
    return text;
  }

  std::string Key() {
    static constexpr std::string_view kKeys[] = {
        "http.request.method", "service.name",    "log.count.error",   "log.first_error", "span.name",
        "correlation.state",   "trace.root.name", "exception.message", "exception.type",  "k"};
    return Once(30) ? Text() : std::string(kKeys[Below(std::size(kKeys))]);
  }

  void Value(oracle::AnyValue* value, int depth) {
    switch (Below(depth > 0 ? 9 : 6)) {
      case 0: value->set_int_value(static_cast<int64_t>(random_() >> Below(64))); break;
      case 1: value->set_bool_value(Once(2)); break;
      case 2: value->set_double_value(static_cast<double>(Below(1'000'000)) / 7); break;
      case 3: value->set_bytes_value(Id(16)); break;
      case 7:
        for (uint64_t i = Below(4); i > 0; --i) Value(value->mutable_array_value()->add_values(), depth - 1);
        break;
      case 8:
        for (uint64_t i = Below(4); i > 0; --i)
          Attribute(value->mutable_kvlist_value()->add_values(), depth - 1);
        break;
      default: value->set_string_value(Text());
    }
    if (Once(50)) value->Clear();
  }

  void Attribute(oracle::KeyValue* attribute, int depth = 2) {
    attribute->set_key(Key());
    if (!Once(50)) Value(attribute->mutable_value(), depth);
  }

  template <typename Message>
  void Attributes(Message* message) {
    for (uint64_t i = Below(5); i > 0; --i) Attribute(message->add_attributes());
    if (Once(10)) message->set_dropped_attributes_count(static_cast<uint32_t>(random_()));
  }

  template <typename ResourceMessage>
  void Resource(ResourceMessage* home) {
    if (Once(10)) return;
    Attributes(home->mutable_resource());
    if (Once(2)) {
      auto* name = home->mutable_resource()->add_attributes();
      name->set_key("service.name");
      name->mutable_value()->set_string_value(Text());
    }
    if (Once(10)) {
      auto* entity = home->mutable_resource()->add_entity_refs();
      entity->set_type("host");
      entity->add_id_keys("host.id");
      entity->add_description_keys(Text());
      entity->set_schema_url(Text());
    }
    if (Once(5)) home->set_schema_url("https://opentelemetry.io/schemas/1.30.0");
  }

  template <typename ScopeMessage>
  void Scope(ScopeMessage* group) {
    if (Once(3)) return;
    group->mutable_scope()->set_name(Text());
    group->mutable_scope()->set_version("1.2");
    if (Once(5)) Attributes(group->mutable_scope());
    if (Once(5)) group->set_schema_url(Text());
  }

  void Span(oracle::Span* span) {
    span->set_trace_id(Id(16));
    span->set_span_id(Id(8));
    if (Once(2)) span->set_parent_span_id(Id(8));
    if (Once(5)) span->set_trace_state("ot=th:8");
    span->set_name(Text());
    span->set_kind(static_cast<oracle::Span::SpanKind>(Below(Once(20) ? 1000 : 6)));
    span->set_start_time_unix_nano(random_());
    span->set_end_time_unix_nano(random_());
    Attributes(span);
    for (uint64_t i = Below(3); i > 1; --i) {
      auto* event = span->add_events();
      event->set_time_unix_nano(random_());
      event->set_name(Text());
      Attributes(event);
    }
    for (uint64_t i = Below(3); i > 1; --i) {
      auto* link = span->add_links();
      link->set_trace_id(Id(16));
      link->set_span_id(Id(8));
      link->set_trace_state(Text());
      link->set_flags(static_cast<uint32_t>(random_()));
      Attributes(link);
    }
    if (Once(8)) span->set_dropped_events_count(3);
    if (Once(8)) span->set_dropped_links_count(300);
    if (Once(3)) {
      span->mutable_status()->set_code(static_cast<oracle::Status::StatusCode>(Below(Once(20) ? 1000 : 3)));
      span->mutable_status()->set_message(Text());
    }
    if (Once(2)) span->set_flags(static_cast<uint32_t>(random_() & 0x3ff));
  }

  void Log(oracle::LogRecord* log) {
    if (!Once(5)) log->set_time_unix_nano(random_());
    if (Once(2)) log->set_observed_time_unix_nano(random_());
    log->set_severity_number(static_cast<oracle::SeverityNumber>(Below(Once(20) ? 1000 : 25)));
    if (Once(3)) log->set_severity_text(Text());
    if (!Once(10)) Value(log->mutable_body(), 2);
    Attributes(log);
    if (Once(2)) log->set_flags(static_cast<uint32_t>(Below(4)));
    if (!Once(3)) log->set_trace_id(Id(16));
    if (!Once(3)) log->set_span_id(Id(8));
    if (Once(10)) log->set_event_name(Text());
  }

  template <typename Point>
  void Exemplars(Point* point) {
    if (!Once(3)) return;
    auto* exemplar = point->add_exemplars();
    exemplar->set_time_unix_nano(random_());
    if (Once(2)) {
      exemplar->set_as_double(1.5);
    } else {
      exemplar->set_as_int(-3);
    }
    exemplar->set_trace_id(Id(16));
    exemplar->set_span_id(Id(8));
    if (Once(2)) Attribute(exemplar->add_filtered_attributes());
  }

  template <typename Point>
  void Point_(Point* point) {
    point->set_start_time_unix_nano(random_());
    point->set_time_unix_nano(random_());
    for (uint64_t i = Below(3); i > 0; --i) Attribute(point->add_attributes());
    if (Once(10)) point->set_flags(1);
  }

  void NumberPoint(oracle::NumberDataPoint* point) {
    Point_(point);
    if (Once(2)) {
      point->set_as_int(static_cast<int64_t>(random_()));
    } else {
      point->set_as_double(0.1);
    }
    Exemplars(point);
  }

  void Metric(oracle::Metric* metric) {
    metric->set_name(Text());
    metric->set_description(Text());
    metric->set_unit("ms");
    if (Once(10)) Attribute(metric->add_metadata());
    const uint64_t points = Below(4);
    switch (Below(6)) {
      case 0:
        metric->mutable_gauge();
        for (uint64_t i = 0; i < points; ++i) NumberPoint(metric->mutable_gauge()->add_data_points());
        break;
      case 1:
        metric->mutable_sum()->set_is_monotonic(Once(2));
        metric->mutable_sum()->set_aggregation_temporality(oracle::AGGREGATION_TEMPORALITY_CUMULATIVE);
        for (uint64_t i = 0; i < points; ++i) NumberPoint(metric->mutable_sum()->add_data_points());
        break;
      case 2:
        metric->mutable_histogram()->set_aggregation_temporality(oracle::AGGREGATION_TEMPORALITY_DELTA);
        for (uint64_t i = 0; i < points; ++i) {
          auto* point = metric->mutable_histogram()->add_data_points();
          Point_(point);
          Exemplars(point);
          point->set_count(10);
          if (Once(2)) point->set_sum(0);
          if (Once(2)) point->set_min(-1);
          if (Once(2)) point->set_max(7);
          for (int k = 0; k < 5; ++k) point->add_bucket_counts(Below(10));
          for (int k = 0; k < 4; ++k) point->add_explicit_bounds(k);
        }
        break;
      case 3:
        metric->mutable_exponential_histogram()->set_aggregation_temporality(
            oracle::AGGREGATION_TEMPORALITY_DELTA);
        for (uint64_t i = 0; i < points; ++i) {
          auto* point = metric->mutable_exponential_histogram()->add_data_points();
          Point_(point);
          Exemplars(point);
          point->set_count(10);
          if (Once(2)) point->set_sum(3.5);
          point->set_scale(-2);
          point->set_zero_count(1);
          if (Once(2)) point->set_zero_threshold(1e-9);
          if (Once(2)) point->set_min(-1);
          if (Once(2)) point->set_max(7);
          point->mutable_positive()->set_offset(-5);
          for (int k = 0; k < 5; ++k) point->mutable_positive()->add_bucket_counts(Below(1000));
          if (Once(2)) point->mutable_negative()->add_bucket_counts(random_());
        }
        break;
      case 4:
        metric->mutable_summary();
        for (uint64_t i = 0; i < points; ++i) {
          auto* point = metric->mutable_summary()->add_data_points();
          Point_(point);
          point->set_count(10);
          point->set_sum(5);
          auto* quantile = point->add_quantile_values();
          quantile->set_quantile(0.5);
          quantile->set_value(7);
        }
        break;
      default: break;  // A metric without data.
    }
  }

 private:
  std::mt19937_64& random_;
};

}  // namespace

std::string RandomRequest(Signal signal, std::mt19937_64& random) {
  Generator g(random);
  switch (signal) {
    case Signal::kTraces: {
      oracle::ExportTraceServiceRequest request;
      for (uint64_t r = g.Below(4); r > 0; --r) {
        auto* home = request.add_resource_spans();
        g.Resource(home);
        for (uint64_t s = g.Below(3); s > 0; --s) {
          auto* group = home->add_scope_spans();
          g.Scope(group);
          for (uint64_t i = g.Below(5); i > 0; --i) g.Span(group->add_spans());
        }
      }
      return request.SerializeAsString();
    }
    case Signal::kLogs: {
      oracle::ExportLogsServiceRequest request;
      for (uint64_t r = g.Below(4); r > 0; --r) {
        auto* home = request.add_resource_logs();
        g.Resource(home);
        for (uint64_t s = g.Below(3); s > 0; --s) {
          auto* group = home->add_scope_logs();
          g.Scope(group);
          for (uint64_t i = g.Below(5); i > 0; --i) g.Log(group->add_log_records());
        }
      }
      return request.SerializeAsString();
    }
    case Signal::kMetrics: {
      oracle::ExportMetricsServiceRequest request;
      for (uint64_t r = g.Below(4); r > 0; --r) {
        auto* home = request.add_resource_metrics();
        g.Resource(home);
        for (uint64_t s = g.Below(3); s > 0; --s) {
          auto* group = home->add_scope_metrics();
          g.Scope(group);
          for (uint64_t i = g.Below(5); i > 0; --i) g.Metric(group->add_metrics());
        }
      }
      return request.SerializeAsString();
    }
  }
  return {};
}

void Mutate(std::string* bytes, std::mt19937_64& random) {
  const auto below = [&](size_t limit) { return static_cast<size_t>(random() % std::max<size_t>(limit, 1)); };
  for (size_t edits = 1 + below(3); edits > 0; --edits) {
    const size_t at = below(bytes->size() + 1);
    switch (random() % 10) {
      case 0:
      case 1:
        if (at < bytes->size()) (*bytes)[at] = static_cast<char>((*bytes)[at] ^ (1 << below(8)));
        break;
      case 2:
        if (at < bytes->size()) (*bytes)[at] = static_cast<char>(random());
        break;
      case 3: bytes->erase(at, below(4)); break;
      case 4: bytes->insert(at, bytes->substr(below(bytes->size()), below(40))); break;
      case 5: bytes->insert(at, 1, static_cast<char>(random())); break;
      case 6: bytes->resize(at); break;
      case 7:  // A varint padded by one byte, wherever that falls.
        if (at < bytes->size() && static_cast<uint8_t>((*bytes)[at]) < 0x80) {
          (*bytes)[at] = static_cast<char>((*bytes)[at] | 0x80);
          bytes->insert(at + 1, 1, '\0');
        }
        break;
      case 8: bytes->insert(at, "\x9b\x01\x08\x01\x9c\x01"); break;  // A small group of field 19.
      case 9: {
        static constexpr std::string_view kSnippets[] = {"\xc3", "\xed\xa0\x80",         "\xf0\x9f\x9a\x80",
                                                         "\xff", "\x80\x80\x80\x80\x10", "\xc0\x80"};
        bytes->insert(at, kSnippets[below(std::size(kSnippets))]);
        break;
      }
    }
  }
}

Slab ToSlab(SlabPool& pool, std::string_view bytes) {
  Slab slab = pool.TakeUnbounded(bytes.size());
  slab.Append(bytes);
  return slab;
}

}  // namespace braid::test
