"""Prometheus' own Go module reads what the remote write encoder writes."""

import json
import math
import os
import re
import shutil
import subprocess

import pytest

from braid import BINARY, CHECKOUT

HERE = os.path.dirname(os.path.abspath(__file__))
NOW = 1_700_000_000_000
CREATED = 1_600_000_000_500


@pytest.fixture(scope="module")
def read():
    if not shutil.which("go"):
        pytest.skip("no go here")
    reader = os.path.join(CHECKOUT, "build", "clients-go", "prompb")
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    have = subprocess.run(["go", "list", "-m"], cwd=os.path.join(HERE, "prompb"), env=environment, capture_output=True,
                          text=True, check=False)
    if have.returncode:
        pytest.skip(f"another go here: {have.stderr.strip()}")
    subprocess.run(["go", "build", "-mod=readonly", "-o", reader, "."], cwd=os.path.join(HERE, "prompb"), check=True,
                   env=environment, timeout=600)
    writer = os.path.join(os.path.dirname(os.path.dirname(BINARY)), "tests", "unit", "exporters", "encode", "remote_write",
                          "remote_write_body")
    assert os.access(writer, os.X_OK), "build remote_write_body"

    def run(version, step):
        body = subprocess.run([writer, version, str(NOW), str(step)], capture_output=True, check=True).stdout
        run = subprocess.run([reader, version], input=body, capture_output=True, check=False)
        assert run.returncode == 0, run.stderr.decode()
        found = {}
        for one in json.loads(run.stdout):
            key = tuple(sorted(one.pop("labels").items()))
            assert key not in found
            found[key] = one
        return found

    return run


def key(name, **labels):
    return tuple(sorted({"__name__": name, **labels}.items()))


ZONE = {"Upper": "first", "mode": "x", "zone": "a\\b\n"}


# Scenario: one of everything, in both versions.
# Guarantees: Prometheus' types, label checks and histogram validation take all of it; both versions hold the same
# series, values and exemplars; 2.0 has types, help, units and start times where they are known.
def test_everything(read):
    first, second = read("1", 1), read("2", 1)
    assert len(first) > 25 and first.keys() == second.keys()
    for one in first:
        for field in ("value", "histogram", "float", "time", "exemplars"):
            assert first[one].get(field) == second[one].get(field), (one, field)
        assert first[one]["time"] == NOW and not first[one].get("stale")
        assert "type" in second[one]
    calls = second[key("calls_total", **ZONE)]
    assert (calls["value"], calls["start"], calls["type"], calls["help"]) == ("4", CREATED, "counter", 'Say "hi".')
    assert calls["exemplars"] == [{"value": 0.5, "time": NOW - 5000, "labels": {
        "trace_id": "01020304050607080000000000000009", "span_id": "000000000000000a", "user": 'u"é'}}]
    assert "start" not in second[key("temp_celsius")] and second[key("temp_celsius")]["unit"] == "celsius"
    native = second[key("native_seconds", **ZONE)]
    assert native["start"] == CREATED and native["type"] == "histogram" and "float" not in native
    assert native["histogram"].startswith("{count:25, sum:5.5, [-") and "[-0.001,0.001]:2" in native["histogram"]
    buckets = {(float(low), float(high)): float(count) for low, high, count in
               re.findall(r"\(([-.e\d]+),([-.e\d]+)\]:(\d+)", native["histogram"])}
    (fullest,) = [bounds for bounds, count in buckets.items() if count == 10]
    assert fullest == pytest.approx((2 ** (6 / 8), 2 ** (7 / 8)))
    shares = second[key("native_seconds", odd="weights")]
    assert shares["float"] and math.isclose(float(shares["histogram"].split("count:")[1].split(",")[0]), 0.75 + 4 / 3)
    assert second[key("both_seconds")]["histogram"] and second[key("both_seconds_count")]["value"] == "7"


# Scenario: the end of everything, in both versions.
# Guarantees: what Prometheus takes for staleness markers, for every series, native histograms among them.
def test_markers(read):
    for version in ("1", "2"):
        ended = read(version, "end")
        assert ended.keys() == read(version, 0).keys()
        assert all(one["stale"] and one["time"] == NOW and not one["exemplars"] for one in ended.values())
