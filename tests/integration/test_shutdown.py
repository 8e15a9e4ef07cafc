"""How the gateway leaves."""

import signal
import time

from braid import eventually
from traffic import GrpcSender, checkout, log, logs_request, span, spans_request, trace_id


# Scenario: SIGTERM while traces are undecided, logs wait for their spans and a batch is being filled.
# Guarantees: everything that was accepted is delivered, the undecided as well, and the process ends with 0, quickly.
def test_sigterm_drains(start_braid, otlp, loki):
    braid = start_braid({"sinks": {"backend": {"type": "otlp_grpc", "endpoint": otlp.grpc_endpoint},
                                   "loki": {"type": "loki", "endpoint": loki.endpoint}}})
    ghost = span(trace_id(), "never sent")
    with GrpcSender(braid.grpc) as sender:
        for _ in range(50):
            root, pay, logs = checkout(refused=True)
            sender.send(logs_request("shop", logs))
            sender.send(spans_request("shop", [pay]))  # Its root never comes: undecided for 30 s.
        sender.send(logs_request("shop", [log("waits for a span", ghost)]))
    assert otlp.counts()["traces"] == 0
    started = time.monotonic()
    assert braid.stop() == 0
    assert time.monotonic() - started < 15
    assert otlp.counts() == {"traces": 50, "logs": 101, "metrics": 0}
    assert len(loki.entries()) == 101


# Scenario: SIGTERM, while the sink cannot be reached.
# Guarantees: it gives up at the drain deadline, says what was lost, and ends.
def test_drain_deadline(start_braid):
    braid = start_braid({"sinks": {"backend": {"type": "otlp_http", "endpoint": "http://127.0.0.1:9"}},
                         "shutdown": {"drain_deadline": "1s"}})
    with GrpcSender(braid.grpc) as sender:
        sender.send(spans_request("shop", [span(trace_id(), "lost") for _ in range(25)]))
    started = time.monotonic()
    braid.terminate()
    braid.process.wait(20)
    assert 0.5 < time.monotonic() - started < 10
    assert "25" in braid.log() and "error" in braid.log().lower(), braid.log()


# Scenario: a second SIGTERM while the first is still draining.
# Guarantees: it stops at once.
def test_second_sigterm(start_braid):
    braid = start_braid({"sinks": {"backend": {"type": "otlp_http", "endpoint": "http://127.0.0.1:9"}},
                         "shutdown": {"drain_deadline": "60s"}})
    with GrpcSender(braid.grpc) as sender:
        sender.send(spans_request("shop", [span(trace_id(), "lost")]))
    braid.terminate()
    eventually(lambda: braid.get("/readyz")[0] != 200)
    assert braid.process.poll() is None
    started = time.monotonic()
    braid.may_end_with = {128 + signal.SIGTERM}
    braid.process.send_signal(signal.SIGTERM)
    braid.process.wait(10)
    assert time.monotonic() - started < 3


# Scenario: readiness during shutdown.
# Guarantees: /readyz stops saying yes before the listeners are gone, so that a load balancer can notice; /livez holds.
def test_not_ready_while_draining(start_braid):
    braid = start_braid({"sinks": {"backend": {"type": "otlp_http", "endpoint": "http://127.0.0.1:9"}},
                         "shutdown": {"drain_deadline": "5s"}})
    with GrpcSender(braid.grpc) as sender:
        sender.send(spans_request("shop", [span(trace_id(), "lost")]))
    assert braid.get("/livez")[0] == 200
    braid.terminate()
    eventually(lambda: braid.get("/readyz")[0] == 503, 4)
    assert braid.get("/livez")[0] == 200
    braid.process.wait(10)
