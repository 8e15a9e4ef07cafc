#include "config/schema.h"

#include <re2/re2.h>

#include <boost/json.hpp>
#include <set>
#include <stdexcept>

namespace braid::config {
namespace {

namespace json = boost::json;

std::string Text(const json::value& value) { return std::string(value.as_string()); }

Schema::Kind KindOf(const std::string& name) {
  if (name == "duration") return Schema::Kind::kDuration;
  if (name == "size") return Schema::Kind::kSize;
  if (name == "share") return Schema::Kind::kShare;
  if (name == "address") return Schema::Kind::kAddress;
  if (name == "url") return Schema::Kind::kUrl;
  if (name == "regex") return Schema::Kind::kRegex;
  if (name == "input_file") return Schema::Kind::kInputFile;
  if (name == "output_file") return Schema::Kind::kOutputFile;
  throw std::runtime_error("schema: unknown x-kind " + name);
}

std::shared_ptr<const re2::RE2> Pattern(const json::value& value) {
  auto pattern = std::make_shared<const RE2>(Text(value), RE2::Quiet);
  if (!pattern->ok()) throw std::runtime_error("schema: pattern " + Text(value) + ": " + pattern->error());
  return pattern;
}

class Compiler {
 public:
  explicit Compiler(const json::object& root) : root_(root) {}

  Schema Compile(const json::object& object) {
    Schema schema;
    Apply(object, &schema);
    if (!schema.one_of.empty()) FindDiscriminator(&schema);
    return schema;
  }

 private:
  const json::object& Resolve(const std::string& ref) const {
    constexpr std::string_view kPrefix = "#/definitions/";
    const json::value* definitions = root_.if_contains("definitions");
    const json::value* found = nullptr;
    if (ref.starts_with(kPrefix) && definitions != nullptr) {
      found = definitions->as_object().if_contains(ref.substr(kPrefix.size()));
    }
    if (found == nullptr) throw std::runtime_error("schema: no " + ref);
    return found->as_object();
  }

  // Lays `object` over what `schema` has so far.
  void Apply(const json::object& object, Schema* schema) {
    // What is referred to comes first, so that what stands beside the reference wins.
    if (const json::value* all = object.if_contains("allOf")) {
      for (const json::value& part : all->as_array()) Apply(part.as_object(), schema);
    }
    for (const auto& [name, value] : object) {
      if (name != "allOf") Keyword(name, value, schema);
    }
  }

  void Keyword(const std::string& name, const json::value& value, Schema* schema) {
    if (name == "$schema" || name == "definitions") return;
    if (name == "$ref") return Apply(Resolve(Text(value)), schema);
    if (name == "title") return void(schema->title = Text(value));
    if (name == "description") return void(schema->description = Text(value));
    if (name == "default") return void(schema->default_value = value);
    if (name == "type") return Types(value, schema);
    if (name == "oneOf") {
      for (const json::value& part : value.as_array()) schema->one_of.push_back(Compile(part.as_object()));
      return;
    }
    if (ObjectKeyword(name, value, schema) || ScalarKeyword(name, value, schema)) return;
    throw std::runtime_error("schema: keyword " + name + " is not supported");
  }

  bool ObjectKeyword(const std::string& name, const json::value& value, Schema* schema) {
    if (name == "properties") {
      for (const auto& [key, property] : value.as_object()) {
        schema->properties.push_back({.key = std::string(key), .schema = Compile(property.as_object())});
      }
    } else if (name == "required") {
      for (const json::value& key : value.as_array()) schema->required.push_back(Text(key));
    } else if (name == "additionalProperties") {
      if (value.is_bool() && value.get_bool()) throw std::runtime_error("schema: additionalProperties: true");
      if (value.is_object()) schema->additional = std::make_unique<Schema>(Compile(value.as_object()));
    } else if (name == "propertyNames") {
      schema->key_pattern = Pattern(value.at("pattern"));
      schema->key_expected = Text(value.at("x-expected"));
    } else if (name == "maxProperties") {
      schema->max_properties = value.to_number<size_t>();
    } else if (name == "items") {
      schema->items = std::make_unique<Schema>(Compile(value.as_object()));
    } else if (name == "minItems") {
      schema->min_items = value.to_number<size_t>();
    } else if (name == "maxItems") {
      schema->max_items = value.to_number<size_t>();
    } else if (name == "uniqueItems") {
      schema->unique_items = value.as_bool();
    } else {
      return false;
    }
    return true;
  }

  static bool ScalarKeyword(const std::string& name, const json::value& value, Schema* schema) {
    if (name == "enum") {
      for (const json::value& one : value.as_array()) schema->values.push_back(Text(one));
      schema->string = true;
    } else if (name == "const") {
      schema->values = {Text(value)};
      schema->is_const = schema->string = true;
    } else if (name == "pattern") {
      schema->pattern = Pattern(value);
    } else if (name == "minLength") {
      schema->min_length = value.to_number<size_t>();
    } else if (name == "maxLength") {
      schema->max_length = value.to_number<size_t>();
    } else if (name == "minimum") {
      schema->minimum = value.to_number<int64_t>();
    } else if (name == "maximum") {
      schema->maximum = value.to_number<int64_t>();
    } else if (name == "exclusiveMinimum") {
      schema->exclusive_minimum = value.to_number<double>();
    } else if (name == "exclusiveMaximum") {
      schema->exclusive_maximum = value.to_number<double>();
    } else if (name == "x-kind") {
      schema->kind = KindOf(Text(value));
    } else if (name == "x-min") {
      schema->min = Text(value);
    } else if (name == "x-max") {
      schema->max = Text(value);
    } else if (name == "x-expected") {
      schema->expected = Text(value);
    } else if (name == "x-example") {
      schema->example = Text(value);
    } else if (name == "x-secret") {
      schema->secret = value.as_bool();
    } else {
      return false;
    }
    return true;
  }

  static void Types(const json::value& value, Schema* schema) {
    const auto one = [&](const json::value& type) {
      const std::string name = Text(type);
      if (name == "object") return schema->object = true;
      if (name == "array") return schema->array = true;
      if (name == "string") return schema->string = true;
      if (name == "integer") return schema->integer = true;
      if (name == "number") return schema->number = true;
      if (name == "boolean") return schema->boolean = true;
      if (name == "null") return schema->nullable = true;
      throw std::runtime_error("schema: type " + name + " is not supported");
    };
    if (!value.is_array()) return void(one(value));
    for (const json::value& type : value.as_array()) one(type);
  }

  static void FindDiscriminator(Schema* schema) {
    for (const auto& [key, first] : schema->one_of.front().properties) {
      std::set<std::string> values;
      for (const Schema& alternative : schema->one_of) {
        const Schema* property = alternative.Property(key);
        if (property != nullptr && property->is_const) values.insert(property->values.front());
      }
      if (values.size() == schema->one_of.size()) schema->discriminator = key;
    }
    if (schema->discriminator.empty()) throw std::runtime_error("schema: oneOf without a discriminator");
  }

  const json::object& root_;
};

// Wraps every scalar schema below `schema`; see EditorSchema().
void AllowSubstitution(json::object* schema);

void AllowSubstitutionIn(json::value* value) {
  if (value->is_object()) AllowSubstitution(&value->as_object());
}

void AllowSubstitution(json::object* schema) {
  // What must stay literal: what an alternative is told apart by, and names.
  if (schema->contains("const")) return;
  for (const char* key : {"items", "additionalProperties"}) {
    if (json::value* part = schema->if_contains(key)) AllowSubstitutionIn(part);
  }
  for (const char* key : {"properties", "definitions"}) {
    if (json::value* parts = schema->if_contains(key)) {
      for (auto& [name, part] : parts->as_object()) AllowSubstitutionIn(&part);
    }
  }
  json::value* type = schema->if_contains("type");
  if (type == nullptr) return;
  if (type->is_string() && (type->as_string() == "object" || type->as_string() == "array")) {
    *type = json::array{*type, "null"};
    return;
  }
  if (type->is_array() && type->as_array().front() == "object") return;

  json::object own, plain;
  for (auto& [key, part] : *schema) {
    const bool annotation =
        key == "description" || key == "default" || std::string_view(key).starts_with("x-");
    (annotation ? own : plain)[key] = std::move(part);
  }
  own["anyOf"] =
      json::array{plain, json::object{{"type", "string"}, {"pattern", R"(\$\{(env|file):[^}]+\})"}}};
  *schema = std::move(own);
}

void Pretty(const json::value& value, const std::string& indent, std::string* out) {
  const std::string deeper = indent + "  ";
  if (value.is_object() && !value.as_object().empty()) {
    *out += '{';
    const char* separator = "\n";
    for (const auto& [key, member] : value.as_object()) {
      *out += separator + deeper + json::serialize(json::string_view(key)) + ": ";
      Pretty(member, deeper, out);
      separator = ",\n";
    }
    *out += '\n' + indent + '}';
  } else if (value.is_array() && !value.as_array().empty()) {
    *out += '[';
    const char* separator = "\n";
    for (const json::value& item : value.as_array()) {
      *out += separator + deeper;
      Pretty(item, deeper, out);
      separator = ",\n";
    }
    *out += '\n' + indent + ']';
  } else {
    *out += json::serialize(value);
  }
}

}  // namespace

const Schema* Schema::Property(std::string_view key) const {
  for (const auto& [name, schema] : properties) {
    if (name == key) return &schema;
  }
  return nullptr;
}

const Schema* Schema::Alternative(std::string_view value) const {
  for (const Schema& alternative : one_of) {
    if (alternative.Property(discriminator)->values.front() == value) return &alternative;
  }
  return nullptr;
}

Schema CompileSchema(std::string_view text) {
  const json::value root = json::parse({text.data(), text.size()});
  return Compiler(root.as_object()).Compile(root.as_object());
}

const Schema& RootSchema() {
  static const Schema root = CompileSchema(SchemaText());
  return root;
}

std::string PrettyJson(const json::value& value) {
  std::string out;
  Pretty(value, "", &out);
  out += '\n';
  return out;
}

std::string EditorSchema() {
  const std::string_view text = SchemaText();
  json::value root = json::parse({text.data(), text.size()});
  AllowSubstitution(&root.as_object());
  return PrettyJson(root);
}

}  // namespace braid::config
