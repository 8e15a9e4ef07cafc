"""What a receiver can be told to do wrong, shared by the OTLP and the Loki receiver.

A receiver holds a list of rules and asks the first one that applies to a request. A rule can be
limited to a number of requests, after which the receiver behaves again.
"""

import dataclasses
import threading


@dataclasses.dataclass
class Rule:
    """`action` is one of:

    reject        answer as for a request that can never succeed (400, INVALID_ARGUMENT)
    unavailable   answer as for one that can be tried again (503, UNAVAILABLE), after `retry_after` s
    exhausted     as `unavailable`, but 429 / RESOURCE_EXHAUSTED
    partial       accept, and say in partial_success that one item was rejected
    hang          take the request, answer after `seconds` or when the receiver stops
    half_close    take the request and close the connection without an answer (HTTP only)
    huge          answer with a body of `seconds` MiB (HTTP only)
    """

    action: str
    matching: str = ""  # only requests with an item whose span name, log body or metric name contains it
    signal: str = ""  # only this signal
    times: int = -1  # -1: always
    seconds: float = 30.0
    retry_after: float = 0.0


class Rules:
    def __init__(self):
        self._lock = threading.Lock()
        self._rules = []
        self.released = threading.Event()  # set when the receiver stops: nothing hangs on

    def set(self, *rules):
        with self._lock:
            self._rules = [r if isinstance(r, Rule) else Rule(**r) for r in rules]

    def clear(self):
        self.set()

    def pick(self, signal, texts):
        """The rule for this request, or None. `texts` is called only when a rule looks inside."""
        with self._lock:
            for rule in self._rules:
                if rule.times == 0 or (rule.signal and rule.signal != signal):
                    continue
                if rule.matching and not any(rule.matching in text for text in texts()):
                    continue
                if rule.times > 0:
                    rule.times -= 1
                return rule
        return None
