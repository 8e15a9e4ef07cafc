"""Runs Debian's Prometheus for a test, and asks it things."""

import json
import subprocess
import time
import urllib.parse
import urllib.request

from braid import eventually, free_ports, tool


class Prometheus:
    """A running one with its data in `folder`. Scrapes `target` if there is one; `arguments` are more of its flags."""

    def __init__(self, folder, target=None, features=("exemplar-storage",), arguments=(),
                 port=None):
        port = port or free_ports(1)[0]
        self.url = f"http://127.0.0.1:{port}"
        (folder / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "500ms", "scrape_timeout": "400ms"},
            "scrape_configs": [{"job_name": "braid", "static_configs": [{"targets": [target]}]}] if target else [],
        }))
        self._log = open(folder / "prometheus.log", "wb")
        self._log_path = folder / "prometheus.log"
        self._process = subprocess.Popen(
            [tool("prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{port}", f"--enable-feature={','.join(features)}", *arguments],
            stdout=self._log, stderr=subprocess.STDOUT)
        self.start = time.time()
        eventually(self._ready, 30)

    def _ready(self):
        assert self._process.poll() is None, self._log_path.read_text()[-2000:]
        try:
            return urllib.request.urlopen(self.url + "/-/ready", timeout=1).status == 200
        except OSError:
            return False

    def stop(self):
        self._process.terminate()
        self._process.wait(20)
        self._log.close()

    def api(self, path, **arguments):
        query = urllib.parse.urlencode(arguments)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as answer:
            body = json.load(answer)
        assert body["status"] == "success", body
        return body["data"]

    def value(self, query):
        """The value of a query with one result, or None."""
        result = self.api("query", query=query)["result"]
        assert len(result) <= 1, (query, result)
        return float(result[0]["value"][1]) if result else None
