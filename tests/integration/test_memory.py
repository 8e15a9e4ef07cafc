"""Memory under the heaviest load that loopback gives: what is resident against what Braid accounts for."""

import os
import subprocess
import time

import pytest

from braid import check_account

LOAD = os.path.join(os.path.dirname(os.path.dirname(os.environ["BRAID_BINARY"])), "tests", "bench", "braid_load")
BUDGET = 256 << 20

# Code, heap of the libraries, stacks, connections, the kernel's rounding: what no table counts.
OVERHEAD = 64 << 20


def accounted(status):
    memory = status["memory"]
    return memory["slabUsedBytes"] + memory["slabIdleBytes"] + memory["windowBytes"] + memory["seriesBytes"]


# Scenario: saturating spans and logs for ten seconds at a budget that they overrun, first without a sink, then with a
# sink that takes everything and one that hangs.
# Guarantees: in each second what is resident is within the budget, and within what the accounts name and a fixed
# overhead: memory that nobody counts does not grow with the load.
@pytest.mark.parametrize("trouble", ["no_sink", "sinks"])
def test_resident_memory_follows_the_account(trouble, start_braid, otlp):
    config = {"memory": {"budget": "256MiB"}, "threads": {"cores": 1}, "shutdown": {"drain_deadline": "1s"}}
    if trouble == "sinks":
        config["sinks"] = {
            "well": {"type": "file", "path": "/dev/null"},
            "hangs": {"type": "otlp_http", "endpoint": "http://127.0.0.1:9", "queue": {"max_bytes": "32MiB"}},
        }
    braid = start_braid(config)
    load = subprocess.Popen([LOAD, "--endpoint", braid.grpc.removeprefix("http://"), "--signals", "traces,logs"],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    load.stdin.write("run duration=10\n")
    load.stdin.close()
    samples = []
    while load.poll() is None:
        time.sleep(1)
        status = braid.status()
        samples.append((braid.rss(), accounted(status)))
        assert samples[-1][0] <= BUDGET, samples
        assert samples[-1][0] <= samples[-1][1] + OVERHEAD, samples
    assert load.returncode == 0, load.stdout.read()
    assert len(samples) >= 8, samples
    check_account(braid.status())
    assert braid.status()["correlation"]["spans"] > 100_000, load.stdout.read()
    print(f"{trouble}: resident against accounted, MiB:", [(rss >> 20, named >> 20) for rss, named in samples])
