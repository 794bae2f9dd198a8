"""How a landed file is looked into without loading it: columns, rows, a few values. No rules live here."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from recommender.errors import SourceError

__all__ = ["columns_of", "count_rows", "sample_texts"]

_BLOCK = 1 << 20
_SAMPLE_LINES = 1_000  # JSON lines may leave keys out: columns are those of the first thousand


def columns_of(file: Path, file_format: str) -> dict[str, pa.DataType | None]:
    """Column names with their types; None where the format has only text. Raises SourceError if it cannot be read."""
    try:
        if file_format == "parquet":
            return {field.name: field.type for field in pa.parquet.read_schema(file)}
        if file_format == "csv":
            return dict.fromkeys(_open_csv(file).schema.names)
        return dict.fromkeys(sorted({name for entry in _objects(file, _SAMPLE_LINES) for name in entry}))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _unreadable(file, file_format, error) from error


def count_rows(file: Path, file_format: str) -> int:
    """Rows of a file: from the footer (Parquet), or by streaming through it (CSV, JSONL)."""
    try:
        if file_format == "parquet":
            return int(pa.parquet.read_metadata(file).num_rows)
        if file_format == "csv":
            return sum(batch.num_rows for batch in _open_csv(file))
        return _count_lines(file)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(file, file_format, error) from error


def sample_texts(file: Path, file_format: str, column: str, n_rows: int) -> list[str]:
    """Values of a text column in the first `n_rows` rows; nulls are left out."""
    if file_format == "jsonl":
        values = [entry.get(column) for entry in _objects(file, n_rows)]
    else:
        batch = _first_batch(file, file_format, column, n_rows)
        values = batch.column(column).slice(0, n_rows).to_pylist() if batch is not None else []
    return [str(value) for value in values if value is not None]


def _first_batch(file: Path, file_format: str, column: str, n_rows: int) -> pa.RecordBatch | None:
    if file_format == "csv":
        return next(iter(_open_csv(file)), None)
    return next(pa.parquet.ParquetFile(file).iter_batches(n_rows, columns=[column]), None)


def _open_csv(file: Path) -> pa.csv.CSVStreamingReader:
    """All columns as text; a line with another number of fields is skipped here and judged by dbt."""
    parsing = pa.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=lambda _: "skip")
    with pa.csv.open_csv(file, parse_options=parsing) as reader:
        texts = dict.fromkeys(reader.schema.names, pa.string())
    return pa.csv.open_csv(file, parse_options=parsing, convert_options=pa.csv.ConvertOptions(column_types=texts))


def _objects(file: Path, n_lines: int) -> Iterator[dict[str, object]]:
    with file.open(encoding="utf-8") as handle:
        for line in itertools.islice(handle, n_lines):
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict):
                yield entry


def _count_lines(file: Path) -> int:
    count, last = 0, b"\n"
    with file.open("rb") as handle:
        while block := handle.read(_BLOCK):
            count += block.count(b"\n")
            last = block[-1:]
    return count + (last != b"\n")


def _unreadable(file: Path, file_format: str, error: Exception) -> SourceError:
    return SourceError(
        f"{file} cannot be read as {file_format} ({str(error).splitlines()[0]}).",
        f"a {file_format} file.",
        "land the file again; it may have been copied in part.",
    )
