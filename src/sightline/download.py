"""A download that goes on from where it stopped, even after the process was killed."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sightline.errors import SourceError

if TYPE_CHECKING:
    import httpx

Progress = Callable[[int, int | None], None]
"""Called with (bytes that are here, bytes in all or None) after each chunk, and once before the first."""

CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
PASSING = {408, 425, 429, 500, 502, 503, 504}
"""Status codes that may be gone a moment later."""


@dataclass(frozen=True)
class Patience:
    """How long a download waits: seconds without a byte before it gives up, and before each further try."""

    timeout: float = 30.0
    pauses: tuple[float, ...] = (0.5, 2.0, 5.0)


PATIENCE = Patience()


class _StoppedError(Exception):
    """The transfer stopped in a way that another try may mend."""


@dataclass(frozen=True)
class Note:
    """What is known of a part file's origin: its url, what tells the server's version apart, its length in bytes."""

    url: str
    validator: str | None
    total: int | None


@dataclass(frozen=True)
class Part:
    """A file that is still arriving, and the note beside it (`.json`) that says what it is a part of."""

    path: Path

    @property
    def note_path(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def size(self) -> int:
        """Bytes that are here."""
        return self.path.stat().st_size if self.path.exists() else 0

    def note(self) -> Note | None:
        """The note, or None where there is none that can be read."""
        try:
            return Note(**json.loads(self.note_path.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def begin(self, note: Note) -> None:
        """Empty the file, then say what comes: a kill in between leaves an empty file, never bytes of two origins."""
        self.path.write_bytes(b"")
        temporary = self.note_path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(note)), encoding="utf-8")
        temporary.replace(self.note_path)

    def remove(self) -> None:
        """Delete the file and its note."""
        self.path.unlink(missing_ok=True)
        self.note_path.unlink(missing_ok=True)

    def complete(self, url: str) -> bool:
        """Whether every byte is here; a file that is longer than it may be counts as not."""
        note = self.note()
        return note is not None and note.url == url and note.total is not None and note.total == self.size()


@dataclass(frozen=True)
class Download:
    """One file from `url` into `part`.

    Args:
        url: where it is; redirects are followed, but never from https to http.
        part: where it goes. It stays after an error, so that the next download goes on from there.
        limit: most bytes that are taken.
        checked: the caller knows a checksum, so a part may be continued although the server gives neither a strong
            ETag nor a date that would tell a changed file.
        patience: time-out and pauses between tries.
    """

    url: str
    part: Part
    limit: int
    checked: bool = False
    patience: Patience = PATIENCE

    def run(self, progress: Progress) -> None:
        """Bring the part to completeness, over several tries where the connection breaks.

        Raises:
            SourceError: the server cannot be reached, refuses, stops early, or sends more than `limit`.
            OSError: the disk is full or may not be written.
        """
        if self.part.complete(self.url):
            return
        with _client(self.url, self.patience.timeout) as client:
            for pause in self.patience.pauses:
                try:
                    return self._transfer(client, progress)
                except _StoppedError:
                    time.sleep(pause)
            try:
                self._transfer(client, progress)
            except _StoppedError as error:
                raise SourceError(self._stopped_text(error)) from error

    def _transfer(self, client: httpx.Client, progress: Progress) -> None:
        headers = self._range_headers()
        with _failures_told(self.url), client.stream("GET", self.url, headers=headers) as response:
            _check_redirects(self.url, response)
            if not (headers and self._changed(response)):
                _check_status(self.url, response, 206 if headers else 200)
                return self._receive(response, progress)
        self.part.remove()
        return self._transfer(client, progress)  # without a part no range is asked for: this goes one level deep

    def _range_headers(self) -> dict[str, str]:
        """Ask for what is missing, where it can be told whether the file is still the same one."""
        note, size = self.part.note(), self.part.size()
        if note is None or note.url != self.url or not size or not (note.validator or self.checked):
            return {}
        condition = {"If-Range": note.validator} if note.validator else {}
        return {"Range": f"bytes={size}-", **condition}

    def _changed(self, response: httpx.Response) -> bool:
        """Whether the answer to a range does not continue the part: another version, another place, no such range."""
        note = self.part.note()
        if response.status_code != 206 or note is None:
            return response.status_code == 416
        start, total = _content_range(response)
        return (
            start != self.part.size()
            or (total is not None and note.total is not None and total != note.total)
            or _validator(response) not in (None, note.validator)
        )

    def _receive(self, response: httpx.Response, progress: Progress) -> None:
        done, total = 0, _length(response)
        if response.status_code == 206:
            done, total = self.part.size(), _content_range(response)[1]
        self._check_limit(total or 0)
        if not done:
            self.part.begin(Note(self.url, _validator(response), total))
        with self.part.path.open("ab") as file:
            progress(done, total)
            for chunk in response.iter_raw():
                file.write(chunk)
                done += len(chunk)
                self._check_limit(done)
                progress(done, total)
        if total is not None and done < total:
            raise _StoppedError("the server closed the connection early")

    def _check_limit(self, size: int) -> None:
        if size > self.limit:
            self.part.remove()
            raise SourceError(
                f"{self.url} sends {size:,} bytes or more, but at most {self.limit:,} were expected. "
                "The file is not the one that was meant; nothing of it was kept."
            )

    def _stopped_text(self, error: _StoppedError) -> str:
        note, size = self.part.note(), self.part.size()
        tries = len(self.patience.pauses) + 1
        if not size or note is None:
            return f"{self.url} could not be fetched in {tries} tries: {error}. {BY_HAND}"
        arrived = f"{size:,} of {note.total:,} bytes" if note.total is not None else f"{size:,} bytes"
        again = "What arrived is kept: the same command goes on from there."
        if not (note.validator or self.checked):
            again = "The server gives no ETag and no date, so the same command begins anew."
        return (
            f"The download of {self.url} stopped after {arrived} ({tries} tries, the last: {error}). {again} {BY_HAND}"
        )


BY_HAND = "Or download it by hand, unpack it and give the folder with --data DIR."


@contextmanager
def _client(url: str, timeout: float) -> Iterator[httpx.Client]:
    """A client for whole files: no compression on the way, or byte counts and ranges would not be those of the file."""
    import httpx

    try:
        client = httpx.Client(follow_redirects=True, timeout=timeout, headers={"Accept-Encoding": "identity"})
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        raise SourceError(
            f"{url} cannot be fetched: the proxy settings of the environment do not fit ({error}). "
            f"Look at HTTPS_PROXY, HTTP_PROXY and ALL_PROXY. {BY_HAND}"
        ) from error
    with client:
        yield client


@contextmanager
def _failures_told(url: str) -> Iterator[None]:
    """Turn what the network does into a _StoppedError where another try may help, else into a SourceError."""
    import httpx

    try:
        yield
    except (httpx.UnsupportedProtocol, httpx.TooManyRedirects, httpx.InvalidURL) as error:
        raise SourceError(f"{url} cannot be fetched: {error}. {BY_HAND}") from error
    except httpx.TimeoutException as error:
        raise _StoppedError(f"the server did not answer in time ({type(error).__name__})") from error
    except httpx.ConnectError as error:
        raise _StoppedError(f"no connection ({error}); perhaps this machine is offline") from error
    except httpx.RequestError as error:
        raise _StoppedError(str(error) or type(error).__name__) from error


def _check_redirects(url: str, response: httpx.Response) -> None:
    if url.startswith("https:") and any(answer.url.scheme != "https" for answer in (*response.history, response)):
        raise SourceError(
            f"{url} leads to {response.url}, which is not encrypted: anyone on the way could change it. {BY_HAND}"
        )


def _check_status(url: str, response: httpx.Response, partial: int) -> None:
    """Let 200 pass, and `partial` (206 where a range was asked for)."""
    status = response.status_code
    if status in (200, partial):
        return
    said = f"the server answered {status} {response.reason_phrase}".rstrip()
    if status in PASSING:
        raise _StoppedError(said)
    reason = {401: " (not allowed)", 403: " (not allowed)", 404: " (not there)", 410: " (no longer there)"}
    raise SourceError(f"{url} cannot be fetched: {said}{reason.get(status, '')}. {BY_HAND}")


def _validator(response: httpx.Response) -> str | None:
    """What tells versions of the file apart byte for byte (RFC 9110, 13.1.5): a strong ETag, else the date."""
    etag: str = response.headers.get("ETag", "")
    date: str = response.headers.get("Last-Modified", "")
    return (etag if not etag.startswith("W/") else "") or date or None


def _length(response: httpx.Response) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _content_range(response: httpx.Response) -> tuple[int | None, int | None]:
    """(first byte, bytes in all) of a partial answer, None for what it does not say."""
    match = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if match is None:
        return None, None
    return int(match[1]), None if match[2] == "*" else int(match[2])
