#include "exporters/encode/exposition_negotiation.h"

#include <charconv>
#include <optional>
#include <string>

namespace braid::exporters {
namespace {

constexpr NegotiatedExposition kText = {ExpositionFormat::kText, "text/plain; version=0.0.4; charset=utf-8"};
constexpr NegotiatedExposition kOpenMetrics = {ExpositionFormat::kOpenMetrics,
                                               "application/openmetrics-text; version=1.0.0; charset=utf-8"};
constexpr NegotiatedExposition kOpenMetrics001 = {
    ExpositionFormat::kOpenMetrics, "application/openmetrics-text; version=0.0.1; charset=utf-8"};
constexpr NegotiatedExposition kProtobuf = {
    ExpositionFormat::kProtobuf,
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"};

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// The part up to the next `separator` outside quotes; takes it off `rest`.
std::string_view NextPart(std::string_view* rest, char separator) {
  bool quoted = false;
  size_t i = 0;
  for (; i < rest->size(); ++i) {
    const char c = (*rest)[i];
    if (quoted && c == '\\') {
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == separator && !quoted) {
      break;
    }
  }
  if (i > rest->size()) i = rest->size();
  const std::string_view part = Trim(rest->substr(0, i));
  rest->remove_prefix(i < rest->size() ? i + 1 : i);
  return part;
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

std::string_view Unquote(std::string_view value) {
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
    return value.substr(1, value.size() - 2);
  return value;
}

struct MediaRange {
  std::string type;  // lower case
  std::string_view version;
  std::string_view proto;
  std::string_view encoding;
  double q = 1;
};

MediaRange Parse(std::string_view text) {
  MediaRange range;
  range.type = Lower(NextPart(&text, ';'));
  while (!text.empty()) {
    const std::string_view parameter = NextPart(&text, ';');
    const size_t equals = parameter.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string name = Lower(Trim(parameter.substr(0, equals)));
    const std::string_view value = Unquote(Trim(parameter.substr(equals + 1)));
    if (name == "version") range.version = value;
    if (name == "proto") range.proto = value;
    if (name == "encoding") range.encoding = value;
    if (name == "q") {
      double q = 0;
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), q);
      // A weight that is none is taken for the least that is not a refusal.
      range.q = error == std::errc() && q >= 0 && q <= 1 ? q : 0.001;
    }
  }
  return range;
}

std::optional<NegotiatedExposition> Match(const MediaRange& range) {
  if (range.type == "application/openmetrics-text") {
    if (range.version.empty() || range.version == "1.0.0") return kOpenMetrics;
    if (range.version == "0.0.1") return kOpenMetrics001;
    return std::nullopt;
  }
  if (range.type == "application/vnd.google.protobuf") {
    if (range.proto == "io.prometheus.client.MetricFamily" && range.encoding == "delimited") return kProtobuf;
    return std::nullopt;
  }
  if (range.type == "text/plain") {
    if (range.version.empty() || range.version == "0.0.4") return kText;
    return std::nullopt;
  }
  if (range.type == "text/*" || range.type == "*/*") return kText;
  if (range.type == "application/*") return kOpenMetrics;
  return std::nullopt;
}

}  // namespace

NegotiatedExposition NegotiateExposition(std::string_view accept) {
  NegotiatedExposition best = kText;
  double best_q = 0;
  while (!accept.empty()) {
    const MediaRange range = Parse(NextPart(&accept, ','));
    const std::optional<NegotiatedExposition> match = Match(range);
    if (match && range.q > best_q) {
      best = *match;
      best_q = range.q;
    }
  }
  return best;
}

}  // namespace braid::exporters
