#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/node.h"
#include "config/schema.h"

namespace braid::config {

// A file that the configuration names.
struct FileUse {
  std::string path;  // of the file
  bool output = false;
  Diagnostic where;  // without message
};

// Checks `root` against `schema` and completes it: afterwards every property is there, in the schema's order,
// with its default where nothing was given. What is wrong is reported, once per mistake, and replaced by its
// default (Node::broken) or, where there is none, taken out together with the list item or named entry it
// belongs to, so that one run finds everything.
//
// This is our own walk and not valijson's (which tests/unit/config uses to check this one) because
// a message must name the place, what was expected and the nearest key, one message for one mistake; because
// valijson's `pattern` runs std::regex, which overflows the stack on long input, and its oneOf reports all
// alternatives; and because a value that came from a substitution has no JSON type yet.
//
// `files` gets every file named, with relative paths resolved against the directory of the source that names
// it
// (`directories`, by source); the Node's text is changed accordingly.
void Validate(const Schema& schema, const std::vector<std::string>& directories, Node* root,
              std::vector<Diagnostic>* errors, std::vector<FileUse>* files);

// The one of `candidates` that `word` is probably a misspelling of, or empty.
std::string Nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace braid::config
