"""The benchmarks: each answers `--help`, and what they share keeps turns and ratios right. `make bench` runs them."""

import re
import runpy
import sys

import pytest
from pages import ROOT

BENCHMARKS = sorted((ROOT / "benchmarks").glob("bench_*.py"))


@pytest.fixture(autouse=True)
def beside_them(monkeypatch):
    """As when Python runs one of them: their folder comes first."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


@pytest.mark.parametrize("script", BENCHMARKS, ids=lambda script: script.stem)
def test_each_answers_help(script, monkeypatch, capsys):
    if script.stem == "bench_inference":
        pytest.importorskip("onnxruntime")
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script), run_name="__main__")
    told = capsys.readouterr().out
    assert not ended.value.code
    assert f"python benchmarks/{script.name}" in told
    assert "--full" in told


def test_works_take_turns_after_a_warm_up_that_is_not_counted():
    from timing import Work, alternate

    done = []
    works = [Work("a", lambda: done.append("a")), Work("b", lambda: done.append("b"), 4, warm_up=False)]
    spent = alternate(works, 2)
    assert done == ["a", "a", "b", "a", "b"]
    assert {name: len(seconds) for name, seconds in spent.items()} == {"a": 2, "b": 2}


def test_a_ratio_is_told_with_its_spread_and_its_goal(capsys):
    from timing import ratios, tell_ratio

    values = ratios([3.0, 8.0, 5.0], [1.0, 2.0, 1.0])
    tell_ratio("theirs / ours", values, at_least=4)
    tell_ratio("theirs / ours", values, at_most=3.9)
    told = "RATIO theirs / ours: 4.00 x (3.00 to 5.00, 3 turns); goal "
    assert capsys.readouterr().out == f"{told}>= 4 x: met\n{told}<= 3.9 x: NOT met\n"


def test_turns_are_those_asked_for(monkeypatch, capsys):
    from timing import turns_wanted

    for arguments, turns in (([], 2), (["--full"], 6), (["--turns", "1"], 1), (["--full", "--turns", "3"], 3)):
        monkeypatch.setattr(sys, "argv", ["bench.py", *arguments])
        assert turns_wanted("", quick=2, full=6) == turns
    monkeypatch.setattr(sys, "argv", ["bench.py", "--turns", "0"])
    with pytest.raises(SystemExit):
        turns_wanted("", quick=2, full=6)
    assert "at least 1" in capsys.readouterr().err


def test_the_docs_tell_the_numbers_that_are_kept():
    import study

    text = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")
    table = text[text.index("## One change each") : text.index("](quality-speed.svg)")]
    told = [sorted(re.findall(r"(?<=\| )[\d.]+(?= \|)", line)) for line in table.splitlines() if "| 0." in line]
    results, speeds = study.known(study.FILE), study.known(study.SPEEDS)
    kept = []
    for label in study.VARIANTS:
        shares = [results[label]["miou"], *results[label]["iou"].values()]
        kept.append(
            sorted(
                [*(f"{share:.3f}" for share in shares if share is not None), f"{speeds[label]['images_a_second']:.1f}"]
            )
        )
    assert sorted(told) == sorted(kept)


def test_trackios_page_of_tables_is_served_to_be_measured_beside(tmp_path):
    from viewer_peers import trackio_rows, trackio_table

    with trackio_table([{"File_Name": f"{n}.jpg", "miou": n / 10} for n in range(7)], tmp_path / "trackio") as port:
        assert trackio_rows(port) == 7
