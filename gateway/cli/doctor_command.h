#pragma once

#include <iosfwd>
#include <string>

#include "gateway/doctor/doctor.h"

namespace braid::gateway::cli {

struct DoctorCommandOptions {
  doctor::DoctorOptions probe;
  bool json = false;
  bool color = false;
};

// `braid doctor`: probes what is named and prints what was found. Exit codes: 69 if Braid was to be probed
// and does not answer, else 1 if a check failed.
int RunDoctor(const DoctorCommandOptions& options, std::ostream& out);

// Why a --url is none, for CLI11; empty if it is one, or empty itself.
std::string DescribeBadUrl(const std::string& url);

}  // namespace braid::gateway::cli
