"""Debian's Prometheus on a port of its own, scraping one target."""

import json
import subprocess
import urllib.parse
import urllib.request

from braid import eventually, free_ports, tool


class PrometheusServer:
    """Scrapes `target` every half second until it is stopped. `labels` are put on all its series; `features` are those
    of --enable-feature."""

    def __init__(self, target, folder, labels=None, features=()):
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        folder.mkdir(exist_ok=True)
        (folder / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "500ms", "scrape_timeout": "450ms"},
            "scrape_configs": [{"job_name": "braid", "honor_labels": True,
                                "static_configs": [{"targets": [target], "labels": labels or {}}]}],
        }))
        self._log_path = folder / "prometheus.log"
        self._log = open(self._log_path, "wb")
        arguments = [f"--enable-feature={','.join(features)}"] if features else []
        self._process = subprocess.Popen(
            [tool("prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{port}", *arguments], stdout=self._log, stderr=subprocess.STDOUT)
        try:
            eventually(self._scrapes, 40)
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._process.terminate()
        self._process.wait(20)
        self._log.close()

    def _scrapes(self):
        assert self._process.poll() is None, self._log_path.read_text()[-2000:]
        try:
            return self.vector("up == 1")
        except OSError:
            return False

    def api(self, path, **arguments):
        query = urllib.parse.urlencode(arguments, doseq=True)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=20) as answer:
            body = json.load(answer)
        assert body["status"] == "success", body
        return body["data"]

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
