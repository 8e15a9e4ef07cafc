#pragma once

#include <absl/container/flat_hash_set.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "correlate/model/exposition.h"

namespace braid::exporters {

enum class ExpositionFormat : uint8_t {
  kText,         // Prometheus text 0.0.4: no exemplars, start times or units
  kOpenMetrics,  // OpenMetrics text 1.0
  kProtobuf,     // length-delimited io.prometheus.client.MetricFamily
};

// Why something handed to a page is not on it.
enum class ExpositionSkip : uint8_t {
  kFamilyConflict,  // a family before it has this name, or one of its samples does
  kBadName,         // the family's name is no metric name
  kBadLabel,        // a label name is no label name, reserved ("le" of a histogram), or there twice
  kBadUtf8,         // a label value is not UTF-8
  kDuplicate,       // the family has this series already
  kBadValue,        // a count that is negative or no number, a quantile outside 0..1, bounds or bucket
                    // indexes that do not rise, a schema Prometheus does not have
  kWrongType,       // a point of another type than its family
  kPageFull,        // Options::max_bytes
};
constexpr int kExpositionSkips = 8;
std::string_view ExpositionSkipName(ExpositionSkip reason);

struct ExpositionStats {
  uint64_t families = 0;
  uint64_t series = 0;  // points: a whole histogram is one
  uint64_t exemplars = 0;
  uint64_t exemplars_dropped = 0;  // outside their bucket, without anything to point at, or (native) untimed
  std::array<uint64_t, kExpositionSkips> skipped{};  // points; a skipped family counts each of its points

  uint64_t skipped_total() const;
};

// One page of metrics in one format. Whatever a producer hands in, the page stays well-formed: names and
// labels are checked, a series that occurs twice is written once, families that would share a sample's name
// are not both written. What is left out is counted by reason.
//
// Labels with an empty value are left out: to Prometheus they are absent.
//
// Native histograms are on the protobuf page; text shows one that has no classic buckets as its count and
// sum.
//
// Thread rule: one owner. Bound: Options::max_bytes of content; points beyond it are skipped.
class PageWriter : public ExpositionWriter {
 public:
  struct Options {
    size_t max_bytes = size_t{512} << 20;
  };

  static std::unique_ptr<PageWriter> New(ExpositionFormat format, const Options& options);
  static std::unique_ptr<PageWriter> New(ExpositionFormat format) { return New(format, Options()); }

  void Family(const FamilyView& family) final;
  void Counter(std::span<const Label> labels, double value, uint64_t created_ns,
               const ExemplarView* exemplar) final;
  void Gauge(std::span<const Label> labels, double value) final;
  void Histogram(std::span<const Label> labels, const HistogramView& histogram, uint64_t created_ns) final;
  void Summary(std::span<const Label> labels, const SummaryView& summary, uint64_t created_ns) final;

  // Ends the page; nothing may be added after it.
  void Finish();

  // The page in pieces of about 256 KiB, to be sent in order. REQUIRES: Finish() was called.
  std::vector<std::string> TakeChunks();

  // Content so far.
  virtual size_t bytes() const { return done_bytes_ + out_.size(); }
  const ExpositionStats& stats() const { return stats_; }

 protected:
  explicit PageWriter(const Options& options) : options_(options) {}

  // A family's own strings, kept until the next one.
  struct Current {
    std::string name;
    std::string help;
    std::string unit;
    MetricType type = MetricType::kUnknown;
  };

  // Formats implement these. Everything passed in has been checked.
  virtual void BeginFamily() = 0;
  virtual void EndFamily() {}
  virtual void PutCounter(double value, uint64_t created_ns, const ExemplarView* exemplar) = 0;
  virtual void PutGauge(double value) = 0;
  // `histogram.has_sum` is the producer's word; `classic_sum` whether a format of classic buckets may show
  // it.
  virtual void PutHistogram(const HistogramView& histogram, bool classic_sum, uint64_t created_ns) = 0;
  virtual void PutSummary(const SummaryView& summary, uint64_t created_ns) = 0;
  virtual void PutEnd() {}

  const Current& family() const { return family_; }
  std::span<const Label> labels() const { return labels_; }

  // The labels an exemplar may carry: the IDs first, under ExemplarView::names, then extra ones, each as long
  // as names and values together stay within 128 characters. False if it may not be written at all. The views
  // live until the next call.
  bool ExemplarLabels(const ExemplarView& exemplar, std::vector<Label>* out);

  // Counts an exemplar that the format has no place for.
  void DropExemplar() { ++stats_.exemplars_dropped; }

  // Content is appended to out(); Spill() after each point moves full pieces aside.
  std::string& out() { return out_; }
  void Spill();

  // Overwrites bytes already appended, wherever they are by now. `at` counts from the page's start.
  void Patch(size_t at, std::string_view bytes);

 private:
  bool OpenPoint(std::span<const Label> labels, MetricType type, std::string_view reserved);
  bool Skip(ExpositionSkip reason);
  bool Claim(const FamilyView& family);

  static constexpr size_t kChunkBytes = 256 << 10;

  const Options options_;
  ExpositionStats stats_;
  Current family_;
  bool skipping_ = true;  // the current family's points; reason in skip_reason_
  ExpositionSkip skip_reason_ = ExpositionSkip::kWrongType;
  bool family_open_ = false;  // its header is written, with its first point
  std::vector<Label> labels_;

  // A label name by its place among a point's labels that are not empty: valid, and none twice.
  struct KnownName {
    std::string text;
    uint64_t hash = 0;
  };
  std::vector<KnownName> names_;

  absl::flat_hash_set<uint64_t> series_;      // of the current family, by hash of its labels
  absl::flat_hash_set<std::string> claimed_;  // names that no other family may use
  std::array<char, 48> ids_{};

  std::vector<std::string> chunks_;
  size_t done_bytes_ = 0;
  std::string out_;
};

// A number as every format's text writes it: integers plainly, others by the shortest digits that read back
// the same, NaN, +Inf, -Inf.
void AppendNumber(std::string* out, double value);

// A bound or quantile as Go's %g prints it, which is how "le" values of one metric are compared as text
// across exporters; with `point`, as OpenMetrics and Prometheus' own storage have it, "1.0" for 1.
std::string LabelNumber(double value, bool point);

}  // namespace braid::exporters
