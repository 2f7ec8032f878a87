"""A run told to a mirror after it is over, from its record, its metrics and its artifacts."""

from __future__ import annotations

from sightline.errors import StoreError
from sightline.tracking.artifact import Artifact
from sightline.tracking.mirror import Mirror
from sightline.tracking.records import RunRecord
from sightline.tracking.tracker import Tracker


def replay(tracker: Tracker, record: RunRecord, mirror: Mirror) -> None:
    """Tell the mirror what it would have been told while the run was under way.

    Raises:
        StoreError: an artifact of the run is missing, damaged, or another one by now. What the mirror raises passes
            through.
    """
    mirror.started(record)
    for spec in record.inputs:
        mirror.used(record, tracker.labelled(known_as(tracker, record, spec)))
    for step, metrics in tracker.backend.rows(record.id, record.name):
        mirror.logged(record, step, metrics)
    for spec in record.outputs:
        mirror.saved(record, tracker.labelled(known_as(tracker, record, spec)))
    mirror.ended(record)


def known_as(tracker: Tracker, record: RunRecord, spec: str) -> Artifact:
    """The artifact that the run knew by this name; StoreError where that is another one by now."""
    artifact = tracker.get(spec)
    if artifact.digest != record.digests.get(spec):
        raise StoreError(f"{spec} is no longer what the run {record.name} knew, so the run cannot be mirrored.")
    return artifact
