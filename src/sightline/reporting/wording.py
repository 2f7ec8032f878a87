"""The viewer's way to `sightline.wording`, until it imports that itself."""

from sightline.wording import MISSING, SUBSETS, percent, plural, score, short

__all__ = ["MISSING", "SUBSETS", "percent", "plural", "score", "short"]
