#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/doctor/peer.h"

namespace braid::gateway::doctor {

// One sample of an instant query.
struct Sample {
  std::map<std::string, std::string> labels;
  double value = 0;

  std::string label(const std::string& name) const;
};

// Prometheus' HTTP API, as far as the doctor asks it. Errors say what was asked and what came.
class PrometheusApi {
 public:
  // `peer` outlives it.
  explicit PrometheusApi(Peer& peer) : peer_(peer) {}

  // The `data` of a successful answer.
  Result<boost::json::value> Data(const std::string& path);

  // An instant query that gives a vector, at most 10,000 of it. Histograms have value 0.
  Result<std::vector<Sample>> Vector(std::string_view query);

  // An instant query that gives one number; nothing if it gives none.
  Result<std::optional<double>> Scalar(std::string_view query);

 private:
  Peer& peer_;
};

// A matcher for a selector: name="value", quoted.
std::string Matcher(std::string_view name, std::string_view value);

// "1m30s", as Prometheus writes durations, in seconds. Nothing for anything else.
std::optional<double> ParsePrometheusDuration(std::string_view text);

}  // namespace braid::gateway::doctor
