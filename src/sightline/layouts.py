"""Layouts: where images are, how a mask and the group are found from an image's name, which classes there are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from sightline.classes import ROAD_SCENE, ClassMap
from sightline.classmaps import CAMVID, CITYSCAPES, CITYSCAPES_LABEL_IDS
from sightline.errors import ConfigError, DataError
from sightline.templates import Found, check_template, constrain, fields_of, fill, find
from sightline.wording import plural

CLASS_FILES = ("classes.yaml", "classes.json")
SUBSETS = ("train", "valid", "test")


class Group(NamedTuple):
    """What a name says of the recording: the group, the drive that the group is part of, the frame's number."""

    group: str
    drive: str
    frame: int


@dataclass(frozen=True)
class Layout:
    """How a folder of labelled images is laid out.

    Args:
        images: templates of the images relative to the root (see `sightline.templates`), for example
            `("images/{stem}.jpg",)`.
        mask: template of an image's mask. It may ask for the fields of the image's template and for `{stem}` (file name
            without suffix), `{name}` (file name) and `{dir}` (folder, relative to the root); fields of that name in the
            image's template win.
        group: regular expression searched in the image's stem, or in its path relative to the root where the expression
            holds a `/`. The group is the named group `group`, else the first capturing group, else `drive`, else the
            whole match. Optional named groups `drive` and `frame` (its digits are the number) tell of groups that are
            stretches of one drive.
        classes: the class map.
        published: value of `{split}` -> train, valid or test; empty where the dataset publishes no split.
        use_published: take the published split instead of making one.
        about: what the group is and whether the published split is used, in a sentence or two.

    Raises:
        ConfigError: a template, the regular expression or the published split does not fit.
    """

    images: tuple[str, ...]
    mask: str
    group: str
    classes: ClassMap = ROAD_SCENE
    published: Mapping[str, str] = field(default_factory=dict)
    use_published: bool = False
    about: str = ""

    def __post_init__(self) -> None:
        for template in (*self.images, self.mask):
            check_template(template)
        for template in self.images:
            fill(self.mask, dict.fromkeys((*fields_of(template), "stem", "name", "dir"), "x"))
        try:
            re.compile(self.group)
        except re.error as error:
            raise ConfigError(f"The group '{self.group}' is no regular expression: {error}.") from None
        wrong = sorted(set(self.published.values()) - set(SUBSETS))
        if wrong:
            raise ConfigError(f"The published split names {', '.join(wrong)}; subsets are {', '.join(SUBSETS)}.")

    def find_images(self, root: Path) -> list[Found]:
        """Files that match an image template, sorted by path, each once; almost-matches have `exact=False`.

        A file that is the mask of another one (images and masks in one folder) is left out.
        """
        found: dict[str, Found] = {}
        for template in self.images:
            for image in find(root, template):
                if image.path not in found or image.exact > found[image.path].exact:
                    found[image.path] = image
        masks = {self.mask_of(image) for image in found.values()}
        return [found[path] for path in sorted(found) if path not in masks]

    def mask_of(self, image: Found) -> str:
        """Path of the image's mask relative to the root, whether or not it exists."""
        path = PurePosixPath(image.path)
        names = {"stem": path.stem, "name": path.name, "dir": path.parent.as_posix()}
        return PurePosixPath(fill(self.mask, names | dict(image.fields))).as_posix()

    def find_masks(self, root: Path, images: Sequence[Found]) -> list[Found]:
        """Files that match the mask template with any value in its fields, sorted by path, each once."""
        options: dict[str, tuple[str, ...]] = {}
        for template in self.images:
            for name, alternatives in fields_of(template).items():
                options[name] = (*options.get(name, ()), *alternatives)
        template = constrain(self.mask, options)
        folders = {PurePosixPath(image.path).parent.as_posix() for image in images} if "{dir}" in template else {""}
        # a brace in a folder's name would read as a field: '*' stands in for it
        texts = [template.replace("{dir}", folder.translate({123: "*", 125: "*"})) for folder in sorted(folders)]
        found = {mask.path: mask for text in texts for mask in find(root, text.removeprefix("./"))}
        return [found[path] for path in sorted(found)]

    def group_of(self, path: str) -> Group | None:
        """Read the group from an image's path relative to the root; None where the expression does not match."""
        text = path if "/" in self.group else PurePosixPath(path).stem
        match = re.search(self.group, text)
        if match is None:
            return None
        named = match.groupdict()
        unnamed = match[1] if match.re.groups > len(named) else named.get("drive") or match[0]
        group = named.get("group", unnamed)
        return Group(group, named.get("drive") or group, _number(named.get("frame") or "")) if group else None


def _number(text: str) -> int:
    """The number that the digits in a text make; the last 18 of them where it does not fit into 64 bits."""
    digits = re.sub(r"\D", "", text) or "0"
    return int(digits) if int(digits) < 1 << 63 else int(digits[-18:])


_BEFORE_DASH = r"^(?P<group>[^-]+)-"
_CAMVID_STRETCH = r"^(?=(?P<drive>[^_]+)_f?(?P<frame>\d+)$)(?P<group>.+)\d{3}$"

PRESETS: Mapping[str, Layout] = {
    "bdd-simple": Layout(
        images=("images/{stem}.jpg",),
        mask="labels/{stem}_mask.png",
        group=_BEFORE_DASH,
        about="The group is the drive: what stands before the first '-' of the file name. No split is published; "
        "one is made that keeps drives together.",
    ),
    "bdd100k": Layout(
        images=("images/10k/{split:train|val}/{stem}.jpg",),
        mask="labels/sem_seg/masks/{split}/{stem}.png",
        group=_BEFORE_DASH,
        classes=CITYSCAPES,
        published={"train": "train", "val": "valid"},
        use_published=True,
        about="The group is the video: what stands before the first '-' of the file name. The published split is used: "
        "train is train, val is valid; the masks of its test subset are not public.",
    ),
    "camvid": Layout(
        images=("images/{stem}.jpg",),
        mask="labels/{stem}_mask.png",
        group=_CAMVID_STRETCH,
        about="The group is a stretch of a drive: the drive and the thousands of the frame number (0001TP_006690 "
        "belongs to 0001TP_006), because there are too few drives to deal whole ones. The published split is not "
        "used: its subsets share drives.",
    ),
    "camvid-rgb": Layout(
        images=("701_StillsRaw_full/{stem}.png",),
        mask="LabeledApproved_full/{stem}_L.png",
        group=_CAMVID_STRETCH,
        classes=CAMVID,
        about="The original release: RGB masks of 32 colours, read as the 11 classes of the SegNet split. The group is "
        "a stretch of a drive, as in camvid. No split is published with it; one is made that keeps stretches together.",
    ),
    "cityscapes": Layout(
        images=("leftImg8bit/{split:train|val}/{city}/{x}_leftImg8bit.png",),
        mask="gtFine/{split}/{city}/{x}_gtFine_labelIds.png",
        group=r"^(?P<group>[^_]+)_",
        classes=CITYSCAPES_LABEL_IDS,
        published={"train": "train", "val": "valid"},
        use_published=True,
        about="The group is the city. The published split is used, which keeps cities together: train is train, val is "
        "valid; the masks of its test subset are not public.",
    ),
}
"""The layouts that are known by name."""


def detect(root: Path, mask: str = "", group: str = "") -> tuple[str, Layout]:
    """Name and layout of the preset that fits the folder best.

    It is the one under which most images have a mask and a group; the earlier one of equals. A `classes.yaml` or
    `classes.json` in the folder replaces its class map.

    Args:
        root: the data's folder.
        mask: a mask template that takes the place of every preset's.
        group: a regular expression that takes the place of every preset's.

    Raises:
        DataError: no preset fits; the text says what each looked for and found.
    """
    _check_folder(root)
    layouts = {name: _override(layout, mask=mask, group=group) for name, layout in _fitting(mask).items()}
    counts = {name: _count(root, layout) for name, layout in layouts.items()}
    best = max(counts, key=lambda name: counts[name][1], default="")
    if not best or not counts[best][1]:
        looked = [_looked_for(layouts[name], name, *counts[name]) for name in layouts]
        raise DataError(
            f"No known layout fits {root}. Looked for:\n" + "\n".join(looked) + _hint(root) + "\n"
            "Describe another layout with --images, --mask, --group and --classes, for example --images "
            "'photos/{stem}.png' --mask 'masks/{stem}.png' --group '^[^_]+'."
        )
    return best, with_class_file(layouts[best], root)


def choose(
    root: Path, *, preset: str = "", images: str = "", mask: str = "", group: str = "", classes: str = ""
) -> tuple[str, Layout]:
    """The layout of a folder from a user's settings, with its name (`custom` for one without a preset).

    Without `preset` and `images` the preset is detected; what else is given takes the place of the preset's part.
    `images` without a preset describes a layout from scratch and needs `mask` and `group`.

    Args:
        root: the data's folder.
        preset, images, mask, group: as in `Layout`; empty for none.
        classes: class map file, relative to the root, else to the working directory; empty for `classes.yaml` or
            `classes.json` in the root where there is one, else the preset's class map.

    Raises:
        ConfigError: an unknown preset, a described layout without mask or group, a template that does not fit.
        DataError: no such folder, no preset fits, the class map is missing or wrong.
    """
    _check_folder(root)
    if preset and preset not in PRESETS:
        raise ConfigError(f"There is no preset {preset!r}. The presets are: {', '.join(PRESETS)}.")
    if preset:
        name, layout = preset, _override(PRESETS[preset], images, mask, group)
    elif images:
        name, layout = "custom", _describe(images, mask, group)
    else:
        name, layout = detect(root, mask, group)
    if classes:
        path = next((one for one in (root / classes, Path(classes)) if one.exists()), None)
        if path is None:
            raise DataError(
                f"There is no class map {classes} (--classes), neither in {root} nor in the working directory."
            )
        return name, replace(layout, classes=ClassMap.read(path))
    return name, with_class_file(layout, root)


def with_class_file(layout: Layout, root: Path) -> Layout:
    """The layout with the class map of `classes.yaml` or `classes.json` in `root`, where one is there."""
    for name in CLASS_FILES:
        if (root / name).is_file():
            return replace(layout, classes=ClassMap.read(root / name))
    return layout


def _describe(images: str, mask: str, group: str) -> Layout:
    missing = [flag for flag, value in (("--mask", mask), ("--group", group)) if not value]
    if missing:
        raise ConfigError(f"--images describes a layout of your own; it needs {' and '.join(missing)} too.")
    about = f"Described by the user: the group is what '{group}' finds in an image's name. No published split."
    return Layout(images=(images,), mask=mask, group=group, about=about)


def _override(layout: Layout, images: str = "", mask: str = "", group: str = "") -> Layout:
    changed = replace(
        layout,
        images=(images,) if images else layout.images,
        mask=mask or layout.mask,
        group=group or layout.group,
    )
    if group and group != layout.group:
        changed = replace(changed, about=f"The group is what '{group}' finds in an image's name. {layout.about}")
    return changed


def _fitting(mask: str) -> dict[str, Layout]:
    """The presets whose image template gives every field that the mask template asks for."""
    asked = set(fields_of(mask)) - {"stem", "name", "dir"} if mask else set()
    return {name: layout for name, layout in PRESETS.items() if all(asked <= set(fields_of(t)) for t in layout.images)}


def _count(root: Path, layout: Layout) -> tuple[int, int]:
    """(images, images that have a mask and a group)."""
    images = [image for image in layout.find_images(root) if image.exact]
    whole = [image for image in images if layout.group_of(image.path) and (root / layout.mask_of(image)).is_file()]
    return len(images), len(whole)


def _looked_for(layout: Layout, name: str, images: int, whole: int) -> str:
    found = f"{plural(images, 'image')}, {whole} of them with mask and group"
    return f"  {name}: {', '.join(layout.images)} with {layout.mask}: {found}"


def _hint(root: Path) -> str:
    """The one folder below that a preset fits, for those who named the folder above."""
    folders = [path for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith(".")][:20]
    fits = [path for path in folders if any(_count(path, layout)[1] for layout in PRESETS.values())]
    return f"\nThe folder {fits[0]} below it does fit: name that one." if fits else ""


def _check_folder(root: Path) -> None:
    if not root.is_dir():
        raise DataError(f"{root} is no folder. Name the folder that holds the images and the masks.")
