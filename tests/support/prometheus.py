"""Runs Debian's Prometheus for a test, and asks it things."""

import json
import subprocess
import time
import urllib.parse
import urllib.request

from braid import eventually, free_ports, tool


class Prometheus:
    """A running one with its data in `folder`, which is made if it is not there. Stopped by stop() or with the block.

    `target` is scraped every half second, if there is one; `labels` are put on all its series, and `honor_labels` says
    whether labels of that name on the page win. `features` are those of --enable-feature, `arguments` more flags, `job`
    more settings of the scrape job. `rules` are paths of rule files, `rule_groups` groups of rules; they are evaluated twice
    a second where they do not say otherwise."""

    def __init__(self, folder, target=None, features=("exemplar-storage",), arguments=(), port=None, labels=None,
                 honor_labels=False, job=None, rules=(), rule_groups=()):
        port = port or free_ports(1)[0]
        self.url = f"http://127.0.0.1:{port}"
        folder.mkdir(exist_ok=True)
        (folder / "rules.yml").write_text(json.dumps({"groups": list(rule_groups)}))
        (folder / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "500ms", "scrape_timeout": "450ms", "evaluation_interval": "500ms"},
            "rule_files": [str(path) for path in rules] + [f"{folder}/rules.yml"],
            "scrape_configs": [{"job_name": "braid", "honor_labels": honor_labels,
                                "static_configs": [{"targets": [target], "labels": labels or {}}],
                                **(job or {})}] if target else [],
        }))
        self._log_path = folder / "prometheus.log"
        self._log = open(self._log_path, "wb")
        flags = [f"--enable-feature={','.join(features)}"] if features else []
        self._process = subprocess.Popen(
            [tool("prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{port}", *flags, *arguments],
            stdout=self._log, stderr=subprocess.STDOUT)
        self.start = time.time()
        self._wait(self._ready, 30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def scraping(self, seconds=40):
        """Waits until the target has been scraped, which begins some seconds after it is ready. Returns itself."""
        self._wait(lambda: self.vector("up == 1"), seconds)
        return self

    def _wait(self, what, seconds):
        def look():
            assert self._process.poll() is None, self._log_path.read_text()[-2000:]
            try:
                return what()
            except OSError:
                return False

        try:
            eventually(look, seconds)
        except BaseException:
            self.stop()
            raise

    def _ready(self):
        return urllib.request.urlopen(self.url + "/-/ready", timeout=1).status == 200

    def stop(self):
        self._process.terminate()
        self._process.wait(20)
        self._log.close()

    def api(self, path, **arguments):
        query = urllib.parse.urlencode(arguments, doseq=True)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=20) as answer:
            body = json.load(answer)
        assert body["status"] == "success", body
        return body["data"]

    def value(self, query):
        """The value of a query with one result, or None."""
        result = self.api("query", query=query)["result"]
        assert len(result) <= 1, (query, result)
        return float(result[0]["value"][1]) if result else None

    def vector(self, query, at=None):
        """{frozenset of labels: float, or the JSON of a native histogram}: an instant query."""
        found = self.api("query", query=query, **({"time": at} if at else {}))["result"]
        return {frozenset(row["metric"].items()): float(row["value"][1]) if "value" in row else row["histogram"][1]
                for row in found}

    def one_step(self, query, at):
        """The same through query_range, with one step."""
        found = self.api("query_range", query=query, start=at, end=at, step="15s")["result"]
        result = {}
        for row in found:
            ((_, value),) = row["values"]
            result[frozenset(row["metric"].items())] = float(value)
        return result
