#pragma once

#include <prometheus_write.pb.h>

#include <cstdint>
#include <random>
#include <string>

#include "ingest/decode/remote_write_parse.h"

// Random but plausible remote write requests, as wire bytes.
namespace braid::test {

// Series of every kind that Prometheus sends: counters, gauges, classic histograms and summaries whole and in
// parts, native histograms of every schema, exemplars, stale markers, metadata; sometimes with what no sender
// should send.
std::string RandomWriteRequest(ingest::RemoteWriteVersion version, std::mt19937_64& random);

// A valid native histogram of integers.
oracle::prometheus::Histogram RandomNativeHistogram(std::mt19937_64& random);

// The same request in the other version's words: what 2.0 says once in symbols, 1.0 says again and again.
// Metadata and start times are 2.0's alone and stay empty.
oracle::prometheus::WriteRequest2 ToVersion2(const oracle::prometheus::WriteRequest1& request);

}  // namespace braid::test
