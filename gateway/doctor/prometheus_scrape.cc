#include "gateway/doctor/prometheus_scrape.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "gateway/json/json_read.h"

namespace braid::gateway::doctor {
namespace {

namespace json = boost::json;

// Start times go through a page and a database as decimals.
constexpr double kSameStart = 0.01;

struct Target {
  std::string job, instance, url, health, error;
  double interval = 60;
};

struct Process {
  std::string job, instance;
  double start = 0;
};

std::string Matchers(const std::string& job, const std::string& instance) {
  // A series that was written and not scraped may have neither.
  return Matcher("job", job) + "," + Matcher("instance", instance);
}

class Finder {
 public:
  Finder(PrometheusApi& api, const BraidFacts& facts, Reporter& to)
      : api_(api), facts_(facts), to_(to), authority_(Authority(facts.url)) {}

  Scraped Run() {
    if (!ReadTargets() || !ReadProcesses()) return {};
    const Process* mine = Mine();
    const Target* target = mine != nullptr ? TargetOf(*mine) : nullptr;
    if (target == nullptr) target = TargetByUrl();

    if (target != nullptr && target->health == "down") return Down(*target);
    if (mine != nullptr) {
      if (target == nullptr) {
        to_.Ok("scrape", "its series are there" + Named(mine->job, mine->instance) +
                             ", but not by a scrape of this Prometheus (remote write or federation?)");
        return Found(mine->job, mine->instance, nullptr);
      }
      to_.Ok("scrape", "target " + target->url + Named(target->job, target->instance) + " is up");
      return Found(target->job, target->instance, target);
    }
    if (target != nullptr) return UpButUnknown(*target);
    return NotThere();
  }

 private:
  bool ReadTargets() {
    const Result<json::value> data = api_.Data("/api/v1/targets?state=active");
    if (!data.ok()) return Failed(data.status());
    for (const json::value& value : JsonList(JsonMap(*data), "activeTargets")) {
      const json::object& one = JsonMap(value);
      const json::object& labels = JsonMap(one, "labels");
      targets_.push_back({.job = std::string(JsonText(labels, "job")),
                          .instance = std::string(JsonText(labels, "instance")),
                          .url = std::string(JsonText(one, "scrapeUrl")),
                          .health = std::string(JsonText(one, "health")),
                          .error = std::string(JsonText(one, "lastError")),
                          .interval = ParsePrometheusDuration(JsonText(one, "scrapeInterval")).value_or(60)});
    }
    return true;
  }

  bool ReadProcesses() {
    const auto rows = api_.Vector("process_start_time_seconds and on (job, instance) braid_build_info");
    if (!rows.ok()) return Failed(rows.status());
    for (const Sample& row : *rows) {
      processes_.push_back({.job = row.label("job"), .instance = row.label("instance"), .start = row.value});
    }
    return true;
  }

  bool Failed(const Status& status) {
    to_.Fail("scrape", "cannot tell: " + status.message(),
             "--prometheus is to name a Prometheus, or what speaks all of its API.");
    return false;
  }

  // The series of this very process. Without a page to compare with, the only Braid there is.
  const Process* Mine() const {
    const double start = facts_.start_seconds();
    if (start <= 0) return processes_.size() == 1 ? &processes_.front() : nullptr;
    const auto found = std::find_if(processes_.begin(), processes_.end(), [&](const Process& one) {
      return std::abs(one.start - start) < kSameStart;
    });
    return found == processes_.end() ? nullptr : &*found;
  }

  const Target* TargetOf(const Process& process) const {
    const auto found = std::find_if(targets_.begin(), targets_.end(), [&](const Target& one) {
      return one.job == process.job && one.instance == process.instance;
    });
    return found == targets_.end() ? nullptr : &*found;
  }

  const Target* TargetByUrl() const {
    if (authority_.empty()) return nullptr;
    const auto found = std::find_if(targets_.begin(), targets_.end(),
                                    [&](const Target& one) { return Authority(one.url) == authority_; });
    return found == targets_.end() ? nullptr : &*found;
  }

  Scraped Found(const std::string& job, const std::string& instance, const Target* target) const {
    return {.found = true,
            .matchers = Matchers(job, instance),
            .by_target = target != nullptr,
            .interval_seconds = target != nullptr ? target->interval : 60};
  }

  Scraped Down(const Target& target) {
    to_.Fail("scrape",
             "target " + target.url + Named(target.job, target.instance) + " is down: " + target.error,
             DownAdvice(target.error));
    return {};
  }

  static std::string DownAdvice(const std::string& error) {
    const auto says = [&](const char* text) { return error.find(text) != std::string::npos; };
    const std::string job = "In prometheus.yml, in Braid's job under scrape_configs:\n";
    if (says("sample limit exceeded")) return job + "  sample_limit: 0   # or above the size of Braid's page";
    if (says("body size limit exceeded"))
      return job + "  body_size_limit: 0   # or above the size of Braid's page";
    if (says("label_limit") || says("label_name_length_limit") || says("label_value_length_limit")) {
      return job + "  raise the limit that is named";
    }
    if (says("deadline exceeded") || says("Timeout")) {
      return job +
             "  scrape_timeout: 30s   # and scrape_interval no shorter\nor have fewer series: "
             "metrics.max_series";
    }
    if (says("connection refused") || says("no such host") || says("no route")) {
      return "Prometheus cannot reach it from where it runs. Braid listens on loopback only unless "
             "configured:\n"
             "  web:\n    listen: 0.0.0.0:9464   # with tls, or insecure: true\n"
             "and the job's targets are to name an address that Prometheus reaches.";
    }
    if (says("HTTP status 404")) return job + "  metrics_path: /metrics";
    if (says("HTTP status 401") || says("certificate") || says("tls")) {
      return job +
             "  scheme: https\n  tls_config: {ca_file: ..., cert_file: ..., key_file: ...}   # as web.tls "
             "asks";
    }
    return "The error is Prometheus' own; try from its machine:\n  curl -v <the target's URL>";
  }

  // It is scraped, but its newest series are not those of this process.
  Scraped UpButUnknown(const Target& target) {
    const std::string where = "target " + target.url + Named(target.job, target.instance);
    if (target.health != "up") {
      to_.Warn("scrape", where + " has not been scraped yet", "Ask again after the next scrape.");
      return {};
    }
    const bool own = std::any_of(processes_.begin(), processes_.end(), [&](const Process& one) {
      return one.job == target.job && one.instance == target.instance;
    });
    if (own && facts_.start_seconds() > 0) {
      to_.Warn("scrape",
               where +
                   " is up, but what it has is of another process: Braid was restarted since, or "
                   "another one answers there",
               "Ask again after the next scrape. If it stays: does " + facts_.url +
                   " reach the same Braid as " + target.url + "?");
    } else {
      to_.Warn("scrape", where + " is up, but without Braid's own metrics",
               "Scrape the whole page: Braid's alerts and its dashboards need braid_*. In its job under "
               "scrape_configs, no `params: {only: ...}`\nand no metric_relabel_configs that drop braid_.*");
    }
    return Found(target.job, target.instance, &target);
  }

  Scraped NotThere() {
    std::string message = "scrapes no Braid";
    if (!processes_.empty()) {
      message = "scrapes another Braid" + Named(processes_.front().job, processes_.front().instance) +
                ", not this one";
    }
    for (const Target& target : targets_) {
      if (target.job.find("braid") == std::string::npos || target.health == "up") continue;
      message += "; job '" + target.job + "' has target " + target.url + ", which is " + target.health +
                 (target.error.empty() ? "" : ": " + target.error);
      break;
    }
    const Result<net::HttpUrl> url = net::ParseHttpUrl(facts_.url);
    const std::string address = url.ok() ? url->authority : "127.0.0.1:9464";
    to_.Fail("scrape", message,
             "In prometheus.yml (with an address of Braid that Prometheus reaches):\n"
             "  scrape_configs:\n"
             "    - job_name: braid\n"
             "      static_configs:\n"
             "        - targets: ['" +
                 address + "']" + (url.ok() && url->tls ? "\n      scheme: https" : ""));
    return {};
  }

  static std::string Named(const std::string& job, const std::string& instance) {
    return " (job=\"" + job + "\", instance=\"" + instance + "\")";
  }

  PrometheusApi& api_;
  const BraidFacts& facts_;
  Reporter& to_;
  const std::string authority_;
  std::vector<Target> targets_;
  std::vector<Process> processes_;
};

}  // namespace

Scraped FindBraid(PrometheusApi& api, const BraidFacts& facts, Reporter& to) {
  return Finder(api, facts, to).Run();
}

}  // namespace braid::gateway::doctor
