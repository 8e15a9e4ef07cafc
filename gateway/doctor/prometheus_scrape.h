#pragma once

#include <string>

#include "gateway/doctor/braid_probe.h"
#include "gateway/doctor/prometheus_api.h"
#include "gateway/doctor/report.h"

namespace braid::gateway::doctor {

// Under which labels a Prometheus has the series of the Braid that is looked at.
struct Scraped {
  bool found = false;
  std::string matchers;    // job="braid",instance="127.0.0.1:9464"
  bool by_target = false;  // by a scrape, and not by remote write or federation
  double interval_seconds = 60;
};

// Finds this Braid among the targets and the series of a Prometheus, and reports on it as "scrape". Braids
// are told apart by their start times, so it does not matter under which name Prometheus reaches it.
Scraped FindBraid(PrometheusApi& api, const BraidFacts& facts, Reporter& to);

}  // namespace braid::gateway::doctor
