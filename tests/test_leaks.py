"""Leaks between subsets: each check against a plain reading of its definition, pair by pair."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline import leaks
from sightline.leaks import (
    describe,
    find_leaks,
    leave_gaps,
    near_duplicates,
    shared_groups,
    touching_frames,
    unnumbered_drives,
)

STAGES = ("train", "valid", "test")


def frames(drives: dict[str, str], hashes: list[int] | None = None) -> pd.DataFrame:
    """Drives of frames 0, 30, 60, …, each frame a letter: t(rain), v(alid), x (test), - (left out)."""
    stages = {"t": "train", "v": "valid", "x": "test", "-": None}
    rows = [
        (f"{drive}_{place * 30:04}.jpg", f"{drive}_{letter}", drive, place * 30, stages[letter])
        for drive, letters in drives.items()
        for place, letter in enumerate(letters)
    ]
    table = pd.DataFrame(rows, columns=["File_Name", "Group", "Drive", "Frame", "Stage"])
    numbers = hashes or [place << 32 | 0xFFFFFFFF * (place % 2) for place in range(len(rows))]
    return table.assign(PHash=[f"{number:016x}" for number in numbers], Stage=table["Stage"].astype(object))


def left_out(drives: dict[str, str], gap: int) -> str:
    """The drives' letters with those left out as '-', joined by spaces."""
    table = frames(drives)
    dropped = set(leave_gaps(table, gap)["File_Name"])
    letters = pd.Series(list("".join(drives.values()))).where(~table["File_Name"].isin(dropped), "-")
    return " ".join("".join(letters[table["Drive"] == drive]) for drive in drives)


@pytest.mark.parametrize(
    ("drive", "gap", "after"),
    [
        ("ttttvvvv", 0, "ttttvvvv"),
        ("ttttvvvv", 1, "ttt-vvvv"),
        ("vvvvtttt", 2, "vvvv--tt"),
        ("ttxxtttt", 1, "t-xx-ttt"),
        ("vvvvxxxx", 1, "vvv-xxxx"),  # between valid and test it is valid that gives way
        ("vvvtxxxx", 3, "v---xxxx"),  # a short stretch of train does not shorten the gap
        ("tttvxxxx", 1, "ttt-xxxx"),  # valid is gone, and train need not give way to it
        ("tttttttt", 3, "tttttttt"),
        ("tv", 5, "-v"),
    ],
)
def test_gap_at_a_border(drive, gap, after):
    assert left_out({"A": drive}, gap) == after


def test_gap_does_not_reach_into_another_drive():
    assert left_out({"A": "tttt", "B": "vvvv", "C": "ttvv"}, 2) == "tttt vvvv --vv"


def test_gap_says_which_images_and_why():
    (dropped,) = leave_gaps(frames({"A": "ttvv"}), 1).to_dict("records")
    assert dropped == {
        "File_Name": "A_0030.jpg",
        "Group": "A_t",
        "reason": "train, at most 1 frame from valid or test in drive A",
    }


def test_gap_counts_frames_and_not_the_images_of_several_cameras():
    table = frames({"A": "tttttt"})
    table["Frame"] = [0, 0, 1, 1, 2, 2]
    table["Stage"] = ["train"] * 4 + ["test"] * 2
    assert leave_gaps(table, 1)["File_Name"].tolist() == ["A_0060.jpg", "A_0090.jpg"]


def test_no_gap_where_frames_have_no_numbers():
    table = frames({"A": "ttvv", "B": "tttt", "C": "ttvv"})
    table.loc[table["Drive"] != "C", "Frame"] = 0
    assert set(leave_gaps(table, 1)["Group"]) == {"C_t"}
    assert unnumbered_drives(table) == ["A"]
    assert {pair["drive"] for pair in touching_frames(table)} == {"C"}


DRIVES = st.dictionaries(st.sampled_from("ABC"), st.text("tvx", max_size=12), min_size=1)


@settings(deadline=None)
@given(DRIVES, st.integers(0, 4), st.randoms())
def test_gap_parts_all_subsets_and_leaves_out_no_more(drives, gap, random):
    table = frames(drives)
    table = table.sample(frac=1, random_state=random.randrange(1 << 30))
    dropped = set(leave_gaps(table, gap)["File_Name"])
    kept = table[~table["File_Name"].isin(dropped)]
    apart = {
        frozenset((a.File_Name, b.File_Name)): abs(a.Frame - b.Frame) // 30
        for a, b in combinations(table.itertuples(), 2)
        if a.Drive == b.Drive and a.Stage != b.Stage
    }
    if gap:
        assert all(apart.get(frozenset(pair), 99) > gap for pair in combinations(kept["File_Name"], 2))
    for name in dropped:
        assert any(apart.get(frozenset((name, other)), 99) <= gap for other in kept["File_Name"])
    assert dropped.isdisjoint(table.loc[table["Stage"] == "test", "File_Name"])


def test_touching_frames_are_neighbours_in_two_subsets_closest_first():
    table = frames({"A": "ttv-t", "B": "xxt"})
    table.loc[table["File_Name"] == "B_0060.jpg", "Frame"] = 32
    assert touching_frames(table) == [
        {
            "a": "B_0030.jpg",
            "b": "B_0060.jpg",
            "a_subset": "test",
            "b_subset": "train",
            "drive": "B",
            "frames_apart": 2,
        },
        {
            "a": "A_0030.jpg",
            "b": "A_0060.jpg",
            "a_subset": "train",
            "b_subset": "valid",
            "drive": "A",
            "frames_apart": 30,
        },
    ]


def test_frame_numbers_stay_exact():
    table = frames({"A": "tv"})
    table["Frame"] = [2**60, 2**60 + 1]
    assert touching_frames(table)[0]["frames_apart"] == 1


def test_groups_in_two_subsets():
    table = frames({"A": "ttvx", "B": "xx-"})
    table["Group"] = ["one", "two", "one", "one", "two", "three", "three"]
    assert shared_groups(table) == [
        {"group": "one", "subsets": ["train", "valid", "test"]},
        {"group": "two", "subsets": ["train", "test"]},
    ]


HASHES = st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 3, 7, 2**63, 2**64 - 1, 2**63 + 2**62])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(HASHES, st.sampled_from("tvx-")), max_size=24), st.integers(0, 32), st.integers(1, 40))
def test_near_duplicates_are_all_pairs_within_the_distance(images, bits, block):
    table = frames({"A": "".join(stage for _, stage in images)}, [number for number, _ in images])
    expected = sorted(
        ((int(a.PHash, 16) ^ int(b.PHash, 16)).bit_count(), a.File_Name, b.File_Name, a.Stage, b.Stage)
        for a, b in combinations(table.itertuples(), 2)
        if {a.Stage, b.Stage} <= set(STAGES) and a.Stage != b.Stage
    )
    expected = [pair for pair in expected if pair[0] <= bits]
    with pytest.MonkeyPatch.context() as patch:  # blocks so small that there are several
        patch.setattr(leaks, "BLOCK", block)
        pairs, count = near_duplicates(table.sample(frac=1, random_state=bits), bits)
    assert count == len(expected)
    assert [(p["distance"], p["a"], p["b"], p["a_subset"], p["b_subset"]) for p in pairs] == expected[:200]


def test_the_200_nearest_of_many_near_duplicates_are_kept():
    rng = np.random.default_rng(0)
    hashes = [int(number) for number in rng.integers(0, 8, 60)]
    table = frames({"A": "t" * 30 + "v" * 20 + "x" * 10}, hashes)
    pairs, count = near_duplicates(table, 4)
    names, stages = table["File_Name"], table["Stage"]
    nearest = sorted(
        ((hashes[a] ^ hashes[b]).bit_count(), names[a], names[b])
        for a, b in combinations(range(60), 2)
        if stages[a] != stages[b]
    )
    assert count == len(nearest) == 30 * 20 + 30 * 10 + 20 * 10
    assert [(pair["distance"], pair["a"], pair["b"]) for pair in pairs] == nearest[:200]


def test_a_long_search_shows_progress_and_finds_the_same(monkeypatch, capsys):
    table = frames({"A": "ttvx"}, [0, 1, 1, 3])
    quiet = near_duplicates(table, 4)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(leaks, "SLOW", 0)
    seen = []
    monkeypatch.setattr(leaks, "track", lambda items, title, total: seen.append((title, total)) or items)
    assert near_duplicates(table, 4) == quiet
    assert seen == [("looking for near-duplicates", 3)]


def test_the_outcome_in_words():
    clean = describe(find_leaks(frames({"A": "tttt", "B": "vv", "C": "xx"}, [2**n - 1 for n in range(0, 64, 8)]), 4))
    assert [well for well, _ in clean] == [True, True, True]
    table = frames({"A": "ttvv"}, [0, 0, 0, 2**32 - 1]).assign(Group="one")
    found = describe(find_leaks(table, 4))
    assert [well for well, _ in found] == [False, False, False]
    assert found[0][1] == "1 group stands in more than one subset (first: one in train and valid)"
    assert found[1][1].startswith("2 pairs of near-duplicate images (perceptual hashes at most 4 of 64 bits apart)")
    assert found[1][1].endswith("(first: A_0000.jpg in train and A_0060.jpg in valid, 0 bits apart)")
    assert found[2][1].endswith("(first: A_0030.jpg in train and A_0060.jpg in valid, 30 frames apart)")
    table = frames({"A": "tv", "B": "tv"}, [0, 1, 2**16 - 1, 2**32 - 1]).assign(
        Frame=[1, 2, 8, 9], Group=["A", "A", "B", "B"]
    )
    found = [line for _, line in describe(find_leaks(table, 4))]
    assert found[0].startswith("2 groups stand in more than one subset (first: ")
    assert " 1 pair of near-duplicate images (" in f" {found[1]}" and " apart) stands in two subsets: " in found[1]
    assert found[1].endswith(", 1 bit apart)")
    assert found[2].startswith("2 pairs of neighbouring frames of a drive stand in two subsets")
    assert found[2].endswith(", 1 frame apart)")


def test_lists_of_pairs_are_cut_and_counts_are_whole():
    table = frames({"A": "tv" * 150}, [0] * 300)
    found = find_leaks(table, 0)
    assert (len(found["touching"]), found["touching_count"]) == (200, 299)
    assert (len(found["near_duplicates"]), found["near_duplicate_count"]) == (200, 150 * 150)
    assert found["near_duplicate_bits"] == 0
