import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.classes import ROAD_SCENE
from sightline.errors import ConfigError, DataError
from sightline.table import Table


def make(names, **columns):
    return Table.from_pandas(pd.DataFrame({"File_Name": pd.Series(list(names), dtype="str"), **columns}), ROAD_SCENE)


def test_class_map_and_types_survive_the_file(tmp_path):
    table = make(["a.jpg", "b.jpg"], road=[1, 0], share=[0.25, 0.5])
    path = table.write(tmp_path / "t.parquet")
    again = Table.read(path)
    assert again.data.equals(table.data)
    assert again.classes == ROAD_SCENE
    assert [p.name for p in tmp_path.iterdir()] == ["t.parquet"]


def test_same_rows_same_bytes(tmp_path):
    table = make(["a.jpg"], road=[1])
    assert table.write(tmp_path / "1").read_bytes() == table.write(tmp_path / "2").read_bytes()


def test_query_filters_sorts_and_limits():
    table = make("abc", **{"traffic light": [1, 0, 1], "share": [0.1, 0.3, 0.2]})
    found = table.query('"traffic light" = 1', order_by="share DESC", limit=1)
    assert found.rows() == [{"File_Name": "c", "traffic light": 1, "share": 0.2}]
    assert found.classes == ROAD_SCENE


@pytest.mark.parametrize(
    "where",
    [
        "no_such_column = 1",
        "1=1; DROP TABLE rows",
        "1 = (SELECT count(*) FROM read_csv('/etc/passwd'))",
        "1=1) ; COPY rows TO 'x' ; SELECT (1",
        "share = ",
    ],
)
def test_bad_and_prying_queries_are_a_clear_error(where):
    with pytest.raises(ConfigError):
        make("ab", share=[1, 2]).query(where)


def test_query_changes_nothing_and_reads_no_variable():
    secret = pd.DataFrame({"x": [1]})  # noqa: F841 - DuckDB would find it by name if replacement scans were on
    with pytest.raises(ConfigError):
        make("ab").sql("SELECT * FROM secret")
    with pytest.raises(ConfigError):
        make("ab").sql("DELETE FROM rows")


@given(st.lists(st.integers(0, 30), unique=True), st.lists(st.integers(0, 30), unique=True), st.randoms())
def test_join_matches_by_name_whatever_the_order(left, right, random):
    a = make(map(str, left), x=[float(i) for i in left])
    random.shuffle(right)
    b = make(map(str, right), y=[i * 10 for i in right])
    rows = a.join(b).rows()
    assert [row["File_Name"] for row in rows] == [str(i) for i in left if i in right]
    assert all(row["x"] * 10 == row["y"] for row in rows)


def test_join_takes_shared_columns_from_the_other():
    joined = make("ab", Split=["None", "None"]).join(make("ba", Split=["train", "test"]))
    assert {row["File_Name"]: row["Split"] for row in joined.rows()} == {"a": "test", "b": "train"}


def test_join_needs_one_row_a_name():
    with pytest.raises(DataError, match=r"more than one row.*first: a"):
        make("aa").join(make("a"))
    with pytest.raises(DataError, match="no column File_Name"):
        Table.from_pandas(pd.DataFrame({"x": [1]})).join(make("a"))


def test_unreadable_table_is_named(tmp_path):
    (tmp_path / "t.parquet").write_text("no parquet")
    with pytest.raises(DataError, match=r"t\.parquet"):
        Table.read(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"nowhere"):
        Table.read(tmp_path / "nowhere")
