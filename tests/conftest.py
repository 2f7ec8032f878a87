"""What every test runs under."""

from hypothesis import settings

# No deadline: the machines that run the tests are busy, and the first call of a library in a process is slow.
settings.register_profile("sightline", deadline=None, max_examples=60)
settings.load_profile("sightline")
