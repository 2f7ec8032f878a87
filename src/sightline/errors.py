"""The tree of errors. A user's mistake raises one of these; the command line prints it without a traceback.

SightlineError                  exit code 1
├── ConfigError                 2   a setting, a flag or `sightline.yaml`
├── DataError                   3   the images, the masks, the class map
├── SourceError                 4   a named dataset that cannot be fetched
├── SplitError                  5   a split that cannot be made
├── TrainingError               6   weights that cannot be had, a training that cannot start
├── StoreError                  7   the tracker and its artifacts: missing, damaged, full disk
└── MirrorError                 8   the mirror in W&B: no key, no answer, refused
"""


class SightlineError(Exception):
    """Base of every error that Sightline raises on purpose: its text says what, where, how many and what to do."""

    exit_code = 1


class ConfigError(SightlineError):
    """A setting, a flag or `sightline.yaml` does not fit."""

    exit_code = 2


class DataError(SightlineError):
    """The images, the masks or the class map do not fit together."""

    exit_code = 3


class SourceError(SightlineError):
    """A named dataset could not be fetched or unpacked."""

    exit_code = 4


class SplitError(SightlineError):
    """A split that keeps groups together cannot be made from these images."""

    exit_code = 5


class TrainingError(SightlineError):
    """A training cannot start or go on: weights that cannot be had, a checkpoint that does not fit."""

    exit_code = 6


class StoreError(SightlineError):
    """The tracker's store: an artifact that is missing or damaged, a disk that is full."""

    exit_code = 7


class MirrorError(SightlineError):
    """The mirror in W&B: there is no key, W&B does not answer or refuses."""

    exit_code = 8
