#pragma once

#include <boost/json/value.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace re2 {
class RE2;
}

namespace braid::config {

// config/braid.schema.json, word for word.
std::string_view SchemaText();

// SchemaText() for editors: wherever a value is expected, a substitution is allowed too, because an editor
// sees the text before substitution, and nothing at all may stand for a map or a list. Indented JSON.
std::string EditorSchema();

// One node of the schema with $ref and allOf resolved: the subset of draft-07 that the file uses, plus
//   x-kind      what a text must be beyond its pattern: duration, size, share (a size or a percentage of
//   memory.budget), address, url, regex, input_file, output_file x-min/-max  limits of a duration or size,
//   written like one x-expected  what to call a valid value in messages x-example   a value for the
//   reference, where there is no default x-secret    never print the value
// A keyword outside that set is an error when the schema is compiled, so that none is silently ignored.
//
// A type of both string and array is a text or a list of `items`; the keywords of texts are then those of the
// one.
//
// oneOf is only used with a discriminator: a property that has a different `const` in every alternative.
struct Schema {
  enum class Kind { kNone, kDuration, kSize, kShare, kAddress, kUrl, kRegex, kInputFile, kOutputFile };

  std::string title;
  std::string description;
  std::string expected;
  std::string example;
  std::optional<boost::json::value> default_value;

  bool object = false, array = false, string = false, integer = false, number = false, boolean = false,
       nullable = false;

  // Objects.
  struct Property;
  std::vector<Property> properties;  // in order of the file
  std::vector<std::string> required;
  std::unique_ptr<Schema> additional;  // of maps with free keys; null: no other keys than `properties`
  std::shared_ptr<const re2::RE2> key_pattern;
  std::string key_expected;
  std::optional<size_t> max_properties;

  // Lists.
  std::unique_ptr<Schema> items;
  size_t min_items = 0;
  std::optional<size_t> max_items;
  bool unique_items = false;

  // Scalars.
  Kind kind = Kind::kNone;
  std::vector<std::string> values;  // enum, or the one const
  bool is_const = false;
  std::shared_ptr<const re2::RE2> pattern;
  size_t min_length = 0;
  std::optional<size_t> max_length;
  std::optional<int64_t> minimum, maximum;                     // of integers
  std::optional<double> exclusive_minimum, exclusive_maximum;  // of numbers
  std::string min, max;                                        // x-min, x-max
  bool secret = false;

  // Alternatives; then nothing else is set but title, description and default.
  std::vector<Schema> one_of;
  std::string discriminator;

  const Schema* Property(std::string_view key) const;

  // The alternative whose discriminator has this value, or null.
  const Schema* Alternative(std::string_view value) const;
};

struct Schema::Property {
  std::string key;
  Schema schema;
};

// The compiled SchemaText(). Thread rule: any thread; built at first use.
const Schema& RootSchema();

// Throws std::runtime_error for a keyword outside the subset, or a broken $ref.
Schema CompileSchema(std::string_view text);

// JSON with two blanks of indentation, for people.
std::string PrettyJson(const boost::json::value& value);

}  // namespace braid::config
