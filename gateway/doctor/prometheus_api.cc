#include "gateway/doctor/prometheus_api.h"

#include <re2/re2.h>

#include "gateway/json/json_read.h"

namespace braid::gateway::doctor {

namespace json = boost::json;

std::string Sample::label(const std::string& name) const {
  const auto found = labels.find(name);
  return found == labels.end() ? std::string() : found->second;
}

Result<json::value> PrometheusApi::Data(const std::string& path) {
  Result<json::value> answer = peer_.GetJson(path);
  if (!answer.ok()) return answer;
  const std::string where = path.substr(0, path.find('?'));
  if (JsonText(JsonMap(*answer), "status") != "success") {
    return InvalidArgument(where + " does not answer as Prometheus does (no \"status\": \"success\")");
  }
  json::value* data = answer->as_object().if_contains("data");
  if (data == nullptr) return InvalidArgument(where + " answers without data");
  return std::move(*data);
}

Result<std::vector<Sample>> PrometheusApi::Vector(std::string_view query) {
  const Result<json::value> data = Data("/api/v1/query?query=" + Escape(query));
  if (!data.ok()) return data.status();
  if (JsonText(JsonMap(*data), "resultType") != "vector") {
    return InvalidArgument("/api/v1/query answers with something else than a vector");
  }
  std::vector<Sample> samples;
  for (const json::value& row : JsonList(JsonMap(*data), "result")) {
    Sample sample;
    for (const auto& [name, value] : JsonMap(JsonMap(row), "metric")) {
      sample.labels.emplace(std::string(name), std::string(JsonText(value)));
    }
    const json::array& pair = JsonList(JsonMap(row), "value");
    const std::optional<double> value = pair.size() == 2 ? JsonNumber(pair[1]) : std::nullopt;
    if (!value && !JsonMap(row).contains("histogram")) {
      return InvalidArgument("/api/v1/query answers with a sample that has no value");
    }
    sample.value = value.value_or(0);
    samples.push_back(std::move(sample));
    if (samples.size() == 10'000) break;
  }
  return samples;
}

Result<std::optional<double>> PrometheusApi::Scalar(std::string_view query) {
  const Result<std::vector<Sample>> samples = Vector(query);
  if (!samples.ok()) return samples.status();
  if (samples->empty()) return std::optional<double>();
  return std::optional<double>(samples->front().value);
}

std::string Matcher(std::string_view name, std::string_view value) {
  std::string out = std::string(name) + "=\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::optional<double> ParsePrometheusDuration(std::string_view text) {
  static const RE2 kPart("([0-9]{1,9})(ms|s|m|h|d|w|y)");
  static const std::map<std::string, double, std::less<>> kUnits = {
      {"ms", 0.001}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}, {"w", 604800}, {"y", 31536000}};
  re2::StringPiece rest(text.data(), text.size());
  double seconds = 0;
  int64_t number = 0;
  std::string unit;
  if (rest.empty()) return std::nullopt;
  while (RE2::Consume(&rest, kPart, &number, &unit))
    seconds += static_cast<double>(number) * kUnits.find(unit)->second;
  if (!rest.empty()) return std::nullopt;
  return seconds;
}

}  // namespace braid::gateway::doctor
