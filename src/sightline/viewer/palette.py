"""How far apart the colours of a palette are, for people with and without a colour-vision deficiency."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

from sightline.classes import parse_color

VISION = {
    "none": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.3039)),
}
"""Linear RGB -> linear RGB as it is seen: Machado, Oliveira and Fernandes 2009, severity 1.0."""
XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
WHITE = (0.95047, 1.0, 1.08883)

Lab = tuple[float, float, float]


def smallest_differences(colors: Sequence[str]) -> dict[str, float]:
    """Kind of vision -> the smallest CIEDE2000 difference between two of the colours `#rrggbb`; empty below two."""
    if len(colors) < 2:
        return {}
    return {
        vision: min(ciede2000(one, other) for one, other in combinations([lab(color, vision) for color in colors], 2))
        for vision in VISION
    }


def lab(color: str, vision: str = "none") -> Lab:
    """`#rrggbb` in CIELAB under D65, as seen with `vision`."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
              for part in (value / 255 for value in parse_color(color))]  # fmt: skip
    seen = [min(1.0, max(0.0, sum(w * part for w, part in zip(row, linear, strict=True)))) for row in VISION[vision]]
    ratios = [sum(w * part for w, part in zip(row, seen, strict=True)) / white
              for row, white in zip(XYZ, WHITE, strict=True)]  # fmt: skip
    x, y, z = (t ** (1 / 3) if t > (6 / 29) ** 3 else t * (29 / 6) ** 2 / 3 + 4 / 29 for t in ratios)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def ciede2000(one: Lab, other: Lab) -> float:
    """Difference of two CIELAB colours, after Sharma, Wu and Dalal 2005 (their equations 2 to 22)."""
    (l1, a1, b1), (l2, a2, b2) = one, other
    c = (math.hypot(a1, b1) + math.hypot(a2, b2)) / 2
    g = 1 + 0.5 * (1 - math.sqrt(c**7 / (c**7 + 25**7)))
    c1, c2 = math.hypot(g * a1, b1), math.hypot(g * a2, b2)
    h1, h2 = (math.degrees(math.atan2(b, g * a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    turn = 0.0 if c1 * c2 == 0 else (h2 - h1 + 180) % 360 - 180
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
