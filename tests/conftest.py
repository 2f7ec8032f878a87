"""What every test runs under."""

import pytest
from hypothesis import settings

# No deadline: the machines that run the tests are busy, and the first call of a library in a process is slow.
settings.register_profile("sightline", deadline=None, max_examples=60)
settings.load_profile("sightline")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """Every server that a test talks to is one of its own, on this machine."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
