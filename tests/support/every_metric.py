"""A gateway with every option on, and traffic that gives every metric a reason to be shown."""

from braid import eventually
from traffic import CLIENT, CONSUMER, ERROR, PRODUCER, log, logs_request, post, span, spans_request, trace_id


def everything(ports):
    """The configuration. Nobody listens at the sinks' ports, so what is left at the end is lost: exit code 1."""
    return {
        "metrics": {
            "dialect": "both", "histograms": "both", "target_info": True, "status_message": True, "events": True,
            "exceptions": True, "exception_message": True, "errors": ["status", "http_5xx", "http_4xx", "grpc"],
            "dimensions": ["zone"], "names": "templates",
            "graph": {"wait": "100ms", "connection_info": True, "messaging_latency": True, "virtual_node_label": True},
            "ingested": {"exemplars": {"enabled": True}},
        },
        "correlate": {"settle": "100ms"},
        "receivers": {"prometheus": {"remote_write": {"enabled": True, "listen": f"127.0.0.1:{ports[0]}"}}},
        "filters": [{"name": "one", "action": "drop", "match": [{"field": "span_name", "pattern": "^dropped$"}]}],
        "sinks": {
            "otlp": {"type": "otlp_grpc", "endpoint": f"http://127.0.0.1:{ports[1]}",
                     "derived_metrics": {"enabled": True, "interval": "100ms"}},
            "prometheus": {"type": "prometheus_remote_write", "endpoint": f"http://127.0.0.1:{ports[2]}/api/v1/write",
                           "interval": "100ms"},
            "loki": {"type": "loki", "endpoint": f"http://127.0.0.1:{ports[3]}"},
        },
        "shutdown": {"drain_deadline": "0ms"},
    }


def feed(braid):
    """A trace that calls, fails and says an exception, a message, a log; waits until all of it shows."""
    trace = trace_id()
    root = span(trace, "checkout", status=ERROR, zone="z1")
    call = span(trace, "calls", root.span_id, CLIENT, **{"peer.service": "bank"})
    root.events.add(name="exception").attributes.add(key="exception.type").value.string_value = "E"
    sent = span(trace_id(), "send", kind=PRODUCER)
    got = span(sent.trace_id, "receive", sent.span_id, CONSUMER)
    assert post(braid.http, spans_request("shop", [root, call, sent], **{"host.name": "h"}))[0] == 200
    assert post(braid.http, spans_request("mail", [got]))[0] == 200
    assert post(braid.http, logs_request("shop", [log("paid", root)]))[0] == 200
    for sign, only in (('server="bank"', "derived"), ("self_spans", "derived"), ('server="mail"', "derived"),
                       ("braid_push_rounds", "self")):
        eventually(lambda: sign in braid.metrics(only=only))
