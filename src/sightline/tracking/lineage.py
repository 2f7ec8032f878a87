"""Lineage: which runs read and wrote which artifact versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple


class Link(NamedTuple):
    """One edge between a run and an artifact version."""

    run_id: str
    run_name: str
    job_type: str
    direction: Literal["input", "output"]
    """`input`: the run read the version; `output`: it wrote it."""
    artifact: str
    """`name:vN`."""


def connected(links: Sequence[Link], artifact: str) -> list[Link]:
    """The links that can be reached from one artifact version over runs and versions, either way, in their order."""
    versions, runs, grown = {artifact}, set[str](), True
    while grown:
        before = len(versions) + len(runs)
        runs |= {link.run_id for link in links if link.artifact in versions}
        versions |= {link.artifact for link in links if link.run_id in runs}
        grown = len(versions) + len(runs) > before
    return [link for link in links if link.artifact in versions]
