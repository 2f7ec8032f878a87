"""`sightline.yaml` <-> frozen, validated dataclasses. Each field is also a flag, under its own name."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_type_hints

from annotated_types import Ge, Gt, Le, Lt

from sightline.errors import ConfigError

CONFIG_FILE = "sightline.yaml"
NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class About:
    """What a setting means, and the name that `sightline.yaml` and the flag use where it is not the field's own."""

    text: str
    alias: str = ""


class Section:
    """Base of the settings. pydantic checks them when they are read; it is not needed to know what there is."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    prefix: ClassVar = ""
    """What stands before a field's name in its flag, where another section has a field of that name."""


Share = Annotated[float, Ge(0), Le(1)]


@dataclass(frozen=True)
class Context(Section):
    """Step 1, the business context. Opens the report."""

    goal: Annotated[str, About("what the model is for")] = ""
    users: Annotated[str, About("who uses the result")] = ""
    cost_of_errors: Annotated[str, About("what an error costs, and which kind costs most")] = ""


@dataclass(frozen=True)
class Problem(Section):
    """Step 2, the data-science problem. The report says of each target whether it is met."""

    task: Annotated[str, About("the task in a sentence")] = "semantic segmentation of road scenes"
    target_miou: Annotated[Share | None, About("the mIoU to reach")] = None
    target_iou: Annotated[dict[str, Share], About("the IoU to reach, class by class")] = dataclasses.field(
        default_factory=dict
    )


@dataclass(frozen=True)
class Data(Section):
    """Where the images are, how a mask and the group are found from an image's name, which classes there are."""

    data: Annotated[str, About("folder of images and masks, or the name of a dataset (bdd-simple-1k)")] = ""
    name: Annotated[str, About("name of the artifacts; the folder's name when left out")] = ""
    preset: Annotated[
        str, About("layout: bdd-simple, bdd100k, camvid, camvid-rgb or cityscapes; found out when left out")
    ] = ""
    images: Annotated[str, About("where images are, e.g. 'images/{stem}.jpg'")] = ""
    mask: Annotated[str, About("the mask of an image, e.g. 'labels/{stem}_mask.png'")] = ""
    group: Annotated[str, About("regular expression for the drive in an image's stem")] = ""
    classes: Annotated[str, About("class map file (classes.yaml), relative to the data's folder")] = ""
    on_error: Annotated[Literal["fail", "skip"], About("damaged pairs: fail, or skip them and record which")] = "fail"
    limit: Annotated[int | None, Ge(1), About("at most this many images: a debugging subset")] = None

    def __post_init__(self) -> None:
        if self.name and not NAME.fullmatch(self.name):
            raise ValueError(f"the name {self.name!r} may hold letters, digits, '_' and '-' only")


@dataclass(frozen=True)
class Split(Section):
    """How images are dealt to train, valid and test: each group to one of them only."""

    folds: Annotated[int, Ge(2), About("number of folds")] = 10
    test_folds: Annotated[tuple[int, ...], About("folds that become the test subset")] = (0,)
    valid_folds: Annotated[tuple[int, ...], About("folds that become the valid subset")] = (1,)
    stratify: Annotated[tuple[str, ...], About("classes whose presence is spread evenly")] = ("bicycle",)
    from_csv: Annotated[str, About("a ready split: CSV with the columns File_Name and Stage", alias="from")] = ""
    published: Annotated[bool | None, About("use the dataset's published split; the preset decides when left out")] = (
        None
    )
    gap: Annotated[int, Ge(0), About("frames left out where stretches of one drive touch at a subset's border")] = 3
    near_duplicate: Annotated[
        int,
        Ge(0),
        Le(32),
        About("images whose 64-bit perceptual hashes differ in at most so many bits are near-duplicates"),
    ] = 4


@dataclass(frozen=True)
class Train(Section):
    """The network and how it is trained."""

    recipe: Annotated[
        Literal["default", "course"],
        About("what is trained: default, or course (that of the W&B course: fastai unet_learner, far slower)"),
    ] = "default"
    arch: Annotated[
        str, About("network: light (FPN with few channels), or one of segmentation_models_pytorch, e.g. unet, linknet")
    ] = "light"
    encoder: Annotated[
        str,
        About(
            "encoder: of segmentation_models_pytorch, 'tu-' and one of timm, or of torchvision convnext_tiny, "
            "regnet_x_400mf, mobilenet_v3_small"
        ),
    ] = "resnet18"
    image_size: Annotated[
        tuple[Annotated[int, Ge(32)], Annotated[int, Ge(32)]],
        About("height and width that images are fitted into, undistorted"),
    ] = (180, 320)
    batch_size: Annotated[int, Ge(1), About("images a step")] = 8
    epochs: Annotated[int, Ge(1), About("passes over the train subset")] = 10
    lr: Annotated[float, Gt(0), About("highest learning rate of the one-cycle schedule")] = 2e-3
    loss: Annotated[
        Literal["ce+dice", "ce", "ce+lovasz", "focal"],
        About("loss: cross-entropy with Dice, alone, or with Lovász; or focal"),
    ] = "ce+dice"
    class_weights: Annotated[
        Literal["sqrt", "none"],
        About("classes in the cross-entropy: by the inverse square root of their pixels in train, or all alike"),
    ] = "sqrt"
    augment: Annotated[
        Literal["none", "flip", "scale", "full"],
        About(
            "random changes of training images: none, flip (left and right), scale (flip, and 0.75 to 1.5 times the "
            "size), or full (fastai's aug_transforms)"
        ),
    ] = "flip"
    pretrained: Annotated[bool, About("begin with ImageNet weights in the encoder")] = True
    freeze_epochs: Annotated[
        int, Ge(0), About("first epochs in which an encoder that begins with weights stands still")
    ] = 1
    encoder_lr: Annotated[
        float, Gt(0), Le(1), About("share of the learning rate for an encoder that begins with weights")
    ] = 0.1
    weights: Annotated[str, About("begin with these weights (a .safetensors file)")] = ""
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], About("where to compute")] = "auto"
    precision: Annotated[
        Literal["auto", "bf16", "fp16", "fp32"],
        About("numbers to compute with: bf16 where the processor has it, else fp16 on a GPU, else fp32"),
    ] = "auto"
    deterministic: Annotated[
        bool, About("the same weights bit for bit on a GPU too, at some cost in speed; a CPU gives them anyway")
    ] = False
    cache: Annotated[bool, About("keep decoded images on the disk, in the store, for every epoch and training")] = True
    cache_gb: Annotated[float, Gt(0), About("gigabytes that decoded images may take")] = 10.0


@dataclass(frozen=True)
class Evaluate(Section):
    """Which images are measured, and how sure the numbers are."""

    subset: Annotated[Literal["valid", "test"], About("subset to measure; test only when you mean it")] = "valid"
    resamples: Annotated[int, Ge(100), About("resamples of groups for the 95 % interval")] = 2000


@dataclass(frozen=True)
class Report(Section):
    """The HTML report."""

    title: Annotated[str, About("title of the report; made from the data's name when left out")] = ""
    examples: Annotated[int, Ge(1), Le(50), About("best, median and worst images shown, of each")] = 4


@dataclass(frozen=True)
class Wandb(Section):
    """The mirror in Weights & Biases, which `tracker: wandb` switches on; see docs/wandb.md."""

    prefix: ClassVar = "wandb_"

    project: Annotated[str, About("project in W&B; the tracker's own when left out")] = ""
    entity: Annotated[str, About("user or team in W&B; its own default when left out")] = ""
    mode: Annotated[
        Literal["online", "offline", "disabled"] | None,
        About("upload, write for `wandb sync`, or neither; what WANDB_MODE says when left out"),
    ] = None
    group: Annotated[str, About("group of the runs in W&B")] = ""
    tags: Annotated[tuple[str, ...], About("tags of the runs in W&B")] = ()
    references: Annotated[
        bool, About("name the files of artifacts by their place on this disk, and upload none of them")
    ] = False
    timeout: Annotated[float, Gt(0), About("seconds that a run waits at its end for its artifacts to be uploaded")] = (
        600.0
    )


@dataclass(frozen=True)
class Config(Section):
    """Everything that `sightline.yaml` may hold."""

    store: Annotated[str, About("folder of runs and artifacts")] = ".sightline"
    project: Annotated[str, About("the tracker's project")] = "sightline"
    tracker: Annotated[
        Literal["trackio", "wandb", "none"],
        About(
            "who keeps runs and artifacts: trackio, wandb (trackio, mirrored in W&B), or none (no later command finds "
            "them)"
        ),
    ] = "trackio"
    seed: Annotated[int, Ge(0), Lt(2**32), About("seed of the split, the weights and the order of images")] = 42
    workers: Annotated[int | None, Ge(0), About("processes that read images; as many as cores when left out")] = None
    context: Context = Context()
    problem: Problem = Problem()
    data: Data = Data()
    split: Split = Split()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    report: Report = Report()
    wandb: Wandb = Wandb()

    def __post_init__(self) -> None:
        if not self.store:
            raise ValueError("store is empty, but should name a folder")
        if not NAME.fullmatch(self.project):
            raise ValueError(f"the project {self.project!r} may hold letters, digits, '_' and '-' only")


SECTIONS: dict[str, type] = {
    "context": Context,
    "problem": Problem,
    "data": Data,
    "split": Split,
    "train": Train,
    "evaluate": Evaluate,
    "report": Report,
    "wandb": Wandb,
}


def load_config(path: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read `sightline.yaml` and lay the flags over it.

    Args:
        path: the file; None reads `sightline.yaml` of the working directory where there is one.
        overrides: field name -> value, for fields of any section (`{"lr": 1e-3, "seed": 1}`); None values are left out.

    Raises:
        ConfigError: the file is missing or no YAML, a key is unknown, a value does not fit.
    """
    tree = _read_yaml(path)
    where = [str(path or CONFIG_FILE)] if tree else []
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    for name, value in given.items():
        _place(tree, name, value)
    return parse_config(tree, " and ".join([*where, "the flags"] if given else where))


def parse_config(tree: Mapping[str, Any], where: str = CONFIG_FILE) -> Config:
    """A nested mapping -> `Config`; ConfigError names each key that does not fit. A section left empty is the default.

    Args:
        tree: as `sightline.yaml` holds it.
        where: what the error says it was read from.
    """
    from pydantic import TypeAdapter, ValidationError

    filled = {key: {} if key in SECTIONS and value is None else value for key, value in tree.items()}
    try:
        return TypeAdapter(Config).validate_python(_renamed(filled, {"from": "from_csv"}))
    except ValidationError as error:
        problems = [_misfit(item["type"], item["loc"], item["msg"], item["input"]) for item in error.errors()]
    what = "1 setting does" if len(problems) == 1 else f"{len(problems)} settings do"
    lines = [f"{what} not fit, in {where}:", *(f"  {problem}" for problem in problems)]
    raise ConfigError("\n".join([*lines, "`sightline run --help` lists every setting."]))


PLAINER = {
    "Input should": "should",
    "Tuple should": "should",
    " after validation": "",
    "valid tuple": "list",
    "valid dictionary": "mapping",
    "Keys should": "keys should",
}
"""What pydantic says -> what people say."""
NO_PAIR = {"tuple_type", "too_long", "missing"}
"""What pydantic calls a value that is no list of two."""


def _misfit(kind: str, place: tuple[int | str, ...], message: str, given: Any) -> str:
    """What is wrong with one value, from pydantic's account of it."""
    names = ["from" if part == "from_csv" else part for part in place]
    path = "".join(f"[{name}]" if isinstance(name, int) else f".{name}" for name in names).lstrip(".")
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    if kind == "unexpected_keyword_argument":
        return f"{path}: there is no such setting{_hint(names[:-1], str(names[-1]))}"
    if kind == "dataclass_type":
        return f"{path} is {_brief(given)}, but should be a section of settings, one a line under `{path}:`"
    if kind in NO_PAIR and "image_size" in names:
        return f"{path.partition('[')[0]} is {_brief(given)}, but should be [height, width], e.g. [180, 320]"
    if kind == "missing":
        return f"{path} is missing"
    for said, better in PLAINER.items():
        message = message.replace(said, better)
    return f"{path} is {_brief(given)}, but {message.partition(', unable to')[0]}"


def _hint(place: list[int | str], name: str) -> str:
    """Where an unknown key belongs, or what it may be a misspelling of."""
    homes = {"": Config, **SECTIONS}
    here = ".".join(map(str, place))
    keys = {section: [setting.key for setting in settings_of(kind)] for section, kind in homes.items()}
    if home := next((section for section, known in keys.items() if name in known), ""):
        return f" here; it stands under `{home}:`"
    known = [*keys.get(here, ()), *(SECTIONS if not here else ())]
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def to_dict(settings: Any) -> dict[str, Any]:
    """A settings dataclass as plain JSON-able data, under the names that `sightline.yaml` uses."""
    plain = json.loads(json.dumps(dataclasses.asdict(settings)))
    return _renamed(plain, {"from_csv": "from"})


def _renamed(tree: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The tree with the key `from` of the section `split`, no name for a Python field, renamed."""
    split = tree.get("split", tree)
    if not isinstance(split, Mapping):
        return dict(tree)
    renamed = {names.get(key, key): value for key, value in split.items()}
    return {**tree, "split": renamed} if "split" in tree else renamed


@dataclass(frozen=True)
class Setting:
    """One field of a section: what a flag or a line of the commented file needs to know of it."""

    name: str
    key: str
    flag: str
    kind: Any
    text: str
    default: Any


@cache
def settings_of(section: type) -> tuple[Setting, ...]:
    """The fields of one section in order, sections inside it left out."""
    hints = get_type_hints(section, include_extras=True)
    return tuple(
        _setting(field, hints[field.name], getattr(section, "prefix", ""))
        for field in dataclasses.fields(section)
        if field.name not in SECTIONS or section is not Config
    )


def _setting(field: dataclasses.Field[Any], hint: Any, prefix: str) -> Setting:
    note = next(part for part in hint.__metadata__ if isinstance(part, About))
    default = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    key = note.alias or field.name
    return Setting(prefix + field.name, key, (prefix + key).replace("_", "-"), hint.__origin__, note.text, default)


def commented_yaml() -> str:
    """`sightline.yaml` with every key, its default and what it means; `load_config` reads it as the defaults."""
    lines = ["# Sightline's settings. Every key is optional and shown with its default; each is also a flag.", ""]
    lines += [line for setting in settings_of(Config) for line in _yaml_lines(setting, "")]
    for name, section in SECTIONS.items():
        about = (section.__doc__ or "").strip().splitlines()[0]
        lines += ["", f"{name}:  # {about}"]
        lines += [line for setting in settings_of(section) for line in _yaml_lines(setting, "  ")]
    return "\n".join(lines) + "\n"


def write_commented(folder: Path | None = None, *, force: bool = False) -> Path:
    """Write `commented_yaml` as `sightline.yaml` into a folder, the working directory when left out.

    Raises:
        ConfigError: there is one already and `force` is not set, or it cannot be written.
    """
    path = (folder or Path()) / CONFIG_FILE
    if path.exists() and not force:
        raise ConfigError(f"There is a {path} already. Replace it with --force.")
    try:
        path.with_suffix(".yaml.tmp").write_text(commented_yaml(), encoding="utf-8")
        path.with_suffix(".yaml.tmp").replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from None
    return path


def _yaml_lines(setting: Setting, indent: str) -> list[str]:
    import yaml

    default = list(setting.default) if isinstance(setting.default, tuple) else setting.default
    value = yaml.safe_dump(default, default_flow_style=True, width=1000).removesuffix("...\n").strip()
    return [f"{indent}{setting.key}: {value}  # {setting.text}"]


def _read_yaml(path: Path | None) -> dict[str, Any]:
    target = path or Path(CONFIG_FILE)
    if path is None and not target.exists():
        return {}
    _, tree = read_yaml(target, f"There is no {target}. `sightline init` writes one, with comments.")
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{target} holds no mapping of settings. `sightline init` writes one to begin with.")
    return tree


def read_yaml(path: Path, missing: str) -> tuple[str, Any]:
    """The text of a YAML file, and what it holds.

    Args:
        path: the file.
        missing: what the error says where there is none.

    Raises:
        ConfigError: it is missing, cannot be read, is no YAML, or gives a key twice.
    """
    import yaml

    from sightline import strict_yaml

    try:
        text = path.read_text(encoding="utf-8")
        return text, strict_yaml.load(text)
    except FileNotFoundError:
        raise ConfigError(missing) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
    except strict_yaml.TwiceError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no YAML: {error}") from None


def _place(tree: dict[str, Any], name: str, value: Any) -> None:
    """Put a field's value where `sightline.yaml` would have it; what is no section there is left for the check."""
    for section, kind in SECTIONS.items():
        for setting in settings_of(kind):
            if setting.name == name:
                known = tree.get(section) if tree.get(section) is not None else {}
                tree[section] = {**known, setting.key: value} if isinstance(known, dict) else known
                return
    tree[name] = value
