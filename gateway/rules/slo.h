#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/diagnostic.h"

// Service level objectives: what the user writes about them. docs/slo.md explains the file.
namespace braid::gateway::rules {

// Names of the metrics derived from spans (`metrics.dialect`). The configuration's `both` shows what kTempo
// needs, too.
enum class Dialect : uint8_t { kTempo, kOtel };

// "tempo", "otel"; "both" is kTempo. Nothing for anything else.
std::optional<Dialect> ParseDialect(std::string_view text);
std::string_view DialectName(Dialect dialect);

// Upper bounds of the dialect's latency buckets, ascending: the thresholds that can be told exactly.
std::vector<std::chrono::milliseconds> LatencyBounds(Dialect dialect);

struct Slo {
  enum class Indicator : uint8_t {
    kAvailability,  // good: the span's status is not ERROR
    kLatency,       // good: the span took no longer than `threshold`
  };

  // A percentage in millionths, so that 99.99 is exact and so is what it leaves for errors.
  static constexpr uint64_t kWhole = 100'000'000;

  std::string name;  // once in the file
  std::string description;
  std::vector<std::string> services;    // service.name; at least one
  std::vector<std::string> operations;  // span names; none: all
  std::vector<std::string> kinds;       // "server", "consumer", ...; at least one
  uint64_t objective = 0;               // of kWhole, neither 0 nor all
  Indicator indicator = Indicator::kAvailability;
  std::chrono::milliseconds threshold{0};  // kLatency: one of LatencyBounds()
  std::vector<std::pair<std::string, std::string>> labels;
  std::string runbook;    // empty: Braid's
  std::string dashboard;  // empty: none

  friend bool operator==(const Slo&, const Slo&) = default;
};

struct SloFile {
  std::vector<Slo> slos;                   // those without mistakes, in order of the file
  std::vector<config::Diagnostic> errors;  // all, in order of the file

  bool ok() const { return errors.empty(); }

  // All errors, one a line: "slo.yaml:4:14: slos[0].objective: expected ...".
  std::string Report() const;
};

// Reads objectives for `dialect` from the YAML file `file`; with `text`, from that, and `file` is only its
// name in messages. Checks everything in one run: form by slo.schema.json, then what no schema says (names
// that are there twice, labels that the rules need themselves, thresholds between two buckets). There is no
// substitution: names may have dollars. Does not throw.
SloFile LoadSlos(const std::string& file, Dialect dialect, std::optional<std::string_view> text = {});

}  // namespace braid::gateway::rules
