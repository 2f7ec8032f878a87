"""The page: one HTML file that carries its style, its scripts, its charts and its pictures in itself."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from sightline.reporting import figures
from sightline.reporting.facts import Facts
from sightline.reporting.material import Material
from sightline.reporting.pictures import example_pictures, sample_pictures
from sightline.reporting.plotting import Figure
from sightline.reporting.sweep_figures import sweep_figures
from sightline.wording import MISSING, count, interval, listed, percent, plural, score, short

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def render(facts: Facts, material: Material) -> bytes:
    """The report as the bytes of an HTML file; the same facts and artifacts give the same bytes.

    It loads nothing: a content security policy allows the two scripts that stand in it (by their digests), its own
    style, and pictures that stand in it.
    """
    scripts = {"plotly": _plotly_script(), "page": _text("report.js")}
    page = (
        environment()
        .get_template("report.html.jinja")
        .render(
            facts=facts,
            figures=_figures(facts),
            samples=[(one, sample_pictures(one, material.split, facts.classes)) for one in facts.samples],
            example_pictures=lambda one: example_pictures(one, material.split, material.evaluation, facts.classes),
            policy=policy(scripts.values()),
            style=inline(_text("report.css")),
            scripts={name: inline(text) for name, text in scripts.items()},
        )
    )
    return page.encode("utf-8", "backslashreplace")


def policy(scripts: Iterable[str]) -> str:
    """The content security policy that lets these inline scripts run and nothing be loaded."""
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def figure_data(figure: Figure) -> Markup:
    """The chart's JSON for a `<script type="application/json">`: no `<` that could end it."""
    return inline(figure.spec.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def coded(text: str) -> Markup:
    """Text with what stands between backticks as code, escaped."""
    from markupsafe import Markup

    parts = text.split("`")
    marked = [Markup("<code>{}</code>").format(part) if place % 2 else part for place, part in enumerate(parts)]
    return Markup("").join(marked) if len(parts) % 2 else Markup("{}").format(text)


def environment(package: str = "sightline.reporting") -> Environment:
    """Templates of a package of ours, escaping all they print, with the filters that say numbers and lists in words."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader(package, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters = (coded, count, figure_data, interval, listed, percent, plural, score, short)
    made.filters |= {each.__name__: each for each in filters}
    made.globals |= {"MISSING": MISSING}
    return made


def _figures(facts: Facts) -> dict[str, Any]:
    return {
        "presence": figures.presence(facts.data),
        "pixel_shares": figures.pixel_shares(facts.data),
        "subset_shares": figures.subset_shares(facts.split),
        "losses": figures.losses(facts.training),
        "miou": figures.miou_curve(facts.training),
        "lr": figures.lr_curve(facts.training),
        "iou_curves": figures.iou_curves(facts.training),
        "iou_bars": figures.iou_bars(facts.results),
        "confusion": figures.confusion(facts.results),
        "sweep": sweep_figures(facts.sweep) if facts.sweep else {},
    }


def _plotly_script() -> str:
    """plotly.js as the plotly package ships it, safe between script tags."""
    from plotly.offline import get_plotlyjs

    text: str = get_plotlyjs()
    return text.replace("\r\n", "\n").replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _text(name: str) -> str:
    return files("sightline.reporting").joinpath(name).read_text(encoding="utf-8")


def inline(text: str) -> Markup:
    """Text that is put into the page as it is: only what this package or plotly wrote, never data."""
    from markupsafe import Markup

    return Markup(text)
