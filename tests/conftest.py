"""For the Python tests in integration/ and clients/: finds tests/support, and gives them a gateway."""

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))

import braid as braid_support
from loki_receiver import LokiReceiver
from otlp_receiver import OtlpReceiver


def pytest_sessionstart(session):
    if not os.access(braid_support.BINARY, os.X_OK):
        pytest.exit(f"no gateway at {braid_support.BINARY}: build it, or set BRAID_BINARY", returncode=2)


@pytest.fixture
def otlp():
    with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture
def loki():
    with LokiReceiver() as receiver:
        yield receiver


@pytest.fixture
def start_braid():
    """start_braid(config) -> Braid, stopped after the test; a bad exit fails the test."""
    running = []

    def start(config=None, **more):
        gateway = braid_support.Braid(config, **more)
        running.append(gateway)
        return gateway

    yield start
    bad = [code for gateway in running if (code := gateway.stop()) not in gateway.may_end_with]
    assert not bad, f"braid ended with {bad}"
