#include "gateway/api/series_view.h"

#include <boost/json.hpp>
#include <utility>

namespace braid::gateway {

namespace json = boost::json;

std::string RenderCardinality(const correlate::SeriesOwner::Cardinality& cardinality) {
  json::array services, labels;
  for (const auto& share : cardinality.services)
    services.push_back({{"service", share.name}, {"series", share.count}});
  for (const auto& share : cardinality.labels)
    labels.push_back({{"label", share.name}, {"values", share.count}});
  json::object out;
  out["series"] = cardinality.series;
  out["maxSeries"] = cardinality.max_series;
  out["services"] = std::move(services);
  out["labels"] = std::move(labels);
  return json::serialize(out);
}

std::string RenderMergedNames(const std::vector<correlate::SeriesOwner::MergedName>& names) {
  json::array list;
  for (const auto& name : names) {
    json::array examples;
    for (const std::string& example : name.examples) examples.emplace_back(example);
    list.push_back({{"service", name.service},
                    {"name", name.name},
                    {"merged", name.count},
                    {"examples", std::move(examples)}});
  }
  return json::serialize(json::object{{"names", std::move(list)}});
}

}  // namespace braid::gateway
