"""What all pages look at: one store, with its tables kept in memory between requests."""

from __future__ import annotations

import csv
import re
import threading
from collections.abc import Callable
from typing import Any

from sightline.classes import ClassMap
from sightline.config import Config
from sightline.errors import StoreError
from sightline.marks import Flags
from sightline.stages.report import lineage
from sightline.table import KEY
from sightline.thumbnails import Thumbnails, has_thumbnails
from sightline.tracking import Artifact, Tracker
from sightline.viewer.rows import Rows, Sources
from sightline.viewer.walk import latest_split

PINNED = re.compile(r":v\d+$")
"""A spec that means the same artifact for ever."""
KEPT = 2_000_000
"""Rows of joined tables that are kept in memory at once."""


class Viewer:
    """What the pages look at: one store, its tables kept in memory between requests.

    Args:
        config: says where the store is and which targets hold.
        tracker: reads the store.
    """

    def __init__(self, config: Config, tracker: Tracker) -> None:
        self.config, self.tracker, self.store = config, tracker, tracker.store
        self._kept: dict[Any, Any] = {}
        self._lock = threading.RLock()

    def raw(self, spec: str) -> Artifact:
        """The dataset called so; the latest one where the name is empty."""
        return self._artifact(spec, "raw_data", "sightline ingest")

    def evaluation(self, spec: str) -> Artifact:
        """The evaluation called so; the latest one where the name is empty."""
        return self._artifact(spec, "evaluation", "sightline evaluate")

    def lineage(self, evaluation: Artifact) -> tuple[Artifact, Artifact, Artifact, Artifact]:
        """Dataset, split, model and the evaluation itself."""
        return lineage(self.tracker, evaluation)

    def classes(self, spec: str) -> ClassMap:
        """The class map of a dataset, or of the one that an evaluation measured."""
        if not PINNED.search(spec):
            return self._classes(spec)
        found: ClassMap = self._once(("classes", spec), lambda: self._classes(spec))
        return found

    def flags(self, raw: Artifact) -> Flags:
        """The flags on a dataset's images."""
        return Flags(self.store, raw)

    def predictions(self, spec: str) -> dict[str, str]:
        """File_Name -> path of the predicted mask in the evaluation."""
        found: dict[str, str] = self._once(("predictions", spec), lambda: self._predictions(spec))
        return found

    def thumbnails(self, spec: str, name: str) -> dict[str, bytes]:
        """The small pictures that a dataset or an evaluation keeps of an image; nothing where it keeps none."""
        found: Thumbnails | None = self._once(("thumbnails", spec), lambda: self._thumbnails(spec))
        return found.get([name])[0] if found else {}

    def rows(self, data: str, a: str, b: str) -> Rows:
        """All images of a dataset with what the runs made of them."""
        raw = self.raw(data)
        split = None if a else self._split(raw)
        one, other = (self.evaluation(spec).spec if spec else "" for spec in (a, b))
        key = ("rows", raw.spec, one, other, split.spec if split else "")
        found: Rows = self._once(key, lambda: self._rows(raw, one, other))
        return found

    def places(self, data: str) -> Rows:
        """The images of a dataset, whatever runs they are joined with: for ids, names and paths."""
        raw = self.raw(data)
        with self._lock:
            loaded = [key for key in self._kept if key[:2] == ("rows", raw.spec)]
            return self._kept[loaded[-1]] if loaded else self.rows(data, "", "")

    def _artifact(self, spec: str, kind: str, command: str) -> Artifact:
        if not spec:
            found = [one for one in self.tracker.artifacts() if one.type == kind]
            if not found:
                raise StoreError(f"There is no {kind} in {self.store} yet: `{command}`.")
            return found[-1]
        artifact: Artifact = (
            self._once(("artifact", spec), lambda: self.tracker.get(spec))
            if PINNED.search(spec)
            else self.tracker.get(spec)  # `latest` is another one tomorrow
        )
        if artifact.type != kind:
            raise StoreError(f"{spec} is of type {artifact.type}, and {kind} is asked for.")
        return artifact

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What was made before under this key."""
        with self._lock:
            if key not in self._kept:
                self._kept[key] = make()
                self._forget(key)
            self._kept[key] = self._kept.pop(key)
            return self._kept[key]

    def _forget(self, latest: Any) -> None:
        """Let go of the joined tables that were not used for longest, until the rest is not too large."""
        tables = [each for each in self._kept if each[0] == "rows"]
        room = KEPT - sum(self._kept[each].total for each in tables)
        for old in tables:
            if room < 0 and old != latest:
                room += self._kept.pop(old).total

    def _classes(self, spec: str) -> ClassMap:
        artifact = self.tracker.get(spec) if spec else self.raw("")
        raw = self.lineage(artifact)[0] if artifact.type == "evaluation" else artifact
        return ClassMap.from_dict(raw.json("classes.json"), where=f"classes.json of {raw.spec}")

    def _predictions(self, spec: str) -> dict[str, str]:
        data = self.evaluation(spec).table("pred_table.parquet", [KEY, "Prediction"]).data
        return dict(zip(data[KEY].to_pylist(), data["Prediction"].to_pylist(), strict=True))

    def _thumbnails(self, spec: str) -> Thumbnails | None:
        artifact = self.tracker.get(spec)
        return Thumbnails(artifact) if has_thumbnails(artifact) else None

    def _rows(self, raw: Artifact, a: str, b: str) -> Rows:
        one, other = (self.evaluation(spec).table("pred_table.parquet") if spec else None for spec in (a, b))
        split = self.lineage(self.evaluation(a))[1] if a else self._split(raw)
        eda = raw.table("eda_table.parquet")
        return Rows(Sources(self.classes(raw.spec), eda, _stages(split), one, other, self.flags(raw)))

    def _split(self, raw: Artifact) -> Artifact | None:
        return latest_split(self.tracker, raw)


def _stages(split: Artifact | None) -> dict[str, str]:
    """File_Name -> subset; read without pandas, which takes longer to load than everything else that the page needs."""
    if split is None:
        return {}
    with split.path("data_split.csv").open(encoding="utf-8", newline="") as stream:
        return {row[KEY]: row["Stage"] for row in csv.DictReader(stream)}
