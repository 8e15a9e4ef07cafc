#pragma once

#include <string>

namespace braid::config {

// A place in the configuration. Lines and columns count from 1, columns in bytes. `source` is the file as it
// was given, or the override ("--set a.b=c"), which has no line.
struct Position {
  int source = -1;  // index into Loaded::sources; -1: nowhere, a built-in default
  int line = 0;
  int column = 0;

  friend bool operator==(const Position&, const Position&) = default;
};

// One thing that is wrong with the configuration.
struct Diagnostic {
  Position at;
  std::string source;   // name of at.source
  std::string path;     // "receivers.otlp.grpc.listen", "filters[0].match[1]"; empty: the whole
  std::string message;  // what was expected, what was found, what to do; never a secret

  // "braid.yaml:3:7: receivers.otlp.grpc.listn: unknown key; did you mean 'listen'?"
  std::string ToString() const;
};

// Whether `a` comes before `b` in the sources.
bool operator<(const Diagnostic& a, const Diagnostic& b);

}  // namespace braid::config
