"""What every test runs under."""

import signal

import pytest
from hypothesis import settings

# No deadline: the machines that run the tests are busy, and the first call of a library in a process is slow.
settings.register_profile("sightline", deadline=None, max_examples=60)
settings.load_profile("sightline")

# A shell starts what it runs in the background deaf to Ctrl-C, and children inherit that: the tests send it to theirs.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """Every server that a test talks to is one of its own, on this machine."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
