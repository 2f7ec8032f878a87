"""The rows of the Images page: tables of dataset, split and evaluations joined in memory, queried with DuckDB."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from sightline.classes import ClassMap
from sightline.errors import ConfigError
from sightline.table import KEY, Table

if TYPE_CHECKING:
    import duckdb
    from starlette.datastructures import QueryParams as Given

FILTERS = ("has", "lacks", "split", "group", "share", "bright", "iou", "name", "flag", "where", "cell")
"""Parameters of the address that select images."""
SECONDS = 10.0
"""A query is stopped after so long."""
ROOM = 512
"""Mebibytes that a query may take beyond the tables."""
LOCKED = (
    "temp_directory = ''",
    "enable_external_access = false",
    "python_enable_replacements = false",
    "lock_configuration = true",
)
"""DuckDB's settings once the tables are in: nothing else is read, nothing written, and no query changes that."""
GROWING = re.compile(
    r"\b(range|generate_series|repeat|lpad|rpad|format|printf|replace|regexp_replace|(list|array)_(resize|reduce)|reduce)\b",
    re.IGNORECASE,
)
"""Functions of DuckDB that run to their end, whatever the time, and outside the memory that it counts."""
MOST = 1000
"""Rows of one answer at most."""
FACTS = (KEY, "Group", "Drive", "Frame", "Width", "Height", "Split", "Brightness", "ignored_share")
MEASURED = ("miou", "loss", "pixel_accuracy")

Json = dict[str, Any]
Condition = tuple[str, list[Any]]
"""An SQL condition and the values of its question marks."""


class Flagged(Protocol):
    """Where flags are kept; see `sightline.marks.Flags`."""

    def all(self) -> list[Any]: ...


@dataclass(frozen=True)
class Sources:
    """What the rows are made of.

    Args:
        classes: the class map of the dataset.
        eda: `eda_table.parquet` of the dataset.
        stages: File_Name -> subset; empty where the dataset has not been split.
        a, b: `pred_table.parquet` of the evaluations, where there are any.
        flags: the flags on the dataset's images.
    """

    classes: ClassMap
    eda: Table
    stages: Mapping[str, str]
    a: Table | None
    b: Table | None
    flags: Flagged


class Rows:
    """One table of all images, in memory; nothing outside it can be read by a query, and nothing be changed."""

    def __init__(self, sources: Sources) -> None:
        self.classes = sources.classes
        self.measured = (sources.a is not None, sources.b is not None)
        self._flags = sources.flags
        self._connection = _load(sources)
        self.columns = [name for name, *_ in self._connection.execute("DESCRIBE images").fetchall()]
        self._places = {name: place for place, name in enumerate(sources.eda.data[KEY].to_pylist())}
        self._counts: dict[str, int] = {}
        self.total = len(self._places)

    def select(self, given: Given, offset: int = 0, limit: int = 200) -> list[Json]:
        """The rows that pass the filters, in the order that is asked for (`sort`, `desc`), from a place on."""
        condition, values = self._all(given)
        order = self._order(given)
        chosen = f"SELECT id FROM images WHERE {condition} ORDER BY {order} LIMIT {min(limit, MOST)} OFFSET {offset}"
        found = self._ask(f"SELECT {self._shown(given.get('cell', ''))} FROM images WHERE id IN ({chosen}) "
                          f"ORDER BY {order}", values)  # fmt: skip
        return self._told(found)

    def count(self, given: Given) -> int:
        """How many images pass the filters."""
        return self._count(*self._all(given))

    def names(self, given: Given) -> list[str]:
        """File names of the images that pass the filters, in the order that is asked for."""
        condition, values = self._all(given)
        order = self._order(given)
        found = self._ask(f'SELECT "{KEY}" FROM images WHERE {condition} ORDER BY {order}', values)
        return [row[KEY] for row in found]

    def ids(self, names: Sequence[str]) -> dict[str, int]:
        """File name -> id of its row, of those that there are."""
        return {name: self._places[name] for name in names if name in self._places}

    def blame(self, given: Given) -> list[Json]:
        """For each filter, how many images would pass without it."""
        every = self._conditions(given)
        told = []
        for place, (key, value, _) in enumerate(every):
            others = [condition for other, (*_, condition) in enumerate(every) if other != place]
            told.append({"param": key, "value": value, "without": self._count(*_joined(others))})
        return told

    def named(self, name: str) -> Json | None:
        """The row of a file, with what run B made of it as `iou_b` and `loss_b`; None where there is no such file."""
        other = f"{self._ious('_b') if self.measured[1] else 'NULL'} AS iou_b, loss_b"
        found = self._ask(f'SELECT {self._shown("")}, {other} FROM images WHERE "{KEY}" = ?', [name])
        return next(iter(self._told(found)), None)

    def around(self, name: str, most: int = 7) -> Json:
        """The images before and after in the drive, and up to `most` of them round it."""
        drive = self._ask(f'SELECT id, "{KEY}" FROM images WHERE "Drive" = (SELECT "Drive" FROM images WHERE '
                          f'"{KEY}" = ?) ORDER BY "Frame", "{KEY}"', [name])  # fmt: skip
        place = next((at for at, row in enumerate(drive) if row[KEY] == name), 0)
        first = max(0, min(place - most // 2, len(drive) - most))
        beside = {-1: drive[place - 1][KEY] if place else None,
                  1: drive[place + 1][KEY] if place + 1 < len(drive) else None}  # fmt: skip
        return {"previous": beside[-1], "next": beside[1], "neighbours": drive[first : first + most]}

    def options(self) -> Json:
        """What can be filtered by, with counts."""
        splits = self._ask('SELECT "Split" AS value, count(*) AS images FROM images GROUP BY ALL ORDER BY value', [])
        groups = self._ask('SELECT "Group" AS value, count(*) AS images, first("Drive") AS drive FROM images '
                           "GROUP BY value ORDER BY value LIMIT 5000", [])  # fmt: skip
        bright = self._ask('SELECT min("Brightness") AS low, max("Brightness") AS high FROM images', [])[0]
        columns = [name for name in self.columns if name not in {"id", "confusion", "Image", "Mask", "Prediction"}]
        return {"splits": splits, "groups": groups, "columns": columns, "brightness": [bright["low"], bright["high"]]}

    def class_totals(self) -> list[Json]:
        """For each class the images it is in, and its share of all pixels; the ignored ones last."""
        parts = [f'count(*) FILTER ({_quoted(f"{name}_share")} > 0) AS images_{at}, sum({_quoted(f"{name}_share")} * '
                 f'"Width" * "Height") / sum("Width"::DOUBLE * "Height") AS share_{at}'
                 for at, name in enumerate((*self.classes.names, "ignored"))]  # fmt: skip
        row = self._ask(f"SELECT {', '.join(parts)} FROM images", [])[0]
        return [{"images": row[f"images_{at}"], "share": row[f"share_{at}"]} for at in range(len(self.classes) + 1)]

    def files(self, ids: Sequence[int]) -> dict[int, Json]:
        """Row id -> File_Name, Image, Mask of it."""
        found = self._ask(f'SELECT id, "{KEY}", "Image", "Mask" FROM images WHERE id IN ({_marks(ids)})', list(ids))
        return {row["id"]: row for row in found}

    def _all(self, given: Given) -> Condition:
        return _joined([condition for *_, condition in self._conditions(given)])

    def _conditions(self, given: Given) -> list[tuple[str, str, Condition]]:
        """(parameter, value, condition) for each filter that is set."""
        makers: dict[str, Callable[[str], Condition]] = {
            "has": lambda name: (f"{self._class(name)} > 0", []),
            "lacks": lambda name: (f"{self._class(name)} = 0", []),
            "share": lambda value: self._range(value, "_share"),
            "iou": lambda value: self._range(value, "_iou"),
            "bright": lambda value: _between('"Brightness"', value.split(":")),
            "name": lambda value: (f'contains(lower("{KEY}"), lower(?))', [value]),
            "flag": self._flagged,
            "where": lambda value: (f"({_modest(value)})", []),
            "cell": lambda value: (f"{self._cell(value)} > 0", []),
        }
        told: list[tuple[str, str, Condition]] = []
        for key in FILTERS:
            for value in filter(None, given.getlist(key)):
                if key in {"has", "lacks"}:
                    told += [(key, unquote(part), makers[key](unquote(part))) for part in value.split(",")]
                elif key in {"split", "group"}:
                    parts = [unquote(part) for part in value.split(",")]
                    told.append((key, value, (f'"{key.title()}" IN ({_marks(parts)})', list(parts))))
                else:
                    told.append((key, value, makers[key](value)))
        return told

    def _class(self, name: str) -> str:
        return _quoted(self.classes.names[self.classes.index(name)])

    def _range(self, value: str, ending: str) -> Condition:
        name, *bounds = value.split(":")
        name = unquote(name)
        if ending == "_iou":
            self._needs_run()
        column = (
            "miou" if name == "miou" and ending == "_iou" else self.classes.names[self.classes.index(name)] + ending
        )
        return _between(_quoted(column), bounds)

    def _flagged(self, value: str) -> Condition:
        names = sorted({one.file_name for one in self._flags.all() if value in {"any", one.flag}})
        return (f'"{KEY}" IN (SELECT unnest(?))', [names])

    def _cell(self, value: str) -> str:
        self._needs_run()
        parts = value.split(",")
        count = len(self.classes)
        if len(parts) != 2 or not all(part.isdecimal() and int(part) < count for part in parts):
            raise ConfigError(f"`cell` must be two class indices from 0 to {count - 1}, such as 1,4; not {value!r}.")
        return f"confusion[{int(parts[0]) * count + int(parts[1]) + 1}]"

    def _needs_run(self) -> None:
        if not self.measured[0]:
            raise ConfigError(
                "This filter or order needs a run A: choose one, or make predictions: `sightline evaluate`."
            )

    def _order(self, given: Given) -> str:
        """The order that is asked for; what is undefined comes last in both directions."""
        sort, way = given.get("sort", ""), "DESC" if given.get("desc", "") else "ASC"
        if not sort:
            return "id"
        if sort == "cell":
            column = self._cell(given.get("cell", ""))
        elif sort in self.columns:
            column = _quoted(sort)
        else:
            raise ConfigError(f"There is no column {sort!r} to sort by. The columns are: {', '.join(self.columns)}.")
        return f"{column} {way} NULLS LAST, id"

    def _shown(self, cell: str) -> str:
        names = self.classes.names
        iou = self._ious() if self.measured[0] else "NULL"
        parts = ["id", *map(_quoted, FACTS), "[" + ", ".join(_quoted(f"{name}_share") for name in names) + "] AS share",
                 f"{iou} AS iou", *(_quoted(name) for name in (*MEASURED, "miou_b", "change")),
                 f"{self._cell(cell) if cell else 'NULL'} AS cell"]  # fmt: skip
        return ", ".join(parts)

    def _ious(self, ending: str = "") -> str:
        return "[" + ", ".join(_quoted(f"{name}_iou{ending}") for name in self.classes.names) + "]"

    def _told(self, rows: list[Json]) -> list[Json]:
        flags: dict[str, list[Json]] = {}
        for one in self._flags.all():
            flags.setdefault(one.file_name, []).append({"flag": one.flag, "note": one.note})
        for row in rows:
            row["flags"] = flags.get(row[KEY], [])
            if row["iou"] and all(value is None for value in row["iou"]) and row["miou"] is None:
                row["iou"] = None
        return rows

    def _count(self, condition: str, values: list[Any]) -> int:
        key = repr((condition, values))
        if key not in self._counts:
            found = self._ask(f"SELECT count(*) AS n FROM images WHERE {condition}", values)
            self._counts = {**dict(list(self._counts.items())[-200:]), key: found[0]["n"]}
        return self._counts[key]

    def _ask(self, text: str, values: Sequence[Any]) -> list[Json]:
        """The answer to one SELECT, stopped after a while; errors say what DuckDB did not take."""
        import duckdb

        with self._connection.cursor() as cursor, _bounded(cursor):
            try:
                statements = cursor.extract_statements(text)
                if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                    raise ConfigError("The expression must be one condition on the columns, such as `Brightness < 60`.")
                relation = cursor.sql(text, params=list(values))
                found: list[Json] = [] if relation is None else relation.to_arrow_table().to_pylist()
            except duckdb.InterruptException:
                raise ConfigError(f"The query took longer than {SECONDS:.0f} seconds and was stopped.") from None
            except duckdb.Error as error:
                told = str(error).split("\n\nLINE ")[0]
                raise ConfigError(
                    f"The expression does not fit: {told}\nThe columns are: {', '.join(self.columns)}. "
                    'Those with a space or a hyphen go in double quotes, and so does "Group".'
                ) from None
            return found


@contextmanager
def _bounded(cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
    timer = threading.Timer(SECONDS, cursor.interrupt)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _load(sources: Sources) -> duckdb.DuckDBPyConnection:
    """The joined table in a database of its own that can reach nothing else from then on."""
    import duckdb

    connection = duckdb.connect(":memory:", config={"threads": 2})
    eda = sources.eda.data.append_column("id", pa.array(range(len(sources.eda)), pa.int64()))
    stages = [sources.stages.get(name, "None") for name in sources.eda.data[KEY].to_pylist()]
    eda = eda.drop_columns(["Split"]).append_column("Split", pa.array(stages, pa.string()))
    if not pc.any(pc.not_equal(eda["Frame"], 0)).as_py():  # the layout names none: better no number than 0 everywhere
        eda = eda.set_column(eda.column_names.index("Frame"), "Frame", pa.nulls(len(eda), pa.int64()))
    connection.register("eda", eda)
    both = [*MEASURED, *(f"{name}_iou" for name in sources.classes.names)]
    parts = [
        _evaluation(connection, "a", sources.a, ["confusion", *both]),
        _evaluation(connection, "b", sources.b, both),
    ]
    chosen = ["eda.*", "a.confusion::INTEGER[] AS confusion", *(f"a.{_quoted(name)}" for name in both)]
    chosen += [*(f"b.{_quoted(name)} AS {_quoted(name + '_b')}" for name in both), "b.miou - a.miou AS change"]
    joins = " ".join(f'LEFT JOIN {part} ON {part}."{KEY}" = eda."{KEY}"' for part in parts)
    connection.execute(f"CREATE TABLE images AS SELECT {', '.join(chosen)} FROM eda {joins} ORDER BY eda.id")
    for name in ("eda", "a", "b"):
        connection.unregister(name)
    for setting in (f"memory_limit = '{_used(connection) + ROOM} MiB'", *LOCKED):
        connection.execute(f"SET {setting}")
    return connection


def _used(connection: duckdb.DuckDBPyConnection) -> int:
    """Mebibytes that the tables take."""
    found = connection.execute("SELECT sum(memory_usage_bytes) FROM duckdb_memory()").fetchone()
    return int(found[0] if found else 0) // 2**20 + 1


def _evaluation(connection: duckdb.DuckDBPyConnection, name: str, table: Table | None, columns: Sequence[str]) -> str:
    """Register an evaluation's columns, undefined numbers as NULL; without one, an empty table of them."""
    if table is None:
        kinds = [
            pa.field(column, pa.list_(pa.int64()) if column == "confusion" else pa.float64()) for column in columns
        ]
        connection.register(name, pa.schema([pa.field(KEY, pa.string()), *kinds]).empty_table())
        return name
    data = table.data.select([KEY, *columns])
    for place, field in enumerate(data.schema):
        if pa.types.is_floating(field.type):
            values = data[field.name]
            data = data.set_column(place, field.name, pc.if_else(pc.is_nan(values), None, values))
    connection.register(name, data)
    return name


def _modest(expression: str) -> str:
    """The expression, where it calls no function that makes much of little."""
    if found := GROWING.search(expression):
        raise ConfigError(f"The expression must do without {found[0]!r}: it can take all memory, and minutes.")
    return expression


def _joined(conditions: Sequence[Condition]) -> Condition:
    text = " AND ".join(condition for condition, _ in conditions) or "true"
    return text, [value for _, values in conditions for value in values]


def _between(column: str, bounds: Sequence[str]) -> Condition:
    low, high = [*bounds, "", ""][:2]
    parts: list[str] = []
    values: list[Any] = []
    for sign, text in ((">=", low), ("<=", high)):
        if text:
            parts.append(f"{column} {sign} ?")
            values.append(_number(text))
    return " AND ".join(parts) or "true", values


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(
            f"{text!r} is no number. A range is written as NAME:LOW:HIGH, such as road:0.1:0.5."
        ) from None


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values)) or "NULL"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
