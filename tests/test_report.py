"""The report, on hand-made artifacts of a small walk: synthetic scenes, predictions that are wrong on purpose."""

import base64
import csv
import dataclasses
import functools
import hashlib
import io
import itertools
import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import get_args, get_type_hints

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sightline.classes import ROAD_SCENE, ClassMap
from sightline.config import Train, parse_config
from sightline.errors import ConfigError, StoreError
from sightline.reporting import pictures, training
from sightline.reporting.examples import choose_examples, choose_samples
from sightline.reporting.figures import confusion, iou_bars
from sightline.reporting.material import open_material, read_confusion
from sightline.reporting.results import confusions, judge, results
from sightline.stages.report import lineage, looks_at_test, report
from sightline.synth import draw_scene
from sightline.table import Table
from sightline.tracking import RunRecord, Tracker, open_tracker
from sightline.tracking.none import MemoryBackend
from sightline.wording import listed, percent, plural, score, short

TRAIN = {
    "recipe": "default", "arch": "unet", "encoder": "resnet18", "image_size": [180, 320], "batch_size": 8, "epochs": 6,
    "lr": 0.002, "augment": "flip", "class_weights": "sqrt", "pretrained": False, "weights": "", "device": "auto",
}  # fmt: skip


@dataclass
class Walk:
    """What a walk is made of; a test changes what it is about."""

    name: str = "town"
    classes: ClassMap = ROAD_SCENE
    drives: int = 6
    frames: int = 2
    size: tuple[int, int] = (60, 96)
    stages: tuple[str, ...] = ("train", "train", "train", "valid", "valid", "test")
    files: dict[int, str] = field(default_factory=dict)
    subset: str = "valid"
    licence: str | None = "Drawn by a program; do with it as you like."
    shifts: tuple[int, ...] = (0, 3, 9, 1)
    interval: dict | None = None
    leaks: dict = field(default_factory=dict)
    skipped: list = field(default_factory=list)
    dropped: list = field(default_factory=list)
    warnings: list = field(default_factory=list)
    epochs: int = 6
    void: bool = True
    beyond_limit: int = 0
    made: dict = field(default_factory=dict)
    trained: dict = field(default_factory=dict)

    def build(self, tracker):
        """Save the four artifacts; returns the evaluation."""
        scenes = self._scenes()
        eda = self._eda(scenes)
        raw = self._save(tracker, "upload", self.name, "raw_data", self._raw_files(scenes, eda), {"data": "photos"})
        rows = eda.assign(Split=eda["Stage"])
        stored = {path: raw.files[path] for path in raw.files if path.split("/")[0] in ("images", "labels")}
        split_files = {**stored, **self._split_files(rows)}
        split = self._save(tracker, "data_split", f"{self.name}_split", "split_data", split_files, {"raw": raw.spec})
        model = self._save(
            tracker, "training", f"{self.name}_model", "model", self._model_files(split), {"split": split.spec}
        )
        name = f"{self.name}_eval" + ("_test" if self.subset == "test" else "")
        files = self._evaluation_files(scenes, rows)
        metadata = {"model": model.spec, "split": split.spec}
        return self._save(
            tracker, "evaluation", name, "evaluation", files, metadata, {"evaluate": {"subset": self.subset}}
        )

    def _save(self, tracker, job, name, kind, files, metadata, config=None):
        with tracker.run(job, config=config or {}) as run:
            paths = {}
            for number, (path, content) in enumerate(files.items()):
                paths[path] = content
                if isinstance(content, bytes):
                    paths[path] = run.scratch / str(number)
                    paths[path].write_bytes(content)
                elif isinstance(content, Table):
                    paths[path] = content.write(run.scratch / str(number))
            return run.save(name, kind, paths, metadata | self.made.get(job, {}))

    def _scenes(self):
        scenes = {}
        for number in range(self.drives * self.frames):
            drive, frame = divmod(number, self.frames)
            image, mask = drawn(drive, 4 * frame, self.size)
            mask = np.where(mask < len(self.classes), mask, 255).astype(np.uint8)
            if self.void:
                mask[-2:] = 255
            scenes[self.files.get(number, f"d{drive:02}-{frame:03}.jpg")] = (f"d{drive:02}", frame, image, mask)
        return scenes

    def _eda(self, scenes):
        rows = []
        for name, (drive, frame, image, mask) in sorted(scenes.items()):
            row = {
                "File_Name": name, "Image": f"images/{name}", "Mask": f"labels/{stem(name)}_mask.png", "Group": drive,
                "Drive": drive, "Frame": frame, "Width": mask.shape[1], "Height": mask.shape[0], "Split": "None",
                "Published": None, "PHash": "0" * 16, "Brightness": float(image.mean()),
            }  # fmt: skip
            row |= {label: int((mask == index).any()) for index, label in enumerate(self.classes.names)}
            row |= {f"{label}_share": float((mask == index).mean()) for index, label in enumerate(self.classes.names)}
            row |= {"ignored_share": float((mask == 255).mean()), "Stage": self.stages[int(drive[1:])]}
            rows.append(row)
        return pd.DataFrame(rows)

    def _raw_files(self, scenes, eda):
        files = {f"images/{name}": jpeg(image) for name, (_, _, image, _) in scenes.items()}
        files |= {f"labels/{stem(name)}_mask.png": png(mask) for name, (_, _, _, mask) in scenes.items()}
        layout = {
            "name": "bdd-simple", "about": "The group is the drive.", "images": ["images/{stem}.jpg"],
            "mask": "labels/{stem}_mask.png", "group": "^(?P<group>[^-]+)-", "published": False, "use_published": False,
        }  # fmt: skip
        ingest = {"layout": layout, "images": len(eda), "beyond_limit": self.beyond_limit, "skipped": self.skipped}
        ingest |= {"warnings": []}
        files |= {"ingest.json": dump(ingest), "classes.json": self.classes.to_json().encode()}
        files["eda_table.parquet"] = Table.from_pandas(eda.drop(columns="Stage"), self.classes)
        if self.licence is not None:
            files["LICENSE.txt"] = self.licence.encode()
        return files

    def _split_files(self, rows):
        shares = []
        for label in self.classes.names:
            one = {"Class": label}
            for subset in ("all", "train", "valid", "test"):
                chosen = rows if subset == "all" else rows[rows["Stage"] == subset]
                one |= {
                    f"{subset}_images": int(chosen[label].sum()),
                    f"{subset}_share": chosen[f"{label}_share"].mean(),
                }
            shares.append(one)
        counts = {
            subset: {"images": len(chosen), "groups": chosen["Group"].nunique(), "drives": chosen["Drive"].nunique()}
            for subset in ("train", "valid", "test")
            for chosen in [rows[rows["Stage"] == subset]]
        }
        leaks = {
            "groups": [], "near_duplicates": [], "near_duplicate_count": 0, "near_duplicate_bits": 4, "touching": [],
        }  # fmt: skip
        document = {
            "method": "stratified-group-k-fold", "seed": 42, "folds": 10, "test_folds": [0], "valid_folds": [1],
            "stratify": ["bicycle"], "subsets": counts, "dropped": self.dropped, "leaks": leaks | self.leaks,
            "warnings": self.warnings,
        }  # fmt: skip
        return {
            "split.json": dump(document),
            "eda_table_data_split.parquet": Table.from_pandas(rows, self.classes),
            "class_shares.parquet": Table.from_pandas(pd.DataFrame(shares)),
            "data_split.csv": rows[["File_Name", "Stage"]].to_csv(index=False).encode(),
            "classes.json": self.classes.to_json().encode(),
        }

    def _model_files(self, split):
        epochs = np.arange(1, self.epochs + 1)
        history = {"epoch": epochs, "train_loss": 1.9 * np.exp(-epochs / 3), "valid_loss": 2.0 * np.exp(-epochs / 4)}
        history |= {"lr": 0.002 * np.sin(epochs / (self.epochs + 1) * np.pi), "miou": 0.6 * (1 - np.exp(-epochs / 3))}
        for index, label in enumerate(self.classes.names):
            curve = (0.95 - 0.13 * index) * (1 - np.exp(-epochs / 4))
            history[f"{label}_iou"] = np.where((epochs == 1) & (index == 2), np.nan, curve)
        best = max(1, self.epochs - 1)
        config = {
            "sightline": "0.1.0", "seed": 42, "train": TRAIN | {"epochs": self.epochs},
            "split": {"name": f"{self.name}_split", "digest": split.digest}, "best_epoch": best,
            "best_miou": float(history["miou"][best - 1]), "parameters": 14_328_354, "canvas": [192, 320],
            "train_images": self.stages.count("train") * self.frames,
            "valid_images": self.stages.count("valid") * self.frames,
        }  # fmt: skip
        return {
            "config.json": dump(config | self.trained),
            "classes.json": self.classes.to_json().encode(),
            "history.csv": pd.DataFrame(history).to_csv(index=False).encode(),
            "weights.safetensors": b"\x02\0\0\0\0\0\0\0{}",
        }

    def _evaluation_files(self, scenes, rows):
        files, table, total = {}, [], 0
        chosen = rows[rows["Stage"] == self.subset]
        for place, name in enumerate(chosen["File_Name"]):
            drive, _, _, mask = scenes[name]
            guess = self.predict(mask, self.shifts[place % len(self.shifts)])
            counts = confusion_of(mask, guess, len(self.classes))
            total = total + counts
            path = f"predictions/{stem(name)}.png"
            files[path] = png(guess)
            table.append(self._prediction(name, drive, path, counts))
        files["pred_table.parquet"] = Table.from_pandas(pd.DataFrame(table), self.classes)
        files["confusion.csv"] = self._confusion(total)
        files["summary.json"] = dump(self.summary(total, chosen, table))
        files["classes.json"] = self.classes.to_json().encode()
        return files

    def predict(self, mask, shift):
        """The ground truth moved to the right, small things lost on the way."""
        guess = np.roll(mask, shift, axis=1)
        guess[guess == 255] = 1
        if shift > 5:
            guess[(guess == 6) | (guess == 4)] = 0
        return guess

    def _prediction(self, name, drive, path, counts):
        ious = iou_of(counts)
        row = {"File_Name": name, "Group": drive, "Prediction": path, "loss": 1.0, "miou": mean_of(ious)}
        row |= {"pixel_accuracy": float(np.trace(counts) / max(counts.sum(), 1))}
        row |= {f"{label}_iou": iou for label, iou in zip(self.classes.names, ious, strict=True)}
        return row | {"confusion": counts.ravel().tolist()}

    def _confusion(self, total):
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["Target", *self.classes.names])
        writer.writerows([name, *row] for name, row in zip(self.classes.names, total.tolist(), strict=True))
        return stream.getvalue().encode()

    def summary(self, total, chosen, table):
        """`summary.json`, worked out anew."""
        ious, names = iou_of(total), self.classes.names
        majority = np.zeros_like(total)
        majority[:, 0] = total.sum(axis=1)
        interval = {"miou": None, "iou": dict.fromkeys(names), "level": 0.95, "resamples": 2000, "unit": "group"}
        interval |= {"reason": "2 groups with labelled pixels: resampling needs at least 10"} | (self.interval or {})
        return {
            "subset": self.subset, "images": len(chosen), "groups": chosen["Group"].nunique(), "final_loss": 0.61,
            "final_miou": mean_of(ious), "mean_image_iou": mean_of([row["miou"] for row in table]),
            "pixel_accuracy": float(np.trace(total) / total.sum()) if total.any() else None,
            "final_iou": dict(zip(names, ious, strict=True)),
            "interval": interval,
            "baseline": {
                "class": names[0], "miou": mean_of(iou_of(majority)), "pixel_accuracy": 0.6,
                "iou": dict(zip(names, iou_of(majority), strict=True)),
            },
        }  # fmt: skip


@functools.cache
def drawn(drive, frame, size):
    return draw_scene(3, drive, frame, size)


def stem(name):
    return name.rsplit(".", 1)[0]


def jpeg(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="JPEG", quality=88)
    return stream.getvalue()


def png(mask):
    stream = io.BytesIO()
    Image.fromarray(mask).save(stream, format="PNG")
    return stream.getvalue()


def dump(document):
    return json.dumps(document, indent=1).encode()


def confusion_of(truth, guess, size):
    counted = truth != 255
    flat = truth[counted].astype(np.int64) * size + guess[counted]
    return np.bincount(flat, minlength=size * size).reshape(size, size)


def iou_of(counts):
    union = counts.sum(axis=0) + counts.sum(axis=1) - np.diag(counts)
    return [float(hit / all_) if all_ else None for hit, all_ in zip(np.diag(counts), union, strict=True)]


def mean_of(values):
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


class Page(HTMLParser):
    """What a browser would make of the report, as far as the tests ask."""

    VOID = ("meta", "link", "img", "br", "input")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.links, self.ids, self.texts = [], [], [], [], []
        self.scripts, self.data, self.tables, self.attributes = [], {}, [], set()
        self._script = None
        self.feed(text)
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        self.attributes |= set(attrs)
        self.links += [attrs[name] for name in ("src", "href", "srcset", "action", "data", "poster") if name in attrs]
        self.ids += [attrs["id"]] if "id" in attrs else []
        if tag == "script":
            self._script = (attrs.get("id"), attrs.get("type"), [])
        if tag == "table":
            self.tables.append(["", []])
        if tag == "tr":
            self.tables[-1][1].append([])
        if tag in ("th", "td"):
            self.tables[-1][1][-1].append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "script":
            name, kind, parts = self._script
            if kind == "application/json":
                self.data[name.removesuffix("-data")] = json.loads("".join(parts))
            else:
                self.scripts.append("".join(parts))
            self._script = None

    def handle_data(self, data):
        if self._script:
            self._script[2].append(data)
        elif "style" not in self.open:
            self.texts.append(data)
            if self.open and self.open[-1] == "caption":
                self.tables[-1][0] += data
            elif {"th", "td"} & set(self.open):
                self.tables[-1][1][-1][-1] += data

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    def row(self, caption, first):
        """The cells of the row that begins with `first`, in the table whose caption begins so; spaces tidied."""
        rows = next(rows for text, rows in self.tables if text.startswith(caption))
        return next(row for row in ([" ".join(cell.split()) for cell in row] for row in rows) if row[0] == first)


@pytest.fixture
def tracker(tmp_path):
    return Tracker(tmp_path / "store", "p", MemoryBackend("p"))


def settings(**sections):
    return parse_config({"data": {"name": "town", "data": "photos"}} | sections)


def page_of(artifact):
    return Page(artifact.path("report.html").read_text(encoding="utf-8"))


def material_of(tracker, evaluation):
    return open_material(*lineage(tracker, evaluation))


def test_equal_artifacts_give_equal_bytes(tmp_path):
    artifacts = []
    for place in ("here", "in/another place"):
        tracker = Tracker(tmp_path / place, "p", MemoryBackend("p"))
        Walk().build(tracker)
        artifacts.append(report(settings(), tracker))
    assert artifacts[0].digest == artifacts[1].digest
    text = artifacts[0].path("report.html").read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    assert not re.search(r"20\d\d-\d\d-\d\dT", Page(text).text)


def test_the_page_loads_nothing(tracker):
    Walk().build(tracker)
    artifact = report(settings(), tracker)
    assert list(artifact.files) == ["report.html"]
    assert (artifact.name, artifact.type) == ("town_report", "report")
    page = page_of(artifact)
    assert page.links and all(link.startswith(("#", "data:")) for link in page.links)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert not {"iframe", "object", "embed", "base", "form", "video", "audio"} & {tag for tag, _ in page.tags}
    assert not any(name.startswith("on") for name in page.attributes)
    assert len(page.ids) == len(set(page.ids))
    style = re.search(r"<style>(.*?)</style>", artifact.path("report.html").read_text(encoding="utf-8"), re.S)[1]
    assert "url(" not in style and "@import" not in style


def test_the_policy_allows_the_two_scripts_by_digest_and_no_address(tracker):
    Walk().build(tracker)
    page = page_of(report(settings(), tracker))
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in page.scripts]
    assert rules["default-src"] == "'none'" and rules["img-src"] == "data:"
    assert rules["script-src"].split() == [f"'sha256-{digest}'" for digest in digests]
    assert len(page.scripts) == 2 and "http" not in policy and "*" not in policy
    drawn = {attrs["id"] for attrs in page.all("div") if attrs.get("class") == "plot"}
    assert drawn == set(page.data) and {"iou-bars", "confusion", "losses", "presence", "subset-shares"} <= drawn


def test_who_does_not_see_finds_words(tracker):
    Walk().build(tracker)
    page = page_of(report(settings(), tracker))
    assert page.all("html") == [{"lang": "en"}]
    assert page.all("img") and all(image["alt"] for image in page.all("img"))
    assert all(attrs["aria-label"] for attrs in page.all("div") if attrs.get("class") == "plot")
    assert len(page.all("caption")) == len(page.all("table")) > 5
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels))


HOSTILE = ("<b>bold</b>", "</script><script>alert(1)</script>", "%{x} & $y$", "{{ 7 * 7 }}", "Target", "1", 'a,\n"b"')


def test_hostile_names_are_text(tracker):
    files = {0: "<img src=x onerror=alert(1)>.jpg", 7: "'\"><svg onload=alert(2)>.jpg"}
    skipped = [{"kind": "empty file", "file": "<i>a</i>.jpg", "detail": "<u>nothing</u>"}]
    walk = Walk(classes=ClassMap(HOSTILE), files=files, skipped=skipped, licence="<script>alert(3)</script>")
    walk.build(tracker)
    context = {"goal": "<script>alert(4)</script>", "users": "`<b>`"}
    config = settings(context=context, report={"title": "<h1>T</h1>"}, problem={"target_iou": {"<b>nope</b>": 0.5}})
    page = page_of(report(config, tracker))
    used = {tag for tag, _ in page.tags}
    assert not {"b", "i", "u", "svg"} & used
    assert len(page.scripts) == 2 and len(page.all("h1")) == 1
    assert not any(name.startswith("on") for name in page.attributes)
    for text in (*HOSTILE[:4], *context.values(), "<i>a</i>.jpg", "<u>nothing</u>", "<script>alert(3)</script>"):
        assert text.replace("`", "") in page.text.replace("`", "")
    assert any(image["alt"].startswith(files[7]) for image in page.all("img"))


def test_hostile_names_are_text_in_charts(tracker):
    walk = Walk(classes=ClassMap(HOSTILE))
    walk.build(tracker)
    page = page_of(report(settings(), tracker))
    strings = list(strings_in(page.data))
    assert any("&lt;b&gt;bold&lt;/b&gt;" in text for text in strings)
    assert not any("$" in text for text in strings)
    assert all(tag in ("<br>",) for text in strings for tag in re.findall(r"<[^>]*>", text))
    assert not any("hovertemplate" in json.dumps(chart) for chart in page.data.values())
    assert page.data["iou-bars"]["layout"]["yaxis"]["tickvals"] == list(range(8))


def test_every_chart_is_one_that_plotly_knows(tracker):
    import plotly.graph_objects as go

    Walk(epochs=2, interval={"miou": [0.1, 0.9], "iou": {"road": [0.1, 0.9]}}).build(tracker)
    charts = page_of(report(settings(problem={"target_miou": 0.5}), tracker)).data
    for spec in charts.values():
        go.Figure(spec)  # raises at a property or a value that there is not
    with pytest.raises(ValueError, match="bargapp"):
        go.Figure({"layout": charts["iou-bars"]["layout"] | {"bargapp": 1}})


def strings_in(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from strings_in(one)


@pytest.mark.parametrize(
    ("value", "target", "said"),
    [(0.5, 0.5, "met"), (0.49, 0.5, "not met"), (None, 0.5, "not measured"), (0.5, None, ""), (0.0, 0.0, "met")],
)
def test_met_or_not(value, target, said):
    assert judge(value, target) == said


def test_targets_stand_in_the_table_and_in_the_verdict(tracker):
    classes = ClassMap((*ROAD_SCENE.names, "tram"))
    evaluation = Walk(classes=classes).build(tracker)
    targets = {"road": 0.1, "bicycle": 1.0, "tram": 0.2, "bycicle": 0.3}
    page = page_of(report(settings(problem={"target_miou": 0.99, "target_iou": targets}), tracker))
    ious = evaluation.json("summary.json")["final_iou"]
    assert page.row("Targets", "road") == ["road", "0.10", f"{ious['road']:.3f}", "✓ met"]
    assert page.row("Targets", "bicycle") == ["bicycle", "1.00", f"{ious['bicycle']:.3f}", "✗ not met"]
    assert page.row("Targets", "tram")[2:] == ["–", "○ not measured does not occur in the validation images"]
    assert page.row("Targets", "bycicle")[3].startswith("○ not measured")
    assert page.row("Targets", "background")[1::2] == ["–", "–"]
    assert page.row("Targets", "mIoU")[3] == "✗ not met"
    assert "The target of 0.99 for the mean IoU is not met" in page.text
    assert "Of 3 classes with a target, 1 met it (road)." in page.text
    assert f"Not met: bicycle ({ious['bicycle']:.2f} of 1.00)." in page.text
    assert "names bycicle, which the class map does not have" in page.text


def test_without_targets_and_context_it_says_how_to_set_them(tracker):
    Walk().build(tracker)
    text = page_of(report(settings(), tracker)).text
    assert "No target is set" in text and "target_iou: {road: 0.9, person: 0.4}" in text
    assert "cost_of_errors: what an error costs" in text


@pytest.mark.parametrize("task", ["Seven classes, a class for every pixel.", "Seven classes, a class for every pixel "])
def test_the_task_reads_well_whether_it_ends_in_a_full_stop_or_not(tracker, task):
    Walk().build(tracker)
    page = page_of(report(settings(problem={"task": task}), tracker))
    assert "The task is Seven classes, a class for every pixel: each pixel gets" in page.text


def test_a_class_that_the_subset_does_not_show_is_not_called_missed(tracker):
    walk = Walk(classes=ClassMap((*ROAD_SCENE.names, "tram")))
    walk.predict = lambda mask, shift: np.where(mask == 255, 0, np.where(np.arange(len(mask))[:, None] < 3, 7, mask))
    walk.predict = astype_uint8(walk.predict)
    evaluation = walk.build(tracker)
    assert evaluation.json("summary.json")["final_iou"]["tram"] == 0.0
    page = page_of(report(settings(problem={"target_iou": {"tram": 0.5}}), tracker))
    assert page.row("Targets", "tram")[3].startswith("○ not measured")
    assert "The model saw tram where there is none" in page.text


def astype_uint8(predict):
    return lambda mask, shift: predict(mask, shift).astype(np.uint8)


def test_undefined_is_a_dash_and_no_bar(tracker):
    evaluation = Walk(classes=ClassMap((*ROAD_SCENE.names, "tram"))).build(tracker)
    page = page_of(report(settings(), tracker))
    assert page.row("IoU on", "tram") == ["tram", "–", "–", "–", "–", "–", "0"]
    assert "precision where the prediction does" in page.text
    found = results(material_of(tracker, evaluation), settings().problem)
    chart = json.loads(iou_bars(found).spec)
    bars = next(trace for trace in chart["data"] if trace["type"] == "bar")
    assert bars["x"][-1] is None and bars["x"][1] is not None
    assert json.loads(confusion(found).spec)["data"][0]["z"][-1] == [None] * 8
    words = next(trace for trace in chart["data"] if trace.get("mode") == "text")
    assert words["y"] == [8] and words["text"] == ["– not defined"]
    assert "iou-curve-0" in page.data


def test_best_median_and_worst_images(tracker):
    walk = Walk(stages=("train", *["valid"] * 5), frames=2, shifts=(4, 0, 9, 2, 7, 1, 12, 3, 5, 6))
    evaluation = walk.build(tracker)
    table = evaluation.table("pred_table.parquet").to_pandas().sort_values("miou", ascending=False)
    ranked = table["File_Name"].tolist()
    examples = choose_examples(material_of(tracker, evaluation), 2)
    names = [[one.file_name for one in part] for part in (examples.best, examples.median, examples.worst)]
    assert names == [ranked[:2], ranked[4:6], [ranked[-1], ranked[-2]]]
    text = page_of(report(settings(report={"examples": 2}), tracker)).text
    order = [
        text.index(f"{one} group", text.index("Best, median and worst images By")) for one in itertools.chain(*names)
    ]
    assert order == sorted(order)
    worst = examples.worst[0]
    assert f"mIoU {worst.miou:.3f}" in text
    assert {name for name, _, _ in worst.ious} <= set(ROAD_SCENE.names)


@pytest.mark.parametrize(("frames", "sizes"), [(1, (1, 0, 1)), (2, (1, 1, 1)), (4, (2, 2, 2))])
def test_no_image_stands_in_two_places(tracker, frames, sizes):
    walk = Walk(frames=frames, void=False)
    material = material_of(tracker, walk.build(tracker))
    examples = choose_examples(material, 4)
    assert (len(examples.best), len(examples.median), len(examples.worst)) == sizes
    assert len({one.file_name for one in examples.all}) == len(examples.all)


def test_images_without_a_defined_miou_are_left_out_and_counted(tracker):
    material = material_of(tracker, Walk(frames=3).build(tracker))
    material.predictions.loc[1, "miou"] = np.nan
    examples = choose_examples(material, 50)
    assert examples.unmeasured == 1 and len(examples.all) == 3
    assert material.predictions["File_Name"][1] not in {one.file_name for one in examples.all}


def test_samples_are_of_train_and_show_each_class(tracker):
    material = material_of(tracker, Walk(drives=8, stages=("train",) * 6 + ("valid", "test")).build(tracker))
    samples = choose_samples(material)
    rows = material.rows.set_index("File_Name")
    assert 1 < len(samples) <= 6 and {rows.loc[one.file_name, "Stage"] for one in samples} == {"train"}
    train = rows[rows["Stage"] == "train"]
    for name in ROAD_SCENE.names:
        assert max(rows.loc[one.file_name, name] for one in samples) == train[name].max()


def test_the_reason_is_told_where_there_is_no_interval(tracker):
    Walk().build(tracker)
    page = page_of(report(settings(), tracker))
    assert "No interval is given. 2 groups with labelled pixels: resampling needs at least 10." in page.text
    assert "Few groups: the validation subset has 2." in page.text
    assert page.row("IoU on", "mIoU")[2] == "–"


def test_intervals_stand_in_text_table_and_chart(tracker):
    interval = {"miou": [0.412, 0.688], "iou": dict.fromkeys(ROAD_SCENE.names) | {"road": [0.7, 0.99]}, "reason": ""}
    evaluation = Walk(interval=interval).build(tracker)
    page = page_of(report(settings(), tracker))
    assert "95 % interval 0.41 to 0.69" in page.text and "No interval" not in page.text
    assert page.row("IoU on", "road")[2] == "0.70 to 0.99" and page.row("IoU on", "person")[2] == "–"
    road = evaluation.json("summary.json")["final_iou"]["road"]
    errors = next(one["error_x"] for one in page.data["iou-bars"]["data"] if "error_x" in one)
    assert errors["arrayminus"][1] == pytest.approx(road - 0.7)


def test_leaks_are_told_at_the_top(tracker):
    pair = {"a": "a.jpg", "b": "b.jpg", "a_subset": "train", "b_subset": "valid"}
    leaks = {
        "groups": [{"group": "d01", "subsets": ["train", "test"]}],
        "near_duplicates": [pair | {"distance": 3}],
        "near_duplicate_count": 7,
        "touching": [pair | {"drive": "d01", "frames_apart": 30}],
        "touching_count": 1,
    }
    dropped = [{"File_Name": "d02-001.jpg", "Group": "d02", "reason": "gap before valid"}]
    Walk(leaks=leaks, dropped=dropped, warnings=["bicycle is rare"]).build(tracker)
    page = page_of(report(settings(), tracker))
    assert "Leak: 1 group in more than one subset." in page.text
    assert "Leak: 7 pairs of near-identical images across subsets." in page.text
    assert page.row("Near-duplicate", "a.jpg") == ["a.jpg", "train", "b.jpg", "valid", "3"]
    assert page.row("Neighbouring", "a.jpg") == ["a.jpg", "train", "b.jpg", "valid", "d01", "30"]
    assert (
        "and 6 more" in page.text
        and "1 image left out" in page.text
        and "gap before valid" in page.text
        and "bicycle is rare" in page.text
    )


def test_alike_images_of_valid_and_test_are_no_leak_into_training(tracker):
    pair = {"a": "a.jpg", "b": "b.jpg", "a_subset": "valid", "b_subset": "test", "distance": 3}
    Walk(leaks={"near_duplicates": [pair], "near_duplicate_count": 1}).build(tracker)
    text = page_of(report(settings(), tracker)).text
    assert "1 pair of near-identical images in valid and test" in text and "Leak:" not in text
    assert "No group stands in two subsets. 1 pair of near-duplicate images across subsets" in text


def test_a_clean_split_is_said_to_be_clean(tracker):
    Walk().build(tracker)
    text = page_of(report(settings(), tracker)).text
    assert "No leak found." in text and "Leak:" not in text


def test_training_on_another_split_is_told(tracker):
    evaluation = Walk().build(tracker)
    material = material_of(tracker, evaluation)
    with tracker.run("training", config={}) as run:
        config = material.recipe | {"split": {"name": "town_split", "digest": "0" * 64}}
        (run.scratch / "config.json").write_text(json.dumps(config))
        files = dict(material.model.files) | {"config.json": run.scratch / "config.json"}
        model = run.save("town_model", "model", files, material.model.metadata)
    with tracker.run("evaluation", config={}) as run:
        (run.scratch / "more").write_text("another evaluation")
        files = dict(evaluation.files) | {"more": run.scratch / "more"}
        run.save("town_eval", "evaluation", files, {"model": model.spec, "split": material.split.spec})
    assert "The model was trained on town_split of another version" in page_of(report(settings(), tracker)).text


def test_best_epoch_is_marked_and_the_numbers_are_there(tracker):
    Walk(epochs=5).build(tracker)
    page = page_of(report(settings(), tracker))
    assert "Epoch 4 of 5 was kept" in page.text and "more epochs may help" not in page.text
    assert page.data["miou-curve"]["layout"]["shapes"][0]["x0"] == 4
    assert page.row("Loss, learning", "1")[5:8] != ["–"] * 3 and page.row("Loss, learning", "1")[7] == "–"
    lr = page.data["lr-curve"]["data"][0]
    assert page.data["lr-curve"]["layout"]["xaxis"]["dtick"] == 1
    assert lr["x"] == [1, 2, 3, 4, 5] and lr["y"][0] == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("changed", "loss", "augmentation"),
    [
        (
            {},
            "cross-entropy weighted by the inverse square root of the classes' pixels + Dice",
            "flips, left and right",
        ),
        ({"loss": "ce", "class_weights": "none", "augment": "none"}, "cross-entropy", "none"),
        ({"loss": "ce+lovasz", "class_weights": "none"}, "cross-entropy + Lovász", "flips, left and right"),
        ({"loss": "focal", "augment": "full"}, "focal", "fastai's aug_transforms"),
        ({"recipe": "course", "loss": "ce+dice"}, "cross-entropy", "fastai's aug_transforms"),
    ],
)
def test_how_it_was_trained_is_told_in_words(tracker, changed, loss, augmentation):
    Walk(trained={"train": TRAIN | changed, "device": "cuda", "precision": "fp16"}).build(tracker)
    page = page_of(report(settings(), tracker))
    assert page.row("How the model", "Loss")[1] == loss
    assert page.row("How the model", "Augmentation")[1] == augmentation
    assert page.row("How the model", "Computed")[1] == "on cuda in fp16"


def test_every_loss_and_augmentation_has_its_words():
    choices = {field.name: get_args(get_type_hints(Train)[field.name]) for field in dataclasses.fields(Train)}
    assert set(choices["loss"]) == set(training.LOSSES)
    assert set(choices["augment"]) == set(training.AUGMENTATIONS) | {"none", "full"}


def test_data_section_counts_what_is_there(tracker):
    skipped = [{"kind": "truncated file", "file": "images/x.jpg", "detail": "is cut off"}]
    Walk(skipped=skipped, beyond_limit=30).build(tracker)
    page = page_of(report(settings(), tracker))
    assert "12 images of 6 groups, each with a mask of 7 classes." in page.text
    assert page.row("Image sizes", "96 × 60") == ["96 × 60", "12"]
    eda = tracker.get("town").table("eda_table.parquet").to_pandas()
    assert page.row("Classes in", "ignored")[1:] == ["12", "100 %", f"{100 * eda['ignored_share'].mean():.2f} %"]
    assert page.row("Classes in", "bicycle")[1] == str(eda["bicycle"].sum())
    assert "1 problem: truncated file" in page.text and "images/x.jpg : is cut off" in page.text
    assert "The setting limit left 30 images out: this is a debugging subset." in page.text
    assert "A debugging subset: limit left 30 images out." in page.text
    assert "Drawn by a program" in page.text


def test_no_licence_is_told(tracker):
    Walk(licence=None).build(tracker)
    assert "No licence came with the data." in page_of(report(settings(), tracker)).text


def looked(name="town", subset="test", status="finished", job_type="evaluation", **config):
    config = config or {"evaluate": {"subset": subset}}
    return RunRecord("0", "r", job_type, status, config=config, inputs=(f"{name}_model:v0", f"{name}_split:v0"))


def test_looks_at_the_test_subset_are_counted():
    runs = [looked(), looked(), looked(subset="valid"), looked(name="other"), looked(status="failed")]
    runs += [looked(job_type="training"), looked(evaluate="test"), looked(subset="test", other=1)]
    assert looks_at_test(runs, "town") == 3 - 1


def test_the_report_says_how_often_the_test_subset_was_looked_at(tracker):
    Walk().build(tracker)
    first = report(settings(), tracker)
    assert "The test subset has not been looked at so far." in page_of(first).text
    for _ in range(2):
        Walk(subset="test").build(tracker)
    second = report(settings(), tracker)
    assert second.digest != first.digest
    assert "The test subset has been looked at twice." in page_of(second).text
    of_test = report(settings(evaluate={"subset": "test"}), tracker)
    assert of_test.metadata["evaluation"].startswith("town_eval_test:")
    assert of_test.name == "town_report_test"  # and the report on valid stays where it was
    assert "These images took no part in training" in page_of(of_test).text


def test_the_run_names_its_inputs_and_is_skipped_when_up_to_date(tracker, capsys):
    Walk().build(tracker)
    artifact = report(settings(), tracker)
    run = tracker.runs()[-1]
    assert (run.job_type, run.status, run.outputs) == ("report", "finished", ("town_report:v0",))
    assert run.inputs == ("town:v0", "town_split:v0", "town_model:v0", "town_eval:v0")
    assert artifact.metadata == {
        "raw": "town:v0", "split": "town_split:v0", "model": "town_model:v0", "evaluation": "town_eval:v0",
    }  # fmt: skip
    before = len(tracker.runs())
    assert report(settings(workers=3, store="x"), tracker).digest == artifact.digest
    assert len(tracker.runs()) == before
    assert report(settings(report={"title": "New"}), tracker).version == 1
    assert report(settings(), tracker, force=True).version == 0
    assert len(tracker.runs()) == before + 2


def test_a_copy_lies_where_people_find_it(tracker, capsys):
    Walk().build(tracker)
    artifact = report(settings(), tracker)
    copy = tracker.store / "reports" / "town_report.html"
    assert copy.read_bytes() == artifact.path("report.html").read_bytes()
    assert str(copy) in capsys.readouterr().err
    copy.write_text("torn")
    report(settings(), tracker)
    assert copy.read_bytes() == artifact.path("report.html").read_bytes()
    assert [path.name for path in copy.parent.iterdir()] == ["town_report.html"]


def test_an_artifact_that_is_no_evaluation_is_refused(tracker):
    Walk().build(tracker)
    with pytest.raises(ConfigError, match=r"town_model:v0 is of type model. A report needs an evaluation"):
        report(settings(), tracker, evaluation="town_model")
    with pytest.raises(StoreError, match="There is no artifact town_eval_test"):
        report(settings(evaluate={"subset": "test"}), tracker)


def test_an_evaluation_without_its_origin_is_refused(tracker):
    evaluation = Walk().build(tracker)
    with tracker.run("evaluation", config={}) as run:
        (run.scratch / "more").write_text("x")
        run.save("town_eval", "evaluation", dict(evaluation.files) | {"more": run.scratch / "more"}, {})
    with pytest.raises(StoreError, match="does not say which model it comes from"):
        report(settings(), tracker)


def test_a_poor_model_is_said_to_be_poor(tracker):
    walk = Walk()
    walk.predict = lambda mask, shift: np.zeros_like(mask)
    walk.build(tracker)
    text = page_of(report(settings(), tracker)).text
    assert "the model does no better, so it has learnt nothing of use yet" in text
    assert "100 % of the road pixels are taken for background ." in text


def test_a_subset_that_is_wholly_ignored_and_an_empty_one(tracker):
    walk = Walk(stages=("train",) * 5 + ("valid",), frames=1, epochs=1)
    scenes = walk._scenes()
    scenes["d05-000.jpg"][3][:] = 255
    walk._scenes = lambda: scenes
    walk.predict = lambda mask, shift: np.zeros_like(mask)
    walk.build(tracker)
    page = page_of(report(settings(problem={"target_miou": 0.5, "target_iou": {"road": 0.5}}), tracker))
    assert "no class could be measured, so there is no mean IoU" in page.text
    assert page.row("IoU on", "mIoU")[1] == "–" and page.row("IoU on", "road")[1] == "–"
    assert page.row("Targets", "mIoU")[3].startswith("○ not measured")
    assert "1 image without a pixel that counts is left out" in page.text
    assert page.row("Each class per subset", "road")[-2:] == ["0", "–"]


def test_confusions_are_shares_of_the_ground_truth():
    counts = np.array([[90, 10, 0], [4, 96, 0], [0, 0, 0]])
    found = confusions(counts, ("a", "b", "c"))
    assert [(one.truth, one.taken_for, one.share) for one in found] == [("a", "b", 0.1)]


def test_confusion_is_read_by_position(tmp_path):
    path = tmp_path / "confusion.csv"
    path.write_text('Target,Target,"a,\n""b"""\nTarget,1,2\n"a,\n""b""",3,4\n', encoding="utf-8")
    assert read_confusion(path).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("share", "text"),
    [(None, "–"), (0, "0 %"), (1.0, "100 %"), (0.382, "38.2 %"), (0.0412, "4.12 %"), (0.00041, "0.041 %"),
     (1e-7, "<0.001 %")],
)  # fmt: skip
def test_percent(share, text):
    assert percent(share).replace("\u202f", " ") == text


def test_wording():
    assert (score(None), score(0.0), score(0.6125, 2)) == ("–", "0.000", "0.61")
    assert (plural(1, "image"), plural(1200, "image"), plural(2, "class", "classes")) == (
        "1 image", "1,200 images", "2 classes",
    )  # fmt: skip
    assert (listed([]), listed(["a"]), listed(["a", "b", "c"]), listed(["a", "b", "c"], 2)) == (
        "none", "a", "a, b and c", "a, b and 1 more",
    )  # fmt: skip


def test_a_long_name_keeps_both_ends():
    assert short("a rather long class name 7", 11) == "a rat…ame 7" and short("a\u202eb\n") == "a\ufffdb\ufffd"


def test_the_tracker_is_opened_from_the_settings(tmp_path):
    config = settings(store=str(tmp_path / "s"))
    Walk(frames=1).build(open_tracker(config))
    artifact = report(config)
    assert open_tracker(config).get("town_report").digest == artifact.digest
    assert (tmp_path / "s" / "reports" / "town_report.html").is_file()


def test_pictures_are_small_and_drawings_keep_their_colours():
    pixels = np.zeros((720, 1280, 3), np.uint8)
    pixels[:, 640:] = (246, 241, 12)
    drawn = decode(pictures.drawing(pixels, "x"))
    assert drawn.size == (480, 270) and drawn.format == "PNG"
    assert sorted(color for _, color in drawn.convert("RGB").getcolors()) == [(0, 0, 0), (246, 241, 12)]
    many = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    assert np.array_equal(np.array(decode(pictures.drawing(many, "x"))), many)
    photo = decode(pictures.photograph(np.zeros((1280, 720, 3), np.uint8), "x"))
    assert photo.size == (270, 480) and photo.format == "JPEG"
    assert pictures.fitted((96, 60)) == (96, 60)


def decode(picture):
    return Image.open(io.BytesIO(base64.b64decode(picture.uri.partition(",")[2])))


def test_the_stage_imports_nothing_heavy():
    heavy = "{'torch', 'fastai', 'plotly', 'jinja2', 'pandas', 'sklearn'}"
    code = f"import sys, sightline.stages.report; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_on_a_telephone_no_caption_is_wider_than_the_screen(tracker, chromium):
    Walk().build(tracker)
    page = chromium.new_page(viewport={"width": 420, "height": 900})
    report(settings(), tracker)
    page.goto((tracker.store / "reports" / "town_report.html").as_uri())
    right = "all => all.map(one => one.getBoundingClientRect().right)"
    assert max(page.eval_on_selector_all("caption:not(.hidden)", right)) <= 420
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
    page.close()
