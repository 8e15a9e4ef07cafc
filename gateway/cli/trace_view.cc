#include "gateway/cli/trace_view.h"

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <set>
#include <unordered_map>
#include <vector>

#include "base/printable.h"
#include "gateway/json/json_read.h"

namespace braid::gateway::cli {
namespace {

namespace json = boost::json;

constexpr size_t kBar = 20;
constexpr size_t kDeepest = 24;  // levels that are still indented further

// ANSI: what a piece of text is, not how it looks.
enum class Tone { kPlain, kDim, kBold, kBad, kWarn, kGood };

// 64-bit numbers come as strings, as in OTLP JSON.
uint64_t Number(const json::object& object, std::string_view key) {
  const std::string_view text = JsonText(object, key);
  uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

bool StartsCharacter(char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }

// Characters, taken as one column each.
size_t Width(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), StartsCharacter));
}

// Cut to at most `width` columns, with an ellipsis.
std::string Cut(std::string text, size_t width) {
  if (Width(text) <= width) return text;
  size_t end = 0, columns = 0;
  while (end < text.size()) {
    if (StartsCharacter(text[end]) && columns++ == width - 1) break;
    ++end;
  }
  return text.substr(0, end) + "…";
}

std::string Pad(std::string text, size_t width) {
  const size_t have = Width(text);
  if (have < width) text.append(width - have, ' ');
  return text;
}

std::string PadLeft(const std::string& text, size_t width) {
  const size_t have = Width(text);
  return have < width ? std::string(width - have, ' ') + text : text;
}

// "1.20 s", "15.2 ms", "830 µs".
std::string Duration(int64_t ns) {
  const char* sign = ns < 0 ? "-" : "";
  const double magnitude = ns < 0 ? -static_cast<double>(ns) : static_cast<double>(ns);
  char text[48];
  if (magnitude >= 1e9) {
    std::snprintf(text, sizeof text, "%s%.2f s", sign, magnitude / 1e9);
  } else if (magnitude >= 1e6) {
    std::snprintf(text, sizeof text, "%s%.1f ms", sign, magnitude / 1e6);
  } else {
    std::snprintf(text, sizeof text, "%s%.0f µs", sign, magnitude / 1e3);
  }
  return text;
}

std::string Offset(uint64_t time, uint64_t from) {
  const auto delta = static_cast<int64_t>(time - from);
  return (delta < 0 ? "" : "+") + Duration(delta);
}

std::string Time(uint64_t ns) {
  const auto seconds = static_cast<time_t>(ns / 1'000'000'000);
  tm parts{};
  gmtime_r(&seconds, &parts);
  char text[64], out[80];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
  std::snprintf(out, sizeof out, "%s.%03d UTC", text, static_cast<int>(ns / 1'000'000 % 1000));
  return out;
}

std::string Plain(const json::value& value) {
  if (value.is_string()) return Printable({value.as_string().data(), value.as_string().size()});
  return Printable(json::serialize(value));
}

struct Span {
  const json::object* json = nullptr;
  std::string_view id, parent;
  uint64_t start = 0, duration = 0;
  std::vector<size_t> children;
  const char* note = "";  // why it stands at the top
};

class View {
 public:
  View(const json::object& trace, const TraceViewOptions& options)
      : trace_(trace), options_(options), width_(std::max<size_t>(options.width, 60)) {}

  std::string Run() {
    Collect();
    Header();
    Tree();
    Rest();
    for (const json::value& note : JsonList(trace_, "notes")) Line("note: " + Plain(note), Tone::kDim);
    return std::move(out_);
  }

 private:
  std::string Paint(std::string text, Tone tone) const {
    if (!options_.color) return text;
    const char* code = "";
    switch (tone) {
      case Tone::kPlain: return text;
      case Tone::kDim: code = "2"; break;
      case Tone::kBold: code = "1"; break;
      case Tone::kBad: code = "31"; break;
      case Tone::kWarn: code = "33"; break;
      case Tone::kGood: code = "32"; break;
    }
    return std::string("\x1b[") + code + 'm' + text + "\x1b[0m";
  }

  void Line(const std::string& text, Tone tone = Tone::kPlain) { out_ += Paint(text, tone) + '\n'; }

  void Collect() {
    std::unordered_map<std::string_view, size_t> by_id;
    for (const json::value& value : JsonList(trace_, "spans")) {
      if (!value.is_object()) continue;
      const json::object& one = value.as_object();
      Span span{.json = &one,
                .id = JsonText(one, "spanId"),
                .parent = JsonText(one, "parentSpanId"),
                .start = Number(one, "startUnixNano"),
                .duration = Number(one, "durationNano"),
                .children = {}};
      by_id.emplace(span.id, spans_.size());
      spans_.push_back(std::move(span));
    }
    for (const Span& span : spans_) {
      begin_ = begin_ == 0 ? span.start : std::min(begin_, span.start);
      end_ = std::max(end_, span.start + span.duration);
    }

    std::vector<size_t> order(spans_.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(),
                     [this](size_t a, size_t b) { return spans_[a].start < spans_[b].start; });
    for (const size_t i : order) {
      const auto parent = by_id.find(spans_[i].parent);
      if (!spans_[i].parent.empty() && parent != by_id.end() && parent->second != i) {
        spans_[parent->second].children.push_back(i);
        continue;
      }
      if (!spans_[i].parent.empty()) {
        spans_[i].note = parent == by_id.end() ? "its parent is not here" : "it names itself as its parent";
      }
      roots_.push_back(i);
    }
    AddCycles(order);
  }

  // Spans that no root leads to are on or below a circle of parents; the earliest becomes a root.
  void AddCycles(const std::vector<size_t>& order) {
    std::vector<bool> reached(spans_.size());
    const auto walk = [&](size_t root) {
      std::vector<size_t> stack{root};
      while (!stack.empty()) {
        const size_t i = stack.back();
        stack.pop_back();
        if (reached[i]) continue;
        reached[i] = true;
        stack.insert(stack.end(), spans_[i].children.begin(), spans_[i].children.end());
      }
    };
    for (const size_t root : roots_) walk(root);
    for (const size_t i : order) {
      if (reached[i]) continue;
      spans_[i].note = "its parents go in a circle";
      roots_.push_back(i);
      walk(i);
    }
  }

  void Header() {
    size_t logs = JsonList(trace_, "logs").size(), errors = 0;
    std::set<std::string_view> services;
    for (const Span& span : spans_) {
      logs += JsonList(*span.json, "logs").size();
      errors += JsonText(*span.json, "status") == "error" ? 1 : 0;
      services.insert(JsonText(*span.json, "service"));
    }
    std::string state = Printable(JsonText(trace_, "state"));
    if (const std::string_view verdict = JsonText(trace_, "verdict"); !verdict.empty()) {
      state += ", " + Printable(verdict);
    }
    out_ += Paint("Trace " + Printable(JsonText(trace_, "traceId")), Tone::kBold) + "  " + state + '\n';
    std::string line =
        begin_ == 0 ? "" : Time(begin_) + " · " + Duration(static_cast<int64_t>(end_ - begin_)) + " · ";
    line +=
        Count(spans_.size(), "span") + " in " + Count(services.size(), "service") + ", " + Count(logs, "log");
    out_ += line + ", " + Paint(Count(errors, "error"), errors > 0 ? Tone::kBad : Tone::kPlain) + "\n\n";
  }

  static std::string Count(size_t n, const std::string& what) {
    return std::to_string(n) + ' ' + what + (n == 1 ? "" : "s");
  }

  // Depth first without recursion: a trace may be one chain of a million spans.
  void Tree() {
    struct Step {
      size_t span;
      size_t depth;
    };
    std::vector<Step> stack;
    std::vector<bool> shown(spans_.size());
    for (auto root = roots_.rbegin(); root != roots_.rend(); ++root) stack.push_back({*root, 0});
    while (!stack.empty()) {
      const Step step = stack.back();
      stack.pop_back();
      if (shown[step.span]) continue;
      shown[step.span] = true;
      ShowSpan(spans_[step.span], step.depth);
      const std::vector<size_t>& children = spans_[step.span].children;
      for (auto child = children.rbegin(); child != children.rend(); ++child) {
        stack.push_back({*child, step.depth + 1});
      }
    }
  }

  static std::string Indent(size_t depth) { return std::string(2 * std::min(depth, kDeepest), ' '); }

  // Where on the trace's time line the span lies.
  std::string Bar(const Span& span) const {
    const double total = static_cast<double>(std::max<uint64_t>(end_ - begin_, 1));
    const auto column = [&](uint64_t time) {
      return static_cast<size_t>(static_cast<double>(time - begin_) / total * static_cast<double>(kBar));
    };
    const size_t from = std::min(column(span.start), kBar - 1);
    const size_t to = std::clamp(column(span.start + span.duration), from + 1, kBar);
    std::string bar(from, ' ');
    for (size_t i = from; i < to; ++i) bar += "█";
    return '|' + bar + std::string(kBar - to, ' ') + '|';
  }

  void ShowSpan(const Span& span, size_t depth) {
    const json::object& one = *span.json;
    const std::string indent = Indent(depth);
    const bool failed = JsonText(one, "status") == "error";
    std::string kind = Printable(JsonText(one, "kind"));
    if (kind == "internal") kind.clear();

    // Name on the left, then offset, duration and bar in columns of their own.
    const size_t left = width_ - (kBar + 2) - 2 * 11;
    std::string what = Printable(JsonText(one, "service")) + "  " + Printable(JsonText(one, "name"));
    if (!kind.empty()) what += " (" + kind + ')';
    if (failed) what = "✗ " + what;
    std::string line =
        Paint(Pad(indent + Cut(what, left - indent.size() - 1), left), failed ? Tone::kBad : Tone::kBold);
    line += PadLeft(Offset(span.start, begin_), 10) + ' ' +
            PadLeft(Duration(static_cast<int64_t>(span.duration)), 10) + ' ' +
            Paint(Bar(span), failed ? Tone::kBad : Tone::kGood);
    out_ += line + '\n';

    const std::string below = indent + "  ";
    if (const std::string_view message = JsonText(one, "statusMessage"); !message.empty()) {
      Line(below + Cut("status: " + Printable(message), width_ - below.size()), Tone::kBad);
    }
    if (*span.note != '\0') {
      Line(below + "(" + span.note + (span.parent.empty() ? "" : ": " + Printable(span.parent)) + ')',
           Tone::kDim);
    }
    if (options_.attributes) Attributes(one, below);
    for (const json::value& event : JsonList(one, "events")) {
      if (event.is_object()) ShowEvent(event.as_object(), below);
    }
    for (const json::value& log : JsonList(one, "logs")) {
      if (log.is_object()) ShowLog(log.as_object(), below, false);
    }
  }

  void Attributes(const json::object& one, const std::string& indent) {
    for (const auto& [key, value] : JsonMap(one, "attributes")) {
      Line(indent + Cut(Printable({key.data(), key.size()}) + " = " + Plain(value), width_ - indent.size()),
           Tone::kDim);
    }
  }

  void ShowEvent(const json::object& event, const std::string& indent) {
    const uint64_t time = Number(event, "timeUnixNano");
    std::string text =
        "◦ " + (time == 0 ? "" : Offset(time, begin_) + " ") + "event " + Printable(JsonText(event, "name"));
    for (const char* key : {"exception.type", "exception.message"}) {
      const std::string_view value = JsonText(JsonMap(event, "attributes"), key);
      if (!value.empty()) text += (std::string_view(key).ends_with("type") ? ": " : " ") + Printable(value);
    }
    Line(indent + Cut(text, width_ - indent.size()), Tone::kDim);
  }

  void ShowLog(const json::object& log, const std::string& indent, bool with_service) {
    std::string severity = Printable(JsonText(log, "severityText"));
    if (severity.empty()) severity = Printable(JsonText(log, "severity"));
    std::transform(severity.begin(), severity.end(), severity.begin(),
                   [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
    Tone tone = Tone::kPlain;
    if (severity.starts_with("ERR") || severity.starts_with("FATAL")) tone = Tone::kBad;
    if (severity.starts_with("WARN")) tone = Tone::kWarn;

    const uint64_t time = Number(log, "timeUnixNano");
    std::string head = "• " + Pad(severity.empty() ? "LOG" : severity, 5) + ' ';
    if (time != 0 && begin_ != 0) head += PadLeft(Offset(time, begin_), 10) + "  ";
    if (time != 0 && begin_ == 0) head += Time(time) + "  ";
    if (with_service) head += Printable(JsonText(log, "service")) + "  ";
    const json::value* body = log.if_contains("body");
    const std::string text = body == nullptr || body->is_null() ? "" : Plain(*body);
    const size_t room = width_ - std::min(width_ - 10, indent.size() + Width(head));
    out_ += indent + Paint(head + Cut(text, room), tone) + '\n';

    const json::object& join = JsonMap(log, "join");
    const std::string state = Printable(JsonText(join, "state")),
                      reason = Printable(JsonText(join, "reason"));
    if (!state.empty()) {
      const std::string why = state + (reason.empty() ? "" : ": " + reason);
      Line(indent + "  " + Cut(why, width_ - indent.size() - 2), Tone::kDim);
    }
    if (options_.attributes) Attributes(log, indent + "    ");
  }

  void Rest() {
    const json::array& logs = JsonList(trace_, "logs");
    if (logs.empty()) return;
    out_ += "\nLogs that no span here has:\n";
    for (const json::value& log : logs) {
      if (log.is_object()) ShowLog(log.as_object(), "  ", true);
    }
  }

  const json::object& trace_;
  const TraceViewOptions& options_;
  const size_t width_;
  std::vector<Span> spans_;
  std::vector<size_t> roots_;
  uint64_t begin_ = 0, end_ = 0;
  std::string out_;
};

}  // namespace

Result<std::string> RenderTrace(std::string_view body, const TraceViewOptions& options) {
  const Result<json::value> value = ParseJson(body);
  if (!value.ok()) return value.status();
  if (!value->is_object() || JsonText(value->as_object(), "traceId").empty()) {
    return InvalidArgument("the answer is not a trace: it has no traceId");
  }
  return View(value->as_object(), options).Run();
}

}  // namespace braid::gateway::cli
