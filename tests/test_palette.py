"""The default palette: can people with a colour-vision deficiency tell its colours apart? An independent reckoning."""

import math
from itertools import combinations

import numpy as np
import pytest

from sightline.classes import PALETTE, ROAD_SCENE, default_palette, parse_color
from sightline.masks import IGNORED_RGB

# Machado, Oliveira and Fernandes 2009, severity 1.0: linear RGB -> linear RGB as it is seen.
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def lab(rgb, vision="normal"):
    """sRGB (0 to 255) -> CIELAB under D65, as seen with `vision`."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in np.array(rgb) / 255]
    x, y, z = XYZ @ np.clip(np.array(VISION[vision]) @ linear, 0, 1) / (0.95047, 1.0, 1.08883)
    fx, fy, fz = (t ** (1 / 3) if t > (6 / 29) ** 3 else t * (29 / 6) ** 2 / 3 + 4 / 29 for t in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def ciede2000(one, other):
    """Colour difference of two CIELAB colours, after Sharma, Wu and Dalal 2005 (their equations 2 to 22)."""
    (l1, a1, b1), (l2, a2, b2) = one, other
    c = (math.hypot(a1, b1) + math.hypot(a2, b2)) / 2
    g = 1 + 0.5 * (1 - math.sqrt(c**7 / (c**7 + 25**7)))
    c1, c2 = math.hypot(g * a1, b1), math.hypot(g * a2, b2)
    h1, h2 = math.degrees(math.atan2(b1, g * a1)) % 360, math.degrees(math.atan2(b2, g * a2)) % 360
    turn = 0 if c1 * c2 == 0 else (h2 - h1 + 180) % 360 - 180
    mean_h = h1 + h2 if c1 * c2 == 0 else (h1 + turn / 2) % 360
    mean_l, mean_c = (l1 + l2) / 2, (c1 + c2) / 2
    weights = ((1, -0.17, 30), (2, 0.24, 0), (3, 0.32, -6), (4, -0.20, 63))
    t = 1 + sum(w * math.cos(math.radians(k * mean_h - shift)) for k, w, shift in weights)
    s_l = 1 + 0.015 * (mean_l - 50) ** 2 / math.sqrt(20 + (mean_l - 50) ** 2)
    bend = 60 * math.exp(-(((mean_h - 275) / 25) ** 2))
    r = -2 * math.sqrt(mean_c**7 / (mean_c**7 + 25**7)) * math.sin(math.radians(bend))
    d_l, d_c = (l2 - l1) / s_l, (c2 - c1) / (1 + 0.045 * mean_c)
    d_h = 2 * math.sqrt(c1 * c2) * math.sin(math.radians(turn / 2)) / (1 + 0.015 * mean_c * t)
    return math.sqrt(d_l**2 + d_c**2 + d_h**2 + r * d_c * d_h)


def smallest(colors):
    """(difference, vision, pair) of the two colours that are hardest to tell apart."""
    seen = {vision: {color: lab(parse_color(color), vision) for color in colors} for vision in VISION}
    return min(
        (ciede2000(labs[a], labs[b]), vision, (a, b))
        for vision, labs in seen.items()
        for a, b in combinations(colors, 2)
    )


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [  # of the test data that Sharma, Wu and Dalal publish: numbers 1, 7, 17, 20, 25, 34
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 0, 0), (50, -1, 2), 2.3669),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((50, 2.5, 0), (58, 24, 15), 19.4535),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_the_yardstick_gives_the_published_differences(one, other, expected):
    assert ciede2000(one, other) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("count", "bound"), [(7, 24.7), (11, 15.1), (19, 11.8), (24, 9.7)])
def test_the_first_colours_can_be_told_apart(count, bound):
    difference, vision, pair = smallest(PALETTE[:count])
    assert difference >= bound, f"{pair} differ by {difference:.1f} with {vision}"


def test_the_yardstick_finds_a_palette_that_cannot_be_told_apart():
    red_and_green = ("#c80000", "#6e6400")
    difference, vision, _ = smallest(red_and_green)
    assert difference < 15
    assert vision != "normal"
    assert ciede2000(*(lab(parse_color(color)) for color in red_and_green)) > 40


def test_the_background_is_dark_and_neutral():
    lightness, a, b = lab(parse_color(ROAD_SCENE.colors[0]))
    assert lightness < 20
    assert math.hypot(a, b) < 5


def test_no_colour_is_taken_for_ignored_pixels():
    assert min(ciede2000(lab(parse_color(color)), lab(IGNORED_RGB)) for color in PALETTE) > 10


def test_the_palette_is_long_enough_and_begins_again():
    assert len(set(PALETTE)) == len(PALETTE) >= 24
    assert default_palette(7) == PALETTE[:7] == ROAD_SCENE.colors
    assert default_palette(len(PALETTE) + 2)[-2:] == PALETTE[:2]
