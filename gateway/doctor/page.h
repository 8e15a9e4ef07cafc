#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace braid::gateway::doctor {

// What the doctor wants to know of an OpenMetrics page. The page is read leniently, in one pass; a line that
// makes no sense is counted and passed over.
struct Page {
  struct Exemplar {
    std::string trace_id;
    double timestamp = 0;  // seconds; 0: none was given
  };

  size_t samples = 0;
  size_t odd_lines = 0;                  // neither comment nor sample
  std::set<std::string> families;        // names of # TYPE lines
  std::map<std::string, double> values;  // of samples without labels; the last if there are several
  std::vector<Exemplar> exemplars;       // those with a trace_id
  std::set<std::string> classic;         // histograms with a bucket besides +Inf
};

// Adds what `text` has to `page`.
void ReadPage(std::string_view text, Page* page);

}  // namespace braid::gateway::doctor
