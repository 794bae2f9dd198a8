"""What a source must look like before dbt reads it, and a fingerprint of what was read. Nothing is loaded here.

A source is a folder of `dbt_project/models/sources`; its YAML says under `meta` which files and columns it requires,
so adding a source is adding a folder, and nothing here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from orchestration.source_files import columns_of, count_rows, sample_texts
from recommender.errors import InputError, SourceError

__all__ = ["SourceFingerprint", "check_source", "known_sources", "parse_until", "resolve_source"]

_DBT_PROJECT = Path(__file__).resolve().parents[1] / "dbt_project"
_SOURCES = _DBT_PROJECT / "models" / "sources"
_NOT_CHOSEN = {"journal"}  # landed by ourselves, part of every run
# The order in which dbt looks (macros/landed_tables.sql), and the endings that mean each format.
_ENDINGS = {"parquet": ("parquet",), "csv": ("csv",), "jsonl": ("jsonl", "ndjson", "json")}
_SAMPLE_ROWS = 1_000
_LEAST_EPOCH, _MOST_EPOCH = 1e8, 1e19  # counts since 1970 that `epoch_timestamp` reads
_KINDS = {
    "text": "text or a number",
    "integer": "whole numbers",
    "number": "numbers",
    "time": "times (a timestamp, a date, text such as 2011-12-02T10:00:00Z, or seconds to nanoseconds since 1970)",
}


@dataclass(frozen=True)
class SourceFingerprint:
    """What was found: equal fingerprints mean equal bytes under equal names.

    `files` are paths relative to the source's folder, in the order in which they were hashed; `rows` counts lines or
    rows before anything is dropped, `rows_by_table` for each table.
    """

    source: str
    files: tuple[str, ...]
    bytes: int
    rows: int
    rows_by_table: Mapping[str, int]
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        return {
            "source": self.source,
            "files": list(self.files),
            "bytes": self.bytes,
            "rows": self.rows,
            "rows_by_table": dict(self.rows_by_table),
            "sha256": self.sha256,
        }


@dataclass(frozen=True)
class _Table:
    name: str
    required: Mapping[str, str]  # column → kind
    formats: tuple[str, ...]
    is_optional: bool


def known_sources() -> list[str]:
    """Names that `--source` accepts, aliases included."""
    folders = {folder.name for folder in _SOURCES.iterdir() if any(folder.glob("_*.yml"))}
    return sorted((folders - _NOT_CHOSEN) | set(_aliases()))


def resolve_source(name: str) -> str:
    """The folder behind a name or an alias. Raises SourceError for a name nobody knows."""
    resolved = _aliases().get(name, name)
    if name not in known_sources():
        raise SourceError(
            f"no source is called {name!r}.",
            f"one of {', '.join(known_sources())}.",
            "choose one of these, or add a folder for yours under dbt_project/models/sources.",
        )
    return resolved


def check_source(name: str, path: Path | str) -> SourceFingerprint:
    """Check that the folder `path` holds what source `name` requires, and take its fingerprint.

    Raises SourceError: unknown source; missing folder or file; empty or unreadable file; missing column; a column of a
    type that cannot be used.
    """
    source, folder = resolve_source(name), Path(path).expanduser().absolute()
    if not folder.is_dir():
        raise SourceError(
            f"{folder} {'is a file' if folder.exists() else 'does not exist'}.",
            f"a folder with the files of source {name}.",
            "give the folder with --path.",
        )
    found: dict[str, list[Path]] = {}
    rows: dict[str, int] = {}
    for table in _tables(source):
        files, file_format = _find(folder, table)
        for file in files:
            _check_file(file, file_format, table)
        if files:
            found[table.name] = files
            rows[table.name] = sum(count_rows(file, file_format) for file in files)
            if not rows[table.name] and not table.is_optional:
                raise SourceError(
                    f"{_name(files[0], folder)} holds no rows.",
                    f"at least one row in table {table.name}.",
                    "land the data again; nothing was changed.",
                )
    return _fingerprint(source, folder, [file for files in found.values() for file in files], rows)


def parse_until(text: str | None) -> str:
    """A moment as canonical text, `YYYY-MM-DD HH:MM:SS.mmm` in UTC; '' for none.

    A time without an offset is UTC. Raises InputError for text that is no ISO 8601 date or time.
    """
    if text is None or not text.strip():
        return ""
    try:
        moment = datetime.fromisoformat(text.strip())
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InputError(
            f"{text!r} is no date or time.",
            "an ISO 8601 date or time such as 2011-12-02 or 2011-12-02T18:30:00+01:00.",
            "correct the value; a time without an offset is taken as UTC.",
        ) from error
    return moment.replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds")


def _aliases() -> dict[str, str]:
    project = yaml.safe_load((_DBT_PROJECT / "dbt_project.yml").read_text())
    return dict(project["vars"]["source_aliases"])


def _tables(source: str) -> Iterator[_Table]:
    for file in sorted((_SOURCES / source).glob("_*.yml")):
        for declared in yaml.safe_load(file.read_text()).get("sources", []):
            shared = declared.get("config", {}).get("meta", {})
            for table in declared["tables"]:
                meta = {**shared, **table.get("config", {}).get("meta", {})}
                formats = tuple(meta.get("formats", ["parquet"]))
                yield _Table(table["name"], meta.get("requires", {}), formats, bool(meta.get("optional", False)))


def _find(folder: Path, table: _Table) -> tuple[list[Path], str]:
    """Files of one table and their format; more than one format is an error, since only one would be read."""
    found: dict[str, list[Path]] = {}
    for file_format in table.formats:
        for ending in _ENDINGS[file_format]:
            files = [folder / f"{table.name}.{ending}", *sorted((folder / table.name).glob(f"*.{ending}"))]
            if files := [file for file in files if file.is_file()]:
                found[ending] = files
    if len(found) > 1:
        raise SourceError(
            f"table {table.name} lies in {folder} in {len(found)} formats ({', '.join(sorted(found))}).",
            "one format for a table.",
            "remove the ones that should not be read.",
        )
    if not found and not table.is_optional:
        names = [f"{table.name}.{ending}" for file_format in table.formats for ending in _ENDINGS[file_format]]
        raise SourceError(
            f"{folder} holds no {' or '.join(names)}.",
            f"table {table.name} as a file of one of these names"
            + (f", or as a folder {table.name}/ of such files." if table.formats != ("parquet",) else "."),
            "land the file, or give another folder with --path.",
        )
    for ending, files in found.items():
        return files, next(name for name, endings in _ENDINGS.items() if ending in endings)
    return [], ""


def _check_file(file: Path, file_format: str, table: _Table) -> None:
    if not file.stat().st_size:
        raise SourceError(f"{file} is empty.", f"rows of table {table.name}.", "land the file again.")
    columns = columns_of(file, file_format)
    missing = [name for name in table.required if name not in columns]
    if missing:
        raise SourceError(
            f"{file} has no column {', '.join(missing)}; it has {', '.join(columns) or 'none'}.",
            f"table {table.name} with the columns {', '.join(table.required)}.",
            "rename or add the columns; names are case-sensitive.",
        )
    for name, kind in table.required.items():
        kind_found = columns[name]
        if kind_found is not None and not _fits(kind_found, kind):
            raise _wrong_type(file, name, f"values of type {kind_found}", kind)
        if kind == "time" and (kind_found is None or _is_text(kind_found) or _is_number(kind_found)):
            _check_times(file, file_format, name)


def _check_times(file: Path, file_format: str, name: str) -> None:
    """A single bad time goes to the dead letters; a column without one good time is a mistake in the export."""
    texts = [text for text in sample_texts(file, file_format, name, _SAMPLE_ROWS) if text]
    if texts and not any(_is_time(text) for text in texts):
        raise _wrong_type(file, name, f"values such as {texts[0]!r}", "time")


def _wrong_type(file: Path, name: str, found: str, kind: str) -> SourceError:
    return SourceError(
        f"column {name} of {file} holds {found}.",
        f"{_KINDS[kind]}.",
        "convert the column and land the file again.",
    )


def _is_time(text: str) -> bool:
    """As the macro `landed_time` reads it."""
    if re.fullmatch(r"\s*[+-]?[0-9]+(\.[0-9]*)?(e[+-]?[0-9]+)?\s*", text):
        return _LEAST_EPOCH <= float(text) < _MOST_EPOCH
    try:
        datetime.fromisoformat(text.strip().removesuffix(" UTC"))
    except ValueError:
        return False
    return True


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _fits(found: pa.DataType, kind: str) -> bool:
    if pa.types.is_dictionary(found):
        found = found.value_type
    is_number = _is_number(found)
    return bool(
        {
            "text": _is_text(found) or is_number,
            "integer": pa.types.is_integer(found),
            "number": is_number,
            "time": pa.types.is_timestamp(found) or pa.types.is_date(found) or _is_text(found) or is_number,
        }[kind]
    )


def _fingerprint(source: str, folder: Path, files: Sequence[Path], rows: Mapping[str, int]) -> SourceFingerprint:
    digest, size = hashlib.sha256(), 0
    names = [_name(file, folder) for file in files]
    for name, file in zip(names, files, strict=True):
        digest.update(f"{name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as handle:
            while block := handle.read(1 << 20):
                digest.update(block)
                size += len(block)
    return SourceFingerprint(source, tuple(names), size, sum(rows.values()), dict(rows), digest.hexdigest())


def _name(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix()
