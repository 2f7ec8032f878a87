"""Synthetic road scenes: pictures and masks of drives that never took place.

A drive is a small world before one camera. `draw_scene` places things in metres (x to the right of the ego lane's
middle, y up from the road, z ahead of the camera), projects them with a pinhole camera and paints them from far to
near, each shape as the same polygon in the picture and in the mask: what is seen is what is labelled. Light, weather
and sensor come last and move nothing.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from sightline.classes import IGNORE, ROAD_SCENE

Rgb = tuple[int, int, int]
Point = tuple[float, float]
Points = Sequence[Point]
Paint = Callable[[], None]
Array = NDArray[np.floating[Any]]

BACKGROUND, ROAD, LIGHT, SIGN, PERSON, VEHICLE, BICYCLE = range(len(ROAD_SCENE))
GENERATOR = 1
"""Written to `sample.json`; to be raised with every change to the pictures, so that older samples are told apart."""

_SHARE = {LIGHT: 9, SIGN: 11, PERSON: 9, BICYCLE: 8}  # of 12 drives, how many meet the class at all
_EPISODE = 8  # frames after which persons and bicycles come anew
_IN_VIEW = {PERSON: 5, BICYCLE: 3}  # frames of an episode that they are in view


@dataclass(frozen=True)
class _Weather:
    zenith: Rgb
    skyline: Rgb
    ambient: float  # light on things that do not shine
    sight: float  # metres after which haze leaves 1/e of the contrast
    shadow: float  # share of light that a cast shadow takes
    lamps: float  # how strongly lamps glow
    wet: float = 0.0  # share of the mirror image on the road


_CLEAR = _Weather((74, 128, 196), (190, 212, 228), 1.0, 1400, 0.5, 0.0)
_OVERCAST = _Weather((158, 168, 180), (206, 210, 212), 0.84, 600, 0.22, 0.0)
_RAIN = _Weather((112, 121, 131), (160, 166, 171), 0.66, 150, 0.12, 0.45, 0.28)
_DUSK = _Weather((66, 78, 128), (236, 164, 116), 0.6, 500, 0.15, 0.7)
_NIGHT = _Weather((9, 11, 24), (40, 37, 46), 0.3, 260, 0.05, 1.0, 0.12)
_FOG = _Weather((178, 182, 185), (198, 200, 201), 0.82, 52, 0.08, 0.25)
_WEATHERS = (_CLEAR,) * 4 + (_OVERCAST,) * 3 + (_DUSK,) * 2 + (_RAIN, _NIGHT, _FOG)


def stream(*keys: int) -> Generator:
    """A generator of its own for every thing in the world: what is drawn before never moves it."""
    return np.random.default_rng([key + 2**20 for key in keys])


def _turn(seed: int, number: int, what: int) -> int:
    """Place of a drive in its dozen, 0 to 11, shuffled for each `what`: every dozen meets everything equally often."""
    return int(stream(seed, 1, what, number // 12).permutation(12)[number % 12])


def _hue(rng: Generator, saturation: tuple[float, float], value: tuple[float, float]) -> Rgb:
    return _rgb(colorsys.hsv_to_rgb(rng.random(), rng.uniform(*saturation), rng.uniform(*value)), 255)


def _rgb(color: Iterable[float], by: float = 1.0) -> Rgb:
    red, green, blue = (min(255, max(0, round(part * by))) for part in color)
    return red, green, blue


def _pick(rng: Generator, options: Sequence[Rgb]) -> Rgb:
    return options[int(rng.integers(len(options)))]


class _Drive:
    """What the frames of a drive share: camera, light, weather, the road's course and edges, the town's look."""

    def __init__(self, seed: int, number: int) -> None:
        rng = stream(seed, 2, number)
        self.seed, self.number = seed, number
        self.weather = _WEATHERS[_turn(seed, number, 0)]
        self.focal, self.eye = rng.uniform(0.78, 1.0), rng.uniform(1.3, 1.9)  # of the picture's width; metres
        self.horizon, self.roll = rng.uniform(0.47, 0.57), rng.normal(0, 0.008)  # of the picture's height; slope
        self.offset, self.curve = rng.uniform(-0.4, 0.4), rng.normal(0, 0.0012)  # metres; 1/metres
        self.kerb_side = int(rng.choice([-1, 1]))  # where cars park; bicycles keep to the other side
        parking = 2.3 if rng.random() < 0.6 else 0.0
        self.parking = parking > 0
        lanes = int(rng.choice([1, 1, 2]))
        self.left = -1.7 - 3.3 * lanes - (parking if self.kerb_side < 0 else 0.6)
        self.right = 1.8 + (parking if self.kerb_side > 0 else 0.5)
        self.pavement = rng.uniform(2.0, 3.6)
        self.step, self.start = rng.uniform(0.7, 2.0), rng.uniform(0, 400)  # metres per frame; metres
        self.town, self.green = rng.uniform(0.35, 1.0), rng.uniform(0.1, 0.75)  # shares of cells built, planted
        grey = rng.uniform(66, 112)
        self.asphalt = _rgb((grey + rng.normal(0, 3), grey, grey + rng.normal(2, 4)))
        self.paving = _rgb(np.array([150, 144, 136]) * rng.uniform(0.75, 1.15) + rng.normal(0, 5, 3))
        self.verge = _pick(rng, [(96, 118, 62), (122, 124, 74), (126, 116, 100), (110, 108, 104)])
        self.leaves = _pick(rng, [(62, 92, 44), (84, 104, 48), (48, 80, 50), (128, 98, 46)])
        self.sun = int(rng.choice([-1, 1]))
        self.gain = rng.normal(1, 0.045, 3) * rng.uniform(0.82, 1.18)  # white balance, exposure
        self.noise = rng.uniform(1.5, 5.5) * (2.0 if self.weather is _NIGHT else 1.0)
        self.bonnet = rng.uniform(0.02, 0.055) if rng.random() < 0.35 else 0.0  # of the picture's height
        self.housing = _pick(rng, [(26, 28, 30), (26, 28, 30), (200, 156, 30)])

    def meets(self, label: int) -> bool:
        return _turn(self.seed, self.number, label) < _SHARE[label]

    def edge(self, side: int) -> float:
        return self.right if side > 0 else self.left


class _View:
    """One picture under way: image, mask and glow, and the camera through which all three are drawn."""

    def __init__(self, drive: _Drive, frame: int, size: tuple[int, int]) -> None:
        self.drive, self.weather, self.frame = drive, drive.weather, frame
        self.height, self.width = size
        self.focal, self.horizon = drive.focal * self.width, drive.horizon * self.height
        self.travelled = drive.start + drive.step * frame
        self.image, self.mask = Image.new("RGB", (self.width, self.height)), Image.new("L", (self.width, self.height))
        self.glow = Image.new("RGB", (self.width // 4, self.height // 4))
        self.pen, self.marker, self.glower = (ImageDraw.Draw(each) for each in (self.image, self.mask, self.glow))

    def at(self, x: float, y: float, z: float) -> tuple[float, float]:
        """World (metres) -> picture (pixels)."""
        right = self.focal * ((x - self.drive.offset) / z + self.drive.curve * z / 2)
        return self.width / 2 + right, self.horizon + self.focal * (self.drive.eye - y) / z + self.drive.roll * right

    def tone(self, color: Rgb, z: float, lit: float = 0.0) -> Rgb:
        """A colour as the camera sees it from `z` metres: light, headlights, haze. `lit` 1 shines by itself."""
        light = self.weather.ambient + 0.45 * self.weather.lamps * math.exp(-z / 16) * (1 - self.weather.ambient)
        light, clear = light + (1 - light) * lit, math.exp(-z / self.weather.sight)
        return _rgb(
            [part * light * clear + haze * (1 - clear) for part, haze in zip(color, self.weather.skyline, strict=True)]
        )

    def shape(self, corners: Sequence[tuple[float, float, float]], color: Rgb, label: int, lit: float = 0.0) -> None:
        """A polygon of world points, in the picture and in the mask; its first corner says how far away it is."""
        points = [self.at(*corner) for corner in corners]
        self.pen.polygon(points, fill=self.tone(color, corners[0][2], lit))
        self.marker.polygon(points, fill=label)

    def flat(self, foot: Point, points: Points, color: Rgb, label: int, lit: float = 0.0) -> None:
        """A polygon in the upright plane that faces the camera at `foot` (x, z); points are (right, up) from there."""
        self.shape([(foot[0] + right, up, foot[1]) for right, up in points], color, label, lit)

    def box(self, foot: Point, span: tuple[float, float, float, float], color: Rgb, label: int,
            lit: float = 0.0) -> None:  # fmt: skip
        left, low, right, high = span
        self.flat(foot, [(left, low), (right, low), (right, high), (left, high)], color, label, lit)

    def bar(self, foot: Point, ends: Points, thick: float, color: Rgb, label: int) -> None:
        (a, b), (c, d) = ends
        length = math.hypot(c - a, d - b) or 1.0
        right, up = (b - d) / length * thick / 2, (c - a) / length * thick / 2
        self.flat(
            foot, [(a + right, b + up), (c + right, d + up), (c - right, d - up), (a - right, b - up)], color, label
        )

    def disc(self, foot: Point, at: Point, radius: Point, color: Rgb,
             label: int, *, lit: float = 0.0, corners: int = 20, turn: float = 0.5) -> None:  # fmt: skip
        angles = [2 * math.pi * (k + turn) / corners for k in range(corners)]
        points = [(at[0] + radius[0] * math.cos(a), at[1] + radius[1] * math.sin(a)) for a in angles]
        self.flat(foot, points, color, label, lit)

    def shine(self, foot: Point, at: Point, radius: float, color: Rgb) -> None:
        """Glow round a lamp: light that spills over its neighbours, whose labels stay."""
        u, v = self.at(foot[0] + at[0], at[1], foot[1])
        reach = max(0.8, radius * self.focal / foot[1] / 4)
        fill = _rgb(color, self.weather.lamps)
        self.glower.ellipse((u / 4 - reach, v / 4 - reach, u / 4 + reach, v / 4 + reach), fill=fill)

    def cells(
        self, spacing: float, kind: int, reach: float = 100, near: float = 3
    ) -> Iterator[tuple[float, int, Generator]]:
        """(z, side, generator) of the cells in view, on both sides of the road: things that stand still."""
        first, last = ((self.travelled + z) // spacing for z in (near, reach))
        keys = self.drive.seed, 3, self.drive.number, kind
        for cell in range(int(last), int(first), -1):
            for side in (-1, 1):
                yield cell * spacing - self.travelled, side, stream(*keys, cell, side)


# ---- sky and ground -------------------------------------------------------------------------------------------------


def _clouds(rng: Generator, shape: tuple[int, int], coarse: tuple[int, int]) -> Array:
    """Smooth noise, float32 of `shape` (height, width), mean 0 and about -1 to 1, finest detail `coarse` * 4."""
    layers = [(rng.random((coarse[0] * k, coarse[1] * k), np.float32) * 2 - 1, 1 / k) for k in (1, 2, 4)]
    parts = [np.asarray(Image.fromarray(noise).resize(shape[::-1], 3), np.float32) * share for noise, share in layers]
    return np.asarray(sum(parts), np.float32)


def _sky(view: _View) -> None:
    weather, low = view.weather, (max(2, view.height // 8), max(2, view.width // 8))
    rise = np.linspace(0, 1 / max(view.drive.horizon, 0.1), low[0])[:, None, None].clip(0, 1) ** 0.8
    sky = np.array(weather.zenith) * (1 - rise) + np.array(weather.skyline) * rise
    clouds = _clouds(stream(view.drive.seed, 4, view.drive.number), low, (3, 4))[..., None]
    bright = np.array(weather.skyline) * 1.08 if weather is not _DUSK else np.array((232, 150, 140))
    sky = sky + (bright - sky) * (clouds - 0.1).clip(0, 0.8) * (1 - rise * 0.6)
    view.image.paste(
        Image.fromarray(sky.clip(0, 255).astype(np.uint8)).resize(view.image.size, Image.Resampling.BICUBIC)
    )


def _ground(view: _View, shadows: Image.Image, junction: float) -> None:
    """Road, markings, kerbs, pavement and verge, from the world coordinates of every pixel below the horizon."""
    drive = view.drive
    highest = view.horizon - abs(drive.roll) * view.width / 2
    top = min(max(0, math.floor(highest)), view.height - 1)
    right = np.arange(view.width, dtype=np.float32)[None, :] + 0.5 - view.width / 2
    drop = np.arange(top, view.height, dtype=np.float32)[:, None] + 0.5 - view.horizon - drive.roll * right
    far = view.focal * drive.eye / 300
    z = view.focal * drive.eye / np.maximum(drop, far)
    x = (right / view.focal - drive.curve * z / 2) * z + drive.offset
    land = _Land(x, z, z + np.float32(view.travelled))
    kind = _surfaces(view, land, junction)
    colors = np.array([drive.verge, drive.paving, np.array(drive.paving) * 0.82, drive.asphalt, (228, 226, 218),
                       np.array(drive.asphalt) * 0.86, (206, 172, 66)], np.float32)  # fmt: skip
    ground = colors[kind] * _texture(view, land)[..., None]
    ground *= _daylight(view, land, shadows, top)[..., None]
    clear = np.exp(-z / view.weather.sight)[..., None]
    ground = ground * clear + np.array(view.weather.skyline, np.float32) * (1 - clear)
    seen = Image.fromarray(drop > far)
    view.image.paste(Image.fromarray(ground.clip(0, 255).astype(np.uint8)), (0, top), seen)
    label = np.where((kind >= 3), ROAD, BACKGROUND).astype(np.uint8)
    view.mask.paste(Image.fromarray(label), (0, top), seen)


class _Land(NamedTuple):
    """Where on the ground each pixel looks, in metres: x and z as everywhere, `along` from the drive's start."""

    x: Array
    z: Array
    along: Array


def _surfaces(view: _View, land: _Land, junction: float) -> NDArray[np.uint8]:
    """What lies where: 0 verge, 1 pavement, 2 kerb, 3 road, 4 marking, 5 patch, 6 yellow line."""
    drive, (x, z, along) = view.drive, land
    beyond = np.maximum(drive.left - x, x - drive.right)  # metres outside the road; negative on it
    kind = (beyond < drive.pavement).astype(np.uint8) + (beyond < 0.3) + (beyond < 0)
    road, wide = kind == 3, np.maximum(0.07, z * 0.7 / view.focal)
    patched = stream(drive.seed, 14, drive.number).random((64, 64)) < 0.12
    kind[road & patched[(along / 5).astype(np.int32) & 63, ((x + 1.7) / 1.65).astype(np.int32) & 63]] = 5
    dash = along % 9 < 4
    for line in (-5.0, -1.7, 1.6):
        solid = line < -1.7 - 0.1 or drive.curve > 0.0012
        kind[road & (np.abs(x - line) < wide) & (solid | dash)] = 4
    kind[road & (np.abs(beyond + 0.25) < wide)] = 6 if drive.green > 0.5 else 4
    if junction < 100:
        near = np.abs(z[:, view.width // 2] - junction + 4) < 8  # rows with stripes or stop line
        z, x, road = z[near], x[near], road[near]
        stripes = (np.abs(z - junction + 3) < 1.6) & ((x - drive.left) % 1.1 < 0.55)
        stop = (np.abs(z - junction + 6) < 0.25) & (x > -1.7)
        kind[near] = np.where(road & (stripes | stop), 4, kind[near])
    return np.asarray(kind, np.uint8)


def _texture(view: _View, land: _Land) -> Array:
    """Grain and stains of the ground, mean 1: tiles of noise looked up by place, fading with distance."""
    x, z, along = land
    rng = stream(view.drive.seed, 5, view.drive.number)
    tile = rng.standard_normal((256, 256), np.float32)
    stains = _clouds(rng, (256, 256), (16, 16))
    fine = tile[(along * 14).astype(np.int32) & 255, (x * 14).astype(np.int32) & 255] * np.minimum(0.07, 0.5 / z)
    tracks = np.cos((x + 1.7) * 2 * np.pi / 1.65) * 0.025
    coarse = stains[(along * 4).astype(np.int32) & 255, (x * 9).astype(np.int32) & 255] * 0.07
    return np.asarray(1 + fine + coarse + tracks, np.float32)


def _daylight(view: _View, land: _Land, shadows: Image.Image, top: int) -> Array:
    """Light on the ground: ambient and headlights, less the shadows of houses and of the things in `shadows`."""
    weather, drive, (x, z, along) = view.weather, view.drive, land
    cast = np.asarray(shadows.filter(ImageFilter.GaussianBlur(view.width / 1000)).resize(view.image.size, 2))[top:]
    reach = stream(drive.seed, 15, drive.number).uniform(-2, 6 * drive.town, 64)[(along / 9).astype(np.int32) & 63]
    houses = ((drive.right - x if drive.sun > 0 else x - drive.left) < reach) * np.float32(weather.shadow)
    light = weather.ambient * (1 - np.maximum(houses, cast / np.float32(255) * max(0.3, weather.shadow)))
    beam = np.exp(-z / 16 - ((x - 0.5) / (2.5 + z * 0.12)) ** 2)
    return np.asarray(light + weather.lamps * 0.6 * beam * (1 - weather.ambient), np.float32)


def _shadow(view: _View, pen: ImageDraw.ImageDraw, foot: Point, size: Point) -> None:
    """A shadow on the ground under what stands at `foot` and is `size` (wide, long) metres, on the sheet of shadows."""
    (x, z), (wide, long) = foot, (size[0] / 2 + 0.15, size[1])
    lean = -view.drive.sun * 0.6 if view.weather.shadow > 0.3 else 0.0
    spots = [(x - wide, z - 0.15), (x + wide, z - 0.15), (x + wide + lean, z + long), (x - wide + lean, z + long)]
    pen.polygon([(u / 4, v / 4) for u, v in (view.at(right, 0, max(1.5, ahead)) for right, ahead in spots)], fill=255)


# ---- the town -------------------------------------------------------------------------------------------------------

_FACADES: Sequence[Rgb] = ((158, 92, 74), (196, 178, 150), (148, 146, 142), (206, 200, 190), (172, 128, 92),
                          (122, 134, 150), (186, 152, 120), (104, 98, 96), (170, 70, 62), (96, 116, 128))  # fmt: skip
_GLASS: Rgb = (58, 70, 84)


def _skyline(view: _View) -> None:
    rng, x = stream(view.drive.seed, 6, view.drive.number), -190.0
    while x < 190:
        wide, tall = rng.uniform(8, 26), rng.uniform(4, 26) * (0.4 + view.drive.town)
        if rng.random() < view.drive.town:
            view.box((x, 190), (0, 0, wide, tall), _pick(rng, _FACADES), BACKGROUND)
        else:
            view.disc((x + wide / 2, 190), (0, 0), (wide, tall * 0.5), view.drive.leaves, BACKGROUND)
        x += wide * 0.8


def _houses(view: _View) -> None:
    for z, side, rng in view.cells(15, 10, 150, -14):
        if rng.random() < view.drive.town:
            _house(view, rng, side, z, rng.uniform(10, 15))


def _house(view: _View, rng: Generator, side: int, z: float, long: float) -> None:
    """A house along the road: the wall to the road from z to z + long, and the wall that faces the camera."""
    x = view.drive.edge(side) + side * (view.drive.pavement + rng.uniform(0.2, 5))
    tall, color, near = (
        3.1 * int(rng.integers(2, 8)) + 1,
        _rgb(_pick(rng, _FACADES), rng.uniform(0.8, 1.15)),
        max(z, 1.5),
    )
    sunny = (1.08, 0.78) if side != view.drive.sun else (0.8, 0.95)
    if z > 1.5:
        view.box((x, z), (0, 0, side * 12, tall), _rgb(color, sunny[1]), BACKGROUND)
    if z + long < 2:
        return
    wall = _rgb(color, sunny[0])
    view.shape([(x, 0, near), (x, tall, near), (x, tall, z + long), (x, 0, z + long)], wall, BACKGROUND)
    _windows(view, rng, x, (z, z + long), tall)
    if rng.random() < 0.4:  # a shop: awning in a colour that a sign might have
        band = [(x, 2.5, near), (x - side * 0.7, 2.1, near), (x - side * 0.7, 2.1, z + long), (x, 2.5, z + long)]
        view.shape(band, _hue(rng, (0.3, 0.8), (0.4, 0.8)), BACKGROUND)


def _windows(view: _View, rng: Generator, x: float, span: tuple[float, float], tall: float) -> None:
    z, long = span[0], span[1] - span[0]
    columns, wide = int(rng.integers(3, 6)), rng.uniform(0.4, 0.62)
    lit = rng.random((columns, 8)) < 0.45 * view.weather.lamps
    for column in range(columns):
        begin = z + long * (column + (1 - wide) / 2) / columns
        if begin < 1.5 or view.focal * long * wide / columns / begin < 3 or begin > 90:
            continue
        end = begin + long * wide / columns
        for floor in range(int(tall / 3.1)):
            low, high, glows = floor * 3.1 + 0.9 * (floor > 0), floor * 3.1 + 2.4, lit[column, floor]
            pane = (250, 214, 140) if glows else _GLASS
            corners = [(x, low, begin), (x, high, begin), (x, high, end), (x, low, end)]
            view.shape(corners, pane, BACKGROUND, 0.8 if glows else 0.0)


def _tree(view: _View, rng: Generator, foot: Point) -> None:
    tall, leaves = rng.uniform(4.5, 9), _rgb(view.drive.leaves, rng.uniform(0.8, 1.2))
    view.box(foot, (-0.16, 0, 0.16, tall * 0.6), (84, 68, 54), BACKGROUND)
    for k in range(16 if foot[1] < 60 else 5):
        at = (rng.normal(0, tall * 0.13), tall * rng.uniform(0.5, 0.95))
        radius = tall * rng.uniform(0.07, 0.16)
        view.disc(foot, at, (radius, radius * 0.8), _rgb(leaves, 0.7 + 0.04 * k), BACKGROUND, corners=9)


def _lamp_post(view: _View, rng: Generator, foot: Point, side: int) -> None:
    steel: Rgb = (92, 96, 98)
    view.box(foot, (-0.08, 0, 0.08, 6.6), steel, BACKGROUND)
    view.bar(foot, [(0, 6.5), (-side * 1.8, 6.8)], 0.1, steel, BACKGROUND)
    lit = 1.0 if view.weather.lamps > 0.4 else 0.0
    view.box(
        foot, (-side * 1.8 - 0.35, 6.65, -side * 1.8 + 0.35, 6.85), (255, 226, 170) if lit else steel, BACKGROUND, lit
    )
    view.shine(foot, (-side * 1.8, 6.7), 0.8, (255, 200, 120))


def _clutter(view: _View, rng: Generator, foot: Point) -> None:
    """What stands about and is no class: bins, skips, boards, columns; in size and colour like things that are one."""
    kind, color = int(rng.integers(5)), _hue(rng, (0.2, 0.75), (0.25, 0.7))
    if kind == 0:  # advertising board on two posts: a sign's colours, without its border
        view.box(foot, (-1.0, 0, -0.9, 3.4), (90, 90, 92), BACKGROUND)
        view.box(foot, (-1.2, 1.6, 1.2, 3.4), color, BACKGROUND)
        view.disc(foot, (rng.uniform(-0.5, 0.5), 2.5), (0.6, 0.5), _hue(rng, (0.1, 0.6), (0.5, 0.95)), BACKGROUND)
    elif kind == 1:  # skip: a vehicle's size, without wheels
        view.flat(foot, [(-1.5, 0), (1.5, 0), (1.8, 1.4), (-1.8, 1.4)], color, BACKGROUND)
        view.box(foot, (-1.8, 1.3, 1.8, 1.45), _rgb(color, 0.7), BACKGROUND)
    elif kind == 2:  # column: a person's height, without a head
        view.box(foot, (-0.3, 0, 0.3, 1.9), color, BACKGROUND)
        view.box(foot, (-0.34, 1.8, 0.34, 2.0), _rgb(color, 0.6), BACKGROUND)
    elif kind == 3:  # switch box: a traffic light's grey, on the ground
        view.box(foot, (-0.5, 0, 0.5, 1.3), (96, 104, 98), BACKGROUND)
    else:
        for right in (-0.9, 0, 0.9):
            view.box((foot[0] + right, foot[1]), (-0.07, 0, 0.07, 0.9), (60, 58, 58), BACKGROUND)


# ---- road users -----------------------------------------------------------------------------------------------------

_PAINTS: Sequence[Rgb] = ((236, 236, 234), (196, 200, 204), (40, 42, 46), (96, 100, 106), (164, 34, 36), (38, 62, 118),
                          (228, 226, 216), (120, 112, 96), (34, 78, 66), (212, 178, 44), (66, 70, 76))  # fmt: skip
_BODIES = ((1.8, 1.46, 4.3), (1.9, 1.72, 4.6), (2.0, 2.3, 5.2), (2.5, 3.4, 8.5), (2.55, 3.1, 11.0))  # wide, tall, long
_SKIN: Sequence[Rgb] = ((238, 196, 166), (214, 162, 126), (166, 112, 80), (110, 74, 54))
_TYRE: Rgb = (24, 24, 26)


@dataclass(frozen=True)
class _Body:
    """A vehicle that is to be drawn: left-to-right middle and near end (metres), sizes, paint, where it looks."""

    x: float
    z: float
    size: tuple[float, float, float]
    paint: Rgb
    away: bool

    @property
    def belt(self) -> float:
        return self.size[1] * (0.6 if self.size[1] < 2 else 0.5)

    @property
    def narrow(self) -> float:
        """Width of the roof as a share of the body's."""
        return 0.97 if self.size[1] > 2 else 0.78

    @property
    def cabin(self) -> tuple[float, float, float, float]:
        """Where along the body the cabin begins and ends, at the belt and at the roof, as shares of its length."""
        if self.size[1] > 2:
            return (0.0, 0.02, 0.97, 1.0)
        return (0.03, 0.14, 0.6, 0.74) if self.away else (0.26, 0.4, 0.86, 0.97)


def _vehicle(view: _View, rng: Generator, foot: Point, away: bool, small: bool = False) -> None:
    size = _BODIES[int(rng.choice(5, p=[0.55, 0.35, 0.1, 0, 0] if small else [0.42, 0.26, 0.16, 0.09, 0.07]))]
    body = _Body(*foot, size, _rgb(_pick(rng, _PAINTS), rng.uniform(0.85, 1.1)), away)
    half = size[0] / 2
    if abs(foot[0] - view.drive.offset) > half:
        _vehicle_side(view, body, foot[0] - math.copysign(half, foot[0] - view.drive.offset))
    _vehicle_end(view, body)
    _vehicle_lamps(view, body)


def _vehicle_side(view: _View, body: _Body, x: float) -> None:
    """The long side that the camera sees, at `x`."""
    (_, tall, long), z, belt = body.size, body.z, body.belt
    shade = _rgb(body.paint, 0.8 if (x > body.x) == (view.drive.sun > 0) else 0.92)
    low, roof_a, roof_b, end = (z + long * share for share in body.cabin)
    for ahead in (0.17, 0.8):
        ring = [(x, 0.33 + 0.33 * math.sin(k * 0.785), z + long * ahead + 0.36 * math.cos(k * 0.785)) for k in range(8)]
        view.shape(ring, _TYRE, VEHICLE)
    view.shape([(x, 0.3, z), (x, belt, z), (x, belt, z + long), (x, 0.3, z + long)], shade, VEHICLE)
    roof = body.x + (x - body.x) * body.narrow
    view.shape([(x, belt, low), (roof, tall, roof_a), (roof, tall, roof_b), (x, belt, end)], shade, VEHICLE)
    for ahead in (0.17, 0.8):
        arch = [(x, 0.3 + 0.3 * math.sin(k * 0.785), z + long * ahead + 0.34 * math.cos(k * 0.785)) for k in range(8)]
        view.shape(arch, _TYRE, VEHICLE)
    if tall < 3.3:  # a lorry's side is plain
        top = tall - 0.12 * tall
        high = x + (roof - x) * 0.8
        panes = [(x, belt, low + 0.2), (high, top, roof_a + 0.15), (high, top, roof_b - 0.15), (x, belt, end - 0.3)]
        view.shape(panes, (36, 42, 50), VEHICLE)


def _vehicle_end(view: _View, body: _Body) -> None:
    """The rear or the front: wheels, cabin with its pane, bonnet or boot, bumper and plate."""
    (_, tall, long), (x, z), belt, half = body.size, (body.x, body.z), body.belt, body.size[0] / 2
    for right in (-half + 0.05, half - 0.3):
        view.box((x, z), (right, 0, right + 0.25, 0.5), _TYRE, VEHICLE)
    low, top, roof = z + long * body.cabin[0], z + long * body.cabin[1], half * body.narrow

    def across(one: tuple[float, float, float], other: tuple[float, float, float], color: Rgb) -> None:
        """A panel between two edges, each given as (half its length, height, distance)."""
        (a, up_a, at_a), (b, up_b, at_b) = one, other
        corners = [(x - a, up_a, at_a), (x + a, up_a, at_a), (x + b, up_b, at_b), (x - b, up_b, at_b)]
        view.shape(corners, color, VEHICLE)

    across((half, belt, low), (roof, tall, top), body.paint)
    if not (tall > 3.3 and body.away):
        across((half * 0.86, belt + 0.05, low), (roof * 0.86, tall * 0.93, top), (44, 52, 62))
    across((half, belt, z), (half, belt, low), _rgb(body.paint, 1.12))
    view.flat((x, z), [(-half, 0.28), (half, 0.28), (half, belt * 0.9), (half * 0.94, belt), (-half * 0.94, belt),
                       (-half, belt * 0.9)], body.paint, VEHICLE)  # fmt: skip
    view.box((x, z), (-half * 0.97, 0.26, half * 0.97, 0.5), _rgb(body.paint, 0.45), VEHICLE)
    view.box((x, z), (-0.26, 0.52, 0.26, 0.64), (226, 224, 206), VEHICLE)


def _vehicle_lamps(view: _View, body: _Body) -> None:
    foot, half, on = (body.x, body.z), body.size[0] / 2, view.weather.lamps
    color: Rgb = (216, 30, 26) if body.away else (255, 250, 232)
    for side in (-1, 1):
        inner, outer = sorted((side * half * 0.58, side * half * 0.94))
        view.box(foot, (inner, body.belt * 0.68, outer, body.belt * 0.86), color, VEHICLE, min(1, 0.25 + on))
        if on:
            view.shine(foot, (side * half * 0.76, body.belt * 0.77), 0.16 if body.away else 0.24, _rgb(color, 0.8))


def _crossing(view: _View, rng: Generator, foot: Point) -> None:
    """A car that crosses ahead, seen from its side."""
    paint, way = _pick(rng, _PAINTS), int(rng.choice([-1, 1]))
    body = [(-2.1, 0.3), (2.1, 0.3), (2.15, 0.75), (1.3, 0.92), (-2.0, 0.95), (-2.15, 0.6)]
    cabin, pane = (
        [(-1.7, 0.9), (1.15, 0.9), (0.5, 1.46), (-1.2, 1.46)],
        [(-1.45, 0.95), (0.9, 0.95), (0.42, 1.36), (-1.1, 1.36)],
    )
    for points, color in ((body, paint), (cabin, paint), (pane, _GLASS)):
        view.flat(foot, [(way * right, up) for right, up in points], color, VEHICLE)
    for right in (-1.35, 1.3):
        view.disc(foot, (way * right, 0.33), (0.34, 0.34), _TYRE, VEHICLE)
        view.disc(foot, (way * right, 0.33), (0.18, 0.18), (150, 152, 156), VEHICLE)


def _person(view: _View, rng: Generator, foot: Point) -> None:
    tall, stride = rng.uniform(1.5, 1.9), rng.uniform(0.02, 0.16) * (1 if view.frame % 2 else -1)
    coat, trousers = _hue(rng, (0.1, 0.85), (0.25, 0.9)), _hue(rng, (0.1, 0.5), (0.12, 0.45))
    skin, hair = _pick(rng, _SKIN), _pick(rng, [(30, 24, 22), (86, 58, 36), (170, 134, 80), (120, 118, 116)])

    def bar(one: Point, other: Point, thick: float, color: Rgb) -> None:
        view.bar(foot, [(right * tall, up * tall) for right, up in (one, other)], thick * tall, color, PERSON)

    for way in (-1, 1):
        bar((way * 0.045, 0.52), (way * 0.05 + way * stride, 0.03), 0.085, _rgb(trousers, 1 - 0.12 * way))
        bar((way * (0.03 + stride), 0.015), (way * (0.1 + stride), 0.015), 0.03, (32, 28, 28))
    bar((-0.15, 0.8), (-0.16 - stride / 2, 0.48), 0.06, _rgb(coat, 0.82))
    corners = [(-0.155, 0.81), (-0.06, 0.85), (0.06, 0.85), (0.155, 0.81), (0.12, 0.46), (-0.12, 0.46)]
    view.flat(foot, [(right * tall, up * tall) for right, up in corners], coat, PERSON)
    bar((0.15, 0.8), (0.16 + stride / 2, 0.48), 0.06, _rgb(coat, 0.9))
    bar((0, 0.83), (0, 0.9), 0.05, skin)
    view.disc(foot, (0, 0.945 * tall), (0.052 * tall, 0.064 * tall), hair, PERSON)
    view.disc(foot, (0.008 * tall, 0.93 * tall), (0.045 * tall, 0.055 * tall), skin, PERSON)


def _bicycle(view: _View, rng: Generator, foot: Point) -> None:
    """A bicycle from its side or turned away by up to 70 degrees; the rider is a person, as in BDD-simple."""
    turn, frame = float(rng.choice([-1, 1])) * rng.uniform(0.35, 1.0), _hue(rng, (0.5, 0.95), (0.45, 0.95))

    def bar(one: Point, other: Point, thick: float, color: Rgb, label: int = BICYCLE) -> None:
        view.bar(foot, [(turn * right, up) for right, up in (one, other)], thick, color, label)

    for right in (-0.53, 0.53):
        view.disc(foot, (turn * right, 0.35), (max(0.06, abs(turn) * 0.35), 0.35), _TYRE, BICYCLE)
        view.disc(foot, (turn * right, 0.35), (max(0.02, abs(turn) * 0.27), 0.27), (128, 130, 132), BICYCLE)
    for a, b, c, d in ((-0.53, 0.35, 0, 0.33), (-0.53, 0.35, -0.2, 0.85), (0, 0.33, -0.22, 0.9), (0, 0.33, 0.4, 0.82),
                       (-0.2, 0.8, 0.4, 0.85), (0.53, 0.35, 0.38, 1.0)):  # fmt: skip
        bar((a, b), (c, d), 0.075, frame)
    bar((0.3, 1.02), (0.48, 1.02), 0.06, _TYRE)
    bar((-0.34, 0.94), (-0.1, 0.94), 0.08, _TYRE)
    if rng.random() < 0.65:
        coat, skin = _hue(rng, (0.2, 0.85), (0.3, 0.9)), _pick(rng, _SKIN)
        bar((-0.2, 0.95), (0.12, 0.62), 0.16, (44, 48, 66), PERSON)
        bar((0.12, 0.62), (0.02, 0.25), 0.12, (52, 56, 76), PERSON)
        view.bar(foot, [(-turn * 0.2, 0.95), (turn * 0.1, 1.45)], 0.34, coat, PERSON)
        bar((0.1, 1.38), (0.36, 1.04), 0.09, _rgb(coat, 0.85), PERSON)
        view.disc(foot, (turn * 0.17, 1.62), (0.1, 0.13), skin, PERSON)
        view.disc(foot, (turn * 0.16, 1.69), (0.12, 0.08), _hue(rng, (0.2, 0.9), (0.4, 0.95)), PERSON)


# ---- lights and signs -----------------------------------------------------------------------------------------------

_LAMPS: Sequence[Rgb] = ((255, 54, 40), (255, 190, 40), (40, 240, 140))
_RED, _BLUE, _YELLOW, _WHITE, _INK = (206, 26, 34), (24, 82, 176), (246, 200, 24), (244, 244, 240), (28, 28, 30)


_PLATES = ((20, 0.5, _RED, _WHITE, _INK), (3, 0.75, _RED, _WHITE, _INK), (20, 0.5, _WHITE, _BLUE, _WHITE),
           (8, 0.5, _WHITE, _RED, _WHITE), (4, 0.0, _WHITE, _YELLOW, _INK),
           (4, 0.5, _WHITE, _BLUE, _WHITE))  # fmt: skip
"""Signs: corners, turn (of the angle between two corners), colours of rim, field and bar."""


def _traffic_light(view: _View, foot: Point, side: int, lit: int) -> None:
    """A pole with a light at its side and, on the near side of the junction, one on an arm over the road."""
    heads = [(0.0, 2.7)] if side < 0 else [(0.0, 2.7), (-2.6, 4.7)]
    view.box(foot, (-0.07, 0, 0.07, 5.3 if side > 0 else 2.9), (74, 78, 78), BACKGROUND)
    if side > 0:
        view.bar(foot, [(0, 5.2), (-2.7, 5.35)], 0.12, (74, 78, 78), BACKGROUND)
    for right, up in heads:
        view.box(foot, (right - 0.21, up, right + 0.21, up + 1.04), view.drive.housing, LIGHT)
        for k, color in enumerate(_LAMPS):
            at, on = (right, up + 0.86 - 0.34 * k), k == lit
            view.disc(foot, at, (0.145, 0.145), color if on else (52, 48, 46), LIGHT, lit=1.0 if on else 0.0)
            if on:
                view.shine(foot, at, 0.3, color)


def _sign(view: _View, rng: Generator, foot: Point) -> None:
    kind, up, big = int(rng.integers(8)), rng.uniform(2.1, 2.9), rng.uniform(0.3, 0.39)
    view.box(foot, (-0.045, 0, 0.045, up), (132, 134, 134), BACKGROUND)
    plate = partial(view.disc, foot, (0, up), label=SIGN, lit=0.15 * view.weather.lamps)
    if kind >= 6:  # direction board
        color: Rgb = (22, 110, 78) if kind == 6 else _BLUE
        view.box(foot, (-big * 1.7, up - big, big * 1.7, up + big), _WHITE, SIGN)
        view.box(foot, (-big * 1.58, up - big * 0.88, big * 1.58, up + big * 0.88), color, SIGN)
        for k in (-0.4, 0.4):
            view.box(
                foot,
                (-big * 1.3, up + big * (k - 0.14), big * rng.uniform(0.2, 1.3), up + big * (k + 0.14)),
                _WHITE,
                SIGN,
            )
        return
    corners, turn, outer, middle, inner = _PLATES[kind]
    size = big * (1.25 if corners < 5 else 1.0)
    plate(radius=(size, size), color=outer, corners=corners, turn=turn)
    rim = 0.72 if outer == _RED else 0.88
    plate(radius=(size * rim, size * rim), color=middle, corners=corners, turn=turn)
    view.box(foot, (-size * 0.3, up - size * 0.16, size * 0.3, up + size * 0.16), inner, SIGN)


# ---- the scene ------------------------------------------------------------------------------------------------------


def _street(view: _View, things: list[tuple[float, Paint]]) -> None:
    """Trees, posts, clutter and signs along both sides, with the distance at which each is to be painted."""
    drive = view.drive
    for begin, side, rng in view.cells(8, 11):
        x, z = drive.edge(side) + side * (drive.pavement * 0.85 + rng.uniform(0, 2)), begin + rng.uniform(0, 4)
        if z > 4 and rng.random() < drive.green:
            things.append((z, partial(_tree, view, rng, (x, z))))
        elif z > 4 and rng.random() < 0.3:
            things.append((z, partial(_clutter, view, rng, (x, z))))
    for z, side, rng in view.cells(24, 12):
        things.append((z, partial(_lamp_post, view, rng, (drive.edge(side) + side * 0.6, z), side)))
    for z, side, rng in view.cells(19, 13, 60, 5):
        if drive.meets(SIGN) and rng.random() < (0.8 if side > 0 else 0.35):
            things.append((z, partial(_sign, view, rng, (drive.edge(side) + side * rng.uniform(0.5, 0.9), z))))


def _junction(view: _View, things: list[tuple[float, Paint]]) -> float:
    """Lights and cross traffic of the junction ahead; its distance, far away where the drive meets none."""
    drive = view.drive
    if not drive.meets(LIGHT):
        return 1e4
    z = 11 + (-view.travelled) % 32
    rng = stream(drive.seed, 7, drive.number, view.frame // 5)
    lit, crossed = int(rng.choice(3, p=[0.45, 0.1, 0.45])), rng.random()
    for side in (-1, 1):
        things.append((z, partial(_traffic_light, view, (drive.edge(side) + side * 0.5, z), side, lit)))
    if lit == 0 and crossed < 0.5:
        things.append(
            (z + 4, partial(_crossing, view, rng, (rng.uniform(drive.left, 1) + view.frame % 5 * 0.5, z + 4)))
        )
    return z


def _traffic(view: _View, things: list[tuple[float, Paint]], shade: Callable[..., None]) -> None:
    """Vehicles: parked, oncoming, ahead in the own lane."""
    drive = view.drive
    spots: list[tuple[float, float, Generator, bool, bool]] = []
    for z, side, rng in view.cells(6.5, 14, 70, 4):
        if drive.parking and side == drive.kerb_side and rng.random() < 0.5:
            spots.append((drive.edge(side) - side * 1.15, z + rng.uniform(0, 1), rng, side > 0, True))
    gap, speed = 24.0, drive.step * 2.2
    for cell in range(8):
        place = math.floor((drive.start + speed * view.frame) / gap) + cell
        rng = stream(drive.seed, 8, drive.number, place)
        z = place * gap - drive.start - speed * view.frame + rng.uniform(0, 12)
        if rng.random() < 0.55 and z > 6:
            spots.append((-3.35, z, rng, False, False))
    rng = stream(drive.seed, 9, drive.number)
    ahead = rng.uniform(9, 30) + 2 * math.sin(view.frame * 0.8 + drive.number)
    if rng.random() < 0.8:
        spots.append((rng.normal(0, 0.15), ahead, rng, True, False))
    for x, z, rng, away, small in spots:
        shade((x, z), (1.9, 4.4))
        things.append((z, partial(_vehicle, view, rng, (x, z), away, small)))


def _walkers(view: _View, things: list[tuple[float, Paint]], shade: Callable[..., None]) -> None:
    """Persons and bicycles, in episodes, in view for some frames of each: as rare as in real traffic."""
    drive = view.drive
    for label in (PERSON, BICYCLE):
        time = view.frame + _turn(drive.seed, drive.number, label) * 5
        since, rng = time % _EPISODE, stream(drive.seed, 10, drive.number, label, time // _EPISODE)
        if not drive.meets(label) or since >= _IN_VIEW[label]:
            continue
        for one in rng.spawn(int(rng.choice([1, 2, 3, 4] if label == PERSON else [1, 1, 2]))):
            foot = _place(view, one, label, since)
            shade(foot, (0.5, 0.5))
            paint = partial(_person, view, one, foot) if label == PERSON else partial(_bicycle, view, one, foot)
            things.append((foot[1], paint))


def _place(view: _View, rng: Generator, label: int, since: int) -> Point:
    """Where a person or a bicycle is, `since` frames after it came: by the kerb or, seldom, on the road."""
    drive, pace = view.drive, rng.uniform(-0.2, 0.2)
    side = drive.kerb_side if label == PERSON and rng.random() < 0.4 else -drive.kerb_side
    x = drive.edge(side) + side * (rng.uniform(0.3, 1.6) if label == PERSON else rng.uniform(-1.0, 0.4))
    if label == PERSON and rng.random() < 0.2:
        x, pace = rng.uniform(max(drive.left, -5) + 1, drive.right), pace * 4
    x += pace * since
    z = (rng.uniform(8, 19) if label == PERSON else rng.uniform(7.5, 14)) - since * drive.step * 0.5
    return x, max(z, abs(x - drive.offset) * drive.focal / 0.42)  # far enough to be within the picture


def _develop(view: _View) -> NDArray[np.uint8]:
    """The picture as the sensor gives it: glow, wet road, lens, exposure, white balance, noise."""
    drive, weather = view.drive, view.weather
    rng = stream(drive.seed, 11, drive.number, view.frame)
    image = view.image.filter(ImageFilter.BoxBlur(view.width / 2400))  # a lens is never quite sharp
    if weather.lamps:
        glow = view.glow.filter(ImageFilter.GaussianBlur(view.width / 320)).resize(
            image.size, Image.Resampling.BILINEAR
        )
        image = ImageChops.add(image, glow)
    if weather is _RAIN:
        image = ImageChops.add(image, _streaks(rng, image.size))
    pixels = np.asarray(image).astype(np.float32)
    if weather.wet:
        _reflect(view, pixels)
    light = 1 + 0.05 * _clouds(stream(drive.seed, 12, drive.number), (view.height, view.width), (5, 8))
    pixels *= (light[..., None] * drive.gain).astype(np.float32)
    pixels += rng.standard_normal(pixels.shape[:2], np.float32)[..., None] * np.float32(drive.noise)
    return pixels.clip(0, 255).astype(np.uint8)


def _streaks(rng: Generator, size: tuple[int, int]) -> Image.Image:
    rain = Image.new("RGB", size)
    pen, long = ImageDraw.Draw(rain), size[1] / 22
    for u, v in rng.random((260, 2)):
        start = (u * size[0], v * size[1])
        pen.line((start, (start[0] - long * 0.12, start[1] + long)), fill=(26, 27, 28), width=max(1, size[0] // 900))
    return rain


def _reflect(view: _View, pixels: Array) -> None:
    """Mix into the road what stands above it, mirrored at the horizon."""
    line = int(view.horizon)
    rows = min(view.height - line, line)
    mirror, road = pixels[line - rows : line][::-1], np.asarray(view.mask)[line : line + rows] == ROAD
    part = pixels[line : line + rows]
    part += (mirror - part) * (road * np.float32(view.weather.wet))[..., None]


def _bonnet(view: _View) -> None:
    """The own car's bonnet along the lower edge: part of the camera rather than of the scene, hence not labelled."""
    high = view.height * (1 - view.drive.bonnet)
    points = [(0.0, view.height), (0.0, high + view.height * 0.015), (view.width * 0.3, high), (view.width * 0.7, high),
              (view.width, high + view.height * 0.015), (view.width, view.height)]  # fmt: skip
    view.pen.polygon(points, fill=_rgb((38, 40, 46), view.weather.ambient))
    view.marker.polygon(points, fill=IGNORE)


def draw_scene(
    seed: int, drive: int, frame: int, size: tuple[int, int] = (720, 1280)
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """One frame of one drive: the same arguments, the same pixels, whatever was drawn before.

    Args:
        seed: of the whole sample, 0 or more.
        drive: number of the drive, from 0; it settles light, weather, camera, road and town.
        frame: number of the frame, from 0; the camera goes on by 0.7 to 2 metres with each.
        size: (height, width) in pixels.

    Returns:
        The H×W×3 uint8 picture (RGB), and its H×W uint8 mask: indices of `ROAD_SCENE`, 255 for the own bonnet.
    """
    view = _View(_Drive(seed, drive), frame, size)
    shadows, things = Image.new("L", (size[1] // 4, size[0] // 4)), list[tuple[float, Paint]]()
    shade = partial(_shadow, view, ImageDraw.Draw(shadows))
    junction = _junction(view, things)
    _street(view, things)
    _traffic(view, things, shade)
    _walkers(view, things, shade)
    _sky(view)
    _skyline(view)
    _ground(view, shadows, junction)
    _houses(view)
    for _, paint in sorted(things, key=lambda thing: -thing[0]):
        paint()
    if view.drive.bonnet:
        _bonnet(view)
    return _develop(view), np.array(view.mask)
