#pragma once

#include <string>
#include <vector>

#include "correlate/derive/series_owner.h"

namespace braid::gateway {

// JSON of GET /api/v1/metrics/cardinality and /api/v1/metrics/names.
std::string RenderCardinality(const correlate::SeriesOwner::Cardinality& cardinality);
std::string RenderMergedNames(const std::vector<correlate::SeriesOwner::MergedName>& names);

}  // namespace braid::gateway
