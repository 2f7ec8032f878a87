"""Reading the documentation's pages: sections, tables, what is fenced."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "benchmarks/README.md")] + sorted(
    (ROOT / "docs").glob("*.md")
)
DATA_FORMAT, METRICS, PYTHON_API, DEPENDENCIES = (
    (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    for name in ("data-format", "metrics", "python-api", "dependencies")
)


def section(page, heading):
    """What stands under a heading, up to the next one of any level."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", prose(page), re.MULTILINE | re.DOTALL)
    assert found, f"no heading {heading}"
    return found[1]


def prose(page):
    """The page without what is fenced."""
    return re.sub(r"^```.*?^```\n", "", page, flags=re.MULTILINE | re.DOTALL)


def rows(text):
    """The cells of the tables' rows, without the headings."""
    found = [
        [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    heads = [place - 1 for place, row in enumerate(found) if set("".join(row)) <= set("-: ")]
    return [row for place, row in enumerate(found) if place not in heads and place - 1 not in heads]


def code(cell):
    """What stands between backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def firsts(page, heading):
    """What the first column of a section's tables names, in order."""
    return [name for row in rows(section(page, heading)) for name in code(row[0])]


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def slug(heading):
    return re.sub(r"[^\w\- ]", "", heading.replace("`", "")).strip().lower().replace(" ", "-")
