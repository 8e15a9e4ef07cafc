#pragma once

#include <string>

#include "gateway/doctor/braid_probe.h"
#include "gateway/doctor/prometheus_api.h"
#include "gateway/doctor/prometheus_scrape.h"
#include "gateway/doctor/report.h"

namespace braid::gateway::doctor {

// Whether a Prometheus keeps exemplars ("exemplar_storage", by its flags), has those of Braid ("exemplars",
// by asking), and whether Braid still has their traces ("exemplar_traces"). `features` is the value of
// --enable-feature, nothing if it does not say. `braid` may be null.
void CheckExemplars(PrometheusApi& api, const std::optional<std::string>& features, const Scraped& scraped,
                    const BraidFacts& facts, Peer* braid, Reporter& to);

// Whether `feature` is in a comma-separated list.
bool HasFeature(const std::string& features, std::string_view feature);

}  // namespace braid::gateway::doctor
