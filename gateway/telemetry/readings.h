#pragma once

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <functional>
#include <initializer_list>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "correlate/model/exposition.h"

namespace braid::gateway {

// Values read at scrape time from what a part counts anyway, in prometheus-cpp's form:
//
//   readings.Counter("braid_window_joined_logs_total", "Logs that found their span.").Add({}, stats.joined);
//   auto& verdicts = readings.Counter("braid_window_verdicts_total", "Verdicts by trigger.");
//   for (...) verdicts.Add({{"trigger", name}}, n);
//
// Names are braid_<part>_<what>_<unit>; labels come from closed sets.
// Thread rule: one owner.
class Readings {
 public:
  class Family {
   public:
    Family& Add(std::initializer_list<Label> labels, double value) {
      return Add(std::span(labels.begin(), labels.size()), value);
    }
    Family& Add(std::initializer_list<Label> labels, uint64_t value) {
      return Add(labels, static_cast<double>(value));
    }
    Family& Add(std::span<const Label> labels, double value);

    // A histogram's: counts of each bucket apart, one more than there are bounds.
    Family& AddHistogram(std::initializer_list<Label> labels, std::span<const double> bounds,
                         std::span<const uint64_t> counts, double sum);

   private:
    friend class Readings;
    explicit Family(prometheus::MetricFamily* family) : family_(family) {}
    prometheus::MetricFamily* family_;
  };

  // A family that is opened twice is continued. The result is to be used before the next one is opened.
  Family Counter(std::string_view name, std::string_view help);
  Family Gauge(std::string_view name, std::string_view help);
  Family Histogram(std::string_view name, std::string_view help);

  std::vector<prometheus::MetricFamily> Take() { return std::move(families_); }

 private:
  Family Open(std::string_view name, std::string_view help, prometheus::MetricType type);

  std::vector<prometheus::MetricFamily> families_;
};

// Makes a part that fills Readings collectable like any prometheus-cpp metric.
// Lifetime: what `read` refers to outlives it.
class ReadingsCollectable : public prometheus::Collectable {
 public:
  explicit ReadingsCollectable(std::function<void(Readings&)> read) : read_(std::move(read)) {}
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const std::function<void(Readings&)> read_;
};

}  // namespace braid::gateway
