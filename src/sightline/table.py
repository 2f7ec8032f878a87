"""Typed Parquet tables that carry their class map; queried with DuckDB, rows matched by `File_Name`."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from sightline.classes import ClassMap
from sightline.errors import ConfigError, DataError
from sightline.wording import plural, reason

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

KEY = "File_Name"
CLASSES_KEY = b"sightline.classes"
QUERY_SECONDS = 30.0


class Files(Protocol):
    """What holds the images that a table is about: an artifact."""

    def __contains__(self, path: str) -> bool: ...

    def path(self, path: str) -> Path:
        """Where a file lies on disk."""


@dataclass(frozen=True)
class Either:
    """The files of two artifacts, those that a joined table is about; a path that both have is the first one's."""

    first: Files
    second: Files

    def __contains__(self, path: str) -> bool:
        return path in self.first or path in self.second

    def path(self, path: str) -> Path:
        """Where a file lies on disk."""
        return (self.first if path in self.first else self.second).path(path)


@dataclass(frozen=True)
class Table:
    """A table with one row per image, keyed by `File_Name`, and the class map its columns were made with.

    Args:
        data: the columns, as an Arrow table.
        classes: the class map; None for a table that has nothing to do with classes.
        files: the artifact that it was read from, whose images a notebook shows beside the rows; None for any other.
    """

    data: pa.Table
    classes: ClassMap | None = None
    files: Files | None = field(default=None, repr=False, compare=False)

    def _repr_html_(self) -> str:
        from sightline.notebook import of_table

        return of_table(self)

    def __len__(self) -> int:
        return int(self.data.num_rows)

    @property
    def columns(self) -> list[str]:
        """Column names, in order."""
        return list(self.data.column_names)

    def to_pandas(self) -> pd.DataFrame:
        """The rows as a pandas frame, `File_Name` an ordinary column."""
        return self.data.to_pandas()  # type: ignore[no-any-return]

    @classmethod
    def from_pandas(cls, frame: pd.DataFrame, classes: ClassMap | None = None) -> Table:
        """A table of the frame's columns; its index is left out."""
        data = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
        plain = [field.with_type(pa.string()) if field.type == pa.large_string() else field for field in data.schema]
        return cls(data.cast(pa.schema(plain)), classes)

    def write(self, path: Path) -> Path:
        """Write Parquet under a temporary name and rename; the same rows give the same bytes."""
        metadata = {CLASSES_KEY: json.dumps(self.classes.to_dict()).encode()} if self.classes else None
        temporary = path.with_name(path.name + ".tmp")
        pq.write_table(self.data.replace_schema_metadata(metadata), temporary)
        temporary.replace(path)
        return path

    @classmethod
    def read(cls, path: Path, columns: Sequence[str] | None = None) -> Table:
        """Read Parquet that `write` wrote, or any other; all of its columns, or those named that it has.

        Raises:
            DataError: the file is missing or is no Parquet.
        """
        try:
            with pq.ParquetFile(path) as file:  # `pq.read_table` would import pandas first
                data = file.read(columns)
                data = data if columns is None else data.select([one for one in columns if one in data.column_names])
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"The table {path} cannot be read: {reason(error)}") from None
        stored = (data.schema.metadata or {}).get(CLASSES_KEY)
        classes = ClassMap.from_dict(json.loads(stored)) if stored else None
        return cls(data.replace_schema_metadata(None), classes)

    def query(self, where: str = "", order_by: str = "", limit: int | None = None) -> Table:
        """The rows for which the SQL expression `where` holds, in the order of `order_by`, at most `limit`.

        The expressions are DuckDB's; columns with a space or a hyphen, and `Group`, a word of SQL, go in
        double quotes. They can read nothing but this table and are stopped after half a minute.

        Raises:
            ConfigError: an expression that DuckDB does not take, or that takes too long.
        """
        text = "SELECT * FROM rows"
        text += f" WHERE {_expression(where)}" if where else ""
        text += f" ORDER BY {order_by}" if order_by else ""
        text += f" LIMIT {int(limit)}" if limit is not None else ""
        return Table(self.sql(text), self.classes, self.files)

    def sql(self, text: str) -> pa.Table:
        """The result of one SQL query over this table, which is called `rows`; see `query`."""
        import duckdb

        with _closed_connection(self.data) as connection:
            timer = threading.Timer(QUERY_SECONDS, connection.interrupt)
            timer.start()
            try:
                statements = connection.extract_statements(text)
                if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                    raise ConfigError(f"Not one SELECT query: {text}")
                return connection.sql(text).to_arrow_table()
            except duckdb.Error as error:
                raise ConfigError(
                    f"The query failed: {error}\n  {text}\nThe columns are: {_names(self)}.\n"
                    'Those with a space or a hyphen go in double quotes, and so does "Group", a word of SQL.'
                ) from None
            finally:
                timer.cancel()

    def join(self, other: Table) -> Table:
        """Each row with the columns of the row of `other` that has the same `File_Name`; rows without one are left out.

        Columns that both have come from `other`. The order is that of this table.

        Raises:
            DataError: a table has no `File_Name` column, or one name in it twice.
        """
        for table in (self, other):
            table.check_key()
        rows = {name: row for row, name in enumerate(other.data[KEY].to_pylist())}
        matched = [(here, rows[name]) for here, name in enumerate(self.data[KEY].to_pylist()) if name in rows]
        fresh = [name for name in self.columns if name == KEY or name not in other.columns]
        joined = self.data.select(fresh).take(pa.array([here for here, _ in matched], pa.int64()))
        theirs = other.data.take(pa.array([there for _, there in matched], pa.int64()))
        for name in other.columns:
            if name != KEY:
                joined = joined.append_column(theirs.schema.field(name), theirs[name])
        files = Either(self.files, other.files) if self.files and other.files else self.files or other.files
        return Table(joined, self.classes or other.classes, files)

    def check_key(self) -> None:
        """DataError unless each row has a `File_Name` of its own."""
        if KEY not in self.columns:
            raise DataError(f"The table has no column {KEY}. Its columns are: {_names(self)}")
        names = self.data[KEY].to_pylist()
        if len(set(names)) != len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            told = plural(len(twice), "file name stands", "file names stand")
            raise DataError(f"{told} in more than one row of the table (first: {twice[0]}).")

    def rows(self) -> list[dict[str, Any]]:
        """The rows as dictionaries."""
        return self.data.to_pylist()  # type: ignore[no-any-return]


def read_csv(path: Path) -> pd.DataFrame:
    """Read a CSV of text columns, as a split is stored; DataError where it cannot be read."""
    import pandas as pd

    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(f"The CSV file {path} cannot be read: {reason(error)}") from None


def write_csv(frame: pd.DataFrame, path: Path) -> Path:
    """Write CSV under a temporary name and rename."""
    temporary = path.with_name(path.name + ".tmp")
    frame.to_csv(temporary, index=False, lineterminator="\n")
    temporary.replace(path)
    return path


@contextmanager
def _closed_connection(data: pa.Table) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory DuckDB that holds `rows` and can reach nothing else."""
    import duckdb

    connection = duckdb.connect(":memory:")
    try:
        connection.register("incoming", data)
        connection.execute("CREATE TABLE rows AS SELECT * FROM incoming")
        connection.unregister("incoming")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET python_enable_replacements = false")
        connection.execute("SET lock_configuration = true")
        yield connection
    finally:
        connection.close()


def _expression(text: str) -> str:
    if re.search(r";\s*\S", text):
        raise ConfigError(f"Not one expression: {text}")
    return f"({text.rstrip('; ')})"


def _names(table: Table) -> str:
    return ", ".join(table.columns)
