#include "correlate/derive/span_labels.h"

#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/wire.h"
#include "correlate/derive/any_value.h"
#include "correlate/model/threshold.h"

namespace braid::correlate {
namespace {

// Field numbers of opentelemetry-proto trace.proto and resource.proto.
constexpr uint32_t kResourceSpansResource = 1, kResourceAttributes = 1;
constexpr uint32_t kSpanTraceState = 3, kSpanName = 5, kSpanAttributes = 9, kSpanStatus = 15;
constexpr uint32_t kStatusMessage = 2;

constexpr uint8_t kServer = 2, kClient = 3, kProducer = 4, kConsumer = 5;
constexpr uint8_t kStatusError = 2;

// What instrumentation calls the operation when the span's name has IDs in it.
constexpr std::array<std::string_view, 7> kRouteKeys = {
    "http.route", "http.request.method", "http.method", "rpc.service",
    "rpc.method", "db.query.summary",    "url.template"};

constexpr std::array<std::string_view, 4> kIntrinsicTempo = {"service", "span_name", "span_kind",
                                                             "status_code"};
constexpr std::array<std::string_view, 4> kIntrinsicOtel = {"service_name", "span_name", "span_kind",
                                                            "status_code"};

// Servers are at fault for these codes only; the others are the client's (OpenTelemetry semantic conventions,
// rpc/grpc.md, "gRPC status").
bool GrpcFailed(std::string_view code, uint8_t kind) {
  static constexpr std::array<std::string_view, 17> kNames = {
      "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
      "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
      "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
      "DATA_LOSS", "UNAUTHENTICATED"};
  unsigned number = 0;
  const auto [end, error] = std::from_chars(code.data(), code.data() + code.size(), number);
  if (error != std::errc() || end != code.data() + code.size()) {
    const auto at = std::find(kNames.begin(), kNames.end(), code);
    if (at == kNames.end()) return false;
    number = static_cast<unsigned>(at - kNames.begin());
  }
  if (number == 0) return false;
  if (kind != kServer) return true;
  return number == 2 || number == 4 || number == 12 || number == 13 || number == 14 || number == 15;
}

bool Hits(const Pattern& pattern, std::string_view text) {
  return pattern == nullptr || re2::RE2::PartialMatch({text.data(), text.size()}, *pattern);
}

std::vector<std::string> RawNames(const DeriveOptions& options) {
  std::vector<std::string> names;
  if (options.status_message) names.emplace_back("status_message");
  for (const DeriveOptions::Dimension& dimension : options.dimensions)
    names.push_back(SanitizedLabel(dimension.label.empty() ? dimension.key : dimension.label));
  for (const DeriveOptions::Mapping& mapping : options.mappings)
    names.push_back(SanitizedLabel(mapping.label));
  if (options.target_info) {
    names.emplace_back("job");
    names.emplace_back("instance");
  }
  return names;
}

}  // namespace

std::string SanitizedLabel(std::string_view key) {
  std::string label;
  for (const char c : key) {
    const bool digit = c >= '0' && c <= '9';
    if (digit && label.empty()) label += '_';
    label += digit || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ? c : '_';
  }
  return label;
}

std::vector<std::string> GraphLabelNames(const DeriveOptions& options) {
  std::vector<std::string> names;
  for (const char* side : {"client_", "server_"}) {
    for (const std::string& key : options.graph.dimensions) names.push_back(side + SanitizedLabel(key));
  }
  return names;
}

std::vector<std::string> ExtraLabelNames(const DeriveOptions& options, bool otel) {
  std::vector<std::string> names = RawNames(options);
  const auto& intrinsic = otel ? kIntrinsicOtel : kIntrinsicTempo;
  const size_t own = options.status_message ? 1 : 0;
  const size_t chosen = own + options.dimensions.size() + options.mappings.size();
  for (size_t i = own; i < chosen; ++i) {
    const bool taken = std::find(intrinsic.begin(), intrinsic.end(), names[i]) != intrinsic.end() ||
                       names[i] == "error_source" || (own != 0 && names[i] == "status_message") ||
                       (options.target_info && (names[i] == "job" || names[i] == "instance"));
    if (taken) names[i].insert(0, "__");
  }
  for (size_t i = 0; i < names.size(); ++i) {
    if (std::find(names.begin() + static_cast<std::ptrdiff_t>(i) + 1, names.end(), names[i]) != names.end())
      names[i].clear();
  }
  return names;
}

WatchList DeriveOptions::Watch() const {
  WatchList watch;
  const auto both = [&](std::string_view key) {
    watch.WatchSpan(key, WatchList::kAlways);
    watch.WatchResource(key);
  };
  for (const Dimension& dimension : dimensions) both(dimension.key);
  both(ratio_attribute);
  for (const Mapping& mapping : mappings) {
    for (const std::string& key : mapping.from) both(key);
  }
  for (const auto* list : {&include, &exclude}) {
    for (const SpanMatch& match : *list) {
      for (const auto& [key, pattern] : match.attributes) watch.WatchSpan(key, WatchList::kAlways);
      for (const auto& [key, pattern] : match.resource) watch.WatchResource(key);
    }
  }
  if (errors_http_5xx || errors_http_4xx) {
    watch.WatchSpan("http.response.status_code", WatchList::kAlways);
    watch.WatchSpan("http.status_code", WatchList::kAlways);
  }
  if (errors_grpc) {
    watch.WatchSpan("rpc.grpc.status_code", WatchList::kAlways);
    watch.WatchSpan("rpc.response.status_code", WatchList::kAlways);
  }
  if (names != Names::kRaw) {
    for (const std::string_view key : kRouteKeys) watch.WatchSpan(key, WatchList::kAlways);
  }
  if (graph.enabled) {
    for (const std::string& key : graph.dimensions) both(key);
    for (const std::string& key : graph.peer_attributes) watch.WatchSpan(key, WatchList::kPeer);
    for (const std::string& key : graph.database_attributes) {
      watch.WatchSpan(key, WatchList::kDatabase);
      watch.WatchResource(key);
    }
    for (const char* key : {"peer.service", "service.peer.name", "server.address", "messaging.system",
                            "messaging.destination.name"}) {
      watch.WatchSpan(key, WatchList::kPeer);
    }
    for (const char* key : {"network.peer.address", "network.peer.port"})
      watch.WatchSpan(key, WatchList::kAddress);
  }
  if (lend.enabled) {
    for (const std::string& key : lend.match) watch.WatchSpan(key, WatchList::kAlways);
    watch.WatchResource("service.namespace");
    watch.WatchResource("service.instance.id");
  }
  watch.whole_resource = target_info;
  watch.status_message = status_message;
  return watch;
}

SpanLabels::SpanLabels(const DeriveOptions& options)
    : options_(options),
      tempo_names_(ExtraLabelNames(options, false)),
      otel_names_(ExtraLabelNames(options, true)) {
  const std::vector<std::string>& keys = options.graph.dimensions;
  for (size_t i = 0; i < keys.size(); ++i) {
    const auto same = [&](const std::string& later) {
      return SanitizedLabel(later) == SanitizedLabel(keys[i]);
    };
    graph_shown_.push_back(std::none_of(keys.begin() + static_cast<std::ptrdiff_t>(i) + 1, keys.end(), same));
  }
}

void SpanLabels::Read(const Batch& batch, uint16_t group, std::string_view span, uint8_t kind,
                      uint8_t status) {
  service_ = batch.ServiceName(group);
  name_ = status_message_ = {};
  kind_ = kind;
  status_ = status;
  threshold_ = 0;
  threshold_malformed_ = false;
  resource_.clear();
  span_.clear();

  const BatchResource& resource = batch.resources[batch.groups[group].resource];
  for (uint32_t i = 0; i < resource.range_count; ++i) {
    for (wire::Cursor c(batch.bytes(batch.ranges[resource.first_range + i])); c.Next();) {
      if (c.field().number != kResourceSpansResource || c.field().type != wire::Type::kBytes) continue;
      for (wire::Cursor a(c.field().bytes); a.Next();) {
        if (a.field().number != kResourceAttributes || a.field().type != wire::Type::kBytes) continue;
        const KeyValueView read = ReadKeyValue(a.field().bytes);
        resource_.push_back({read.key, read.any_value});
      }
    }
  }
  for (wire::Cursor c(span); c.Next();) {
    const wire::Field& f = c.field();
    if (f.type != wire::Type::kBytes) continue;
    switch (f.number) {
      case kSpanTraceState:
        threshold_malformed_ = false;
        threshold_ = ReadThreshold(f.bytes, &threshold_malformed_);
        break;
      case kSpanName: name_ = f.bytes; break;
      case kSpanAttributes: {
        const KeyValueView read = ReadKeyValue(f.bytes);
        span_.push_back({read.key, read.any_value});
        break;
      }
      case kSpanStatus:
        for (wire::Cursor s(f.bytes); s.Next();) {
          if (s.field().number == kStatusMessage && s.field().type == wire::Type::kBytes)
            status_message_ = s.field().bytes;
        }
        break;
      default: break;
    }
  }

  if (threshold_ == 0 && !options_.ratio_attribute.empty()) ReadRatio();
  ReadErrors();
  const auto matches = [this](const SpanMatch& match) { return Matches(match); };
  counted_ =
      (options_.include.empty() || std::any_of(options_.include.begin(), options_.include.end(), matches)) &&
      std::none_of(options_.exclude.begin(), options_.exclude.end(), matches);
  route_.clear();
  if (options_.names != DeriveOptions::Names::kRaw) ReadRoute();
  target_.clear();
  if (options_.target_info) ReadTarget();
  extras_.clear();
  if (options_.tempo()) ReadExtras(false);
  if (options_.otel()) ReadExtras(true);
  graph_dimensions_.clear();
  peer_ = {};
  if (!options_.graph.enabled) return;
  for (size_t i = 0; i < options_.graph.dimensions.size(); ++i) {
    scratch_.clear();
    if (graph_shown_[i]) Append(resource_, span_, options_.graph.dimensions[i]);
    label_block::Append(&graph_dimensions_, scratch_);
  }
  ReadPeer();
}

// The value as text; false and nothing appended if neither has the key. Of one key the last value counts.
bool SpanLabels::Append(const std::vector<Attribute>& first, const std::vector<Attribute>& second,
                        std::string_view key) {
  for (const auto* in : {&first, &second}) {
    for (size_t i = in->size(); i-- > 0;) {
      if ((*in)[i].key != key) continue;
      AppendAnyValue(&scratch_, (*in)[i].any_value);
      return true;
    }
  }
  return false;
}

std::string_view SpanLabels::Find(const std::vector<Attribute>& in, std::string_view key,
                                  std::string* storage) const {
  storage->clear();
  for (size_t i = in.size(); i-- > 0;) {
    if (in[i].key != key) continue;
    AppendAnyValue(storage, in[i].any_value);
    break;
  }
  return *storage;
}

bool SpanLabels::Matches(const SpanMatch& match) const {
  if (match.kind >= 0 && match.kind != kind_) return false;
  if (match.status >= 0 && match.status != status_) return false;
  if (!Hits(match.service, service_) || !Hits(match.span_name, name_)) return false;
  const auto all = [](const std::vector<Attribute>& in,
                      const std::vector<std::pair<std::string, Pattern>>& wanted) {
    std::string text;
    for (const auto& [key, pattern] : wanted) {
      const std::string& name = key;
      const auto at = std::find_if(in.rbegin(), in.rend(), [&](const Attribute& a) { return a.key == name; });
      if (at == in.rend()) return false;
      text.clear();
      AppendAnyValue(&text, at->any_value);
      if (!Hits(pattern, text)) return false;
    }
    return true;
  };
  return all(span_, match.attributes) && all(resource_, match.resource);
}

// A threshold of 0 is no word of the sampler's: it says what a tracestate without one says, so that spans
// with the one and the other are of one signature.
void SpanLabels::ReadRatio() {
  for (const auto* in : {&span_, &resource_}) {
    for (size_t i = in->size(); i-- > 0;) {
      if ((*in)[i].key != options_.ratio_attribute) continue;
      const std::optional<double> ratio = NumberOfAnyValue((*in)[i].any_value);
      const std::optional<uint64_t> threshold = ratio ? ThresholdOfRatio(*ratio) : std::nullopt;
      threshold_ = threshold.value_or(0);
      threshold_malformed_ |= !threshold;
      return;
    }
  }
}

void SpanLabels::ReadErrors() {
  error_source_ = ErrorSource::kNone;
  if (!options_.more_errors()) return;
  if (status_ == kStatusError) {
    error_source_ = ErrorSource::kStatus;
    return;
  }
  std::string text;
  if (options_.errors_http_5xx || options_.errors_http_4xx) {
    if (Find(span_, "http.response.status_code", &text).empty()) Find(span_, "http.status_code", &text);
    const bool code =
        text.size() == 3 && text[1] >= '0' && text[1] <= '9' && text[2] >= '0' && text[2] <= '9';
    if (code && text[0] == '5' && options_.errors_http_5xx) error_source_ = ErrorSource::kHttp5xx;
    if (code && text[0] == '4' && options_.errors_http_4xx) error_source_ = ErrorSource::kHttp4xx;
  }
  if (error_source_ == ErrorSource::kNone && options_.errors_grpc) {
    if (Find(span_, "rpc.grpc.status_code", &text).empty()) Find(span_, "rpc.response.status_code", &text);
    if (!text.empty() && GrpcFailed(text, kind_)) error_source_ = ErrorSource::kGrpc;
  }
  if (error_source_ != ErrorSource::kNone) status_ = kStatusError;
}

// See docs/metrics.md, "Service graph", for the order of preference.
void SpanLabels::ReadPeer() {
  std::string text;
  const auto first_of = [&](std::initializer_list<std::string_view> keys) {
    for (const std::string_view key : keys) {
      if (!Find(span_, key, &text).empty()) return true;
    }
    return false;
  };
  if (kind_ == kClient) {
    for (const std::string& key : options_.graph.database_attributes) {
      std::string marker;
      if (Find(span_, key, &marker).empty() && Find(resource_, key, &marker).empty()) continue;
      peer_.connection = Connection::kDatabase;
      if (first_of({"peer.service", "service.peer.name", "server.address"})) {
        peer_.name = text;
      } else if (first_of({"network.peer.address"})) {
        peer_.name = text;
        if (first_of({"network.peer.port"})) peer_.name.append(":").append(text);
      } else {
        peer_.name = marker;
      }
      return;
    }
  }
  const bool called = kind_ == kServer || kind_ == kConsumer;
  std::string system;
  if (called || kind_ == kProducer) Find(span_, "messaging.system", &system);
  peer_.connection = system.empty() ? Connection::kVirtualNode : Connection::kMessaging;
  for (const std::string& key : options_.graph.peer_attributes) {
    // On the called side server.address is its own, unless messages are what it takes: then it is the
    // broker's.
    if (called && system.empty() && key == "server.address") continue;
    if (Find(span_, key, &text).empty()) continue;
    peer_.name = text;
    return;
  }
  if (!system.empty()) peer_.name = first_of({"messaging.destination.name"}) ? text : system;
}

void SpanLabels::ReadRoute() {
  std::string text, method;
  if (!Find(span_, "http.route", &text).empty() || !Find(span_, "url.template", &text).empty()) {
    if (Find(span_, "http.request.method", &method).empty()) Find(span_, "http.method", &method);
    route_ = method.empty() ? text : method + " " + text;
  } else if (!Find(span_, "rpc.service", &text).empty()) {
    Find(span_, "rpc.method", &method);
    route_ = method.empty() ? text : text + "/" + method;
  } else {
    route_ = Find(span_, "db.query.summary", &text);
  }
}

void SpanLabels::ReadExtras(bool otel) {
  const auto& first = otel ? span_ : resource_;
  const auto& second = otel ? resource_ : span_;
  auto name = (otel ? otel_names_ : tempo_names_).begin();
  const auto shown = [&] { return !(name++)->empty(); };
  if (options_.status_message) label_block::Append(&extras_, shown() ? status_message_ : std::string_view());
  for (const DeriveOptions::Dimension& dimension : options_.dimensions) {
    scratch_.clear();
    if (shown() && !Append(first, second, dimension.key)) scratch_ = dimension.fallback;
    label_block::Append(&extras_, scratch_);
  }
  for (const DeriveOptions::Mapping& mapping : options_.mappings) {
    std::string joined;
    const bool read = shown();
    for (const std::string& key : mapping.from) {
      if (!read) break;
      scratch_.clear();
      Append(first, second, key);
      if (scratch_.empty()) continue;
      if (!joined.empty()) joined += mapping.join;
      joined += scratch_;
    }
    label_block::Append(&extras_, joined);
  }
  if (options_.target_info) {
    label_block::Append(&extras_, job_);
    label_block::Append(&extras_, instance_);
  }
}

void SpanLabels::ReadTarget() {
  job_.clear();
  instance_.clear();
  std::string space;
  Find(resource_, "service.instance.id", &instance_);
  Find(resource_, "service.namespace", &space);
  if (!service_.empty()) job_ = space.empty() ? std::string(service_) : space + "/" + std::string(service_);
  std::vector<std::pair<std::string, std::string>> labels;
  for (const Attribute& attribute : resource_) {
    if (attribute.key.empty() || (attribute.key[0] >= '0' && attribute.key[0] <= '9') ||
        attribute.key == "service.name" || attribute.key == "service.namespace" ||
        attribute.key == "service.instance.id") {
      continue;
    }
    std::string name = SanitizedLabel(attribute.key);
    if (name == "job" || name == "instance") name.insert(0, "__");
    scratch_.clear();
    AppendAnyValue(&scratch_, attribute.any_value);
    const auto at =
        std::find_if(labels.begin(), labels.end(), [&](const auto& label) { return label.first == name; });
    if (at != labels.end()) {
      at->second = scratch_;
    } else {
      labels.emplace_back(std::move(name), scratch_);
    }
  }
  std::erase_if(labels, [](const auto& label) { return label.second.empty(); });
  if ((job_.empty() && instance_.empty()) || labels.empty()) return;
  if (!job_.empty()) labels.emplace_back("job", job_);
  if (!instance_.empty()) labels.emplace_back("instance", instance_);
  std::sort(labels.begin(), labels.end());
  for (const auto& [name, value] : labels) {
    label_block::Append(&target_, name);
    label_block::Append(&target_, value);
  }
}

}  // namespace braid::correlate
