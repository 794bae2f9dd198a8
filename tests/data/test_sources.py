"""A source is checked before anything is built, and every refusal says what was found, expected and to be done."""

from __future__ import annotations

import hashlib
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from real_dbt import DBT_PROJECT, write_lines

from orchestration.sources import check_source, known_sources, parse_until, resolve_source
from recommender.errors import InputError, SourceError

EVENTS: dict[str, list[Any]] = {
    "user_id": ["u1", "u2"],
    "event_type": ["view", "view"],
    "occurred_at": [datetime(2024, 1, 1), datetime(2024, 1, 2)],
}


def land_events(folder: Path, **changes: list[Any] | None) -> Path:
    columns = {name: values for name, values in {**EVENTS, **changes}.items() if values is not None}
    pq.write_table(pa.table(columns), folder / "events.parquet")
    return folder


def test_every_source_folder_is_known_and_aliases_resolve() -> None:
    folders = {path.parent.name for path in (DBT_PROJECT / "models" / "sources").glob("*/_*.yml")}
    assert set(known_sources()) == folders - {"journal"} | {"simulated", "complete_journey_categories"}
    assert resolve_source("simulated") == "tables"


def test_a_fingerprint_counts_rows_and_hashes_names_sizes_and_bytes(tmp_path: Path) -> None:
    land_events(tmp_path)
    (tmp_path / "users").mkdir()
    (tmp_path / "users" / "b.csv").write_text('user_id,note\nu1,"two\nlines"\nu2,\n')
    (tmp_path / "users" / "a.csv").write_text("user_id\nu3\n")
    found = check_source("tables", tmp_path)
    assert found.files == ("events.parquet", "users/a.csv", "users/b.csv")
    assert found.rows_by_table == {"events": 2, "users": 1 + 2}
    assert found.rows == 2 + 3
    contents = [(name, (tmp_path / name).read_bytes()) for name in found.files]
    assert found.bytes == sum(len(content) for _, content in contents)
    hashed = b"".join(f"{name}\0{len(content)}\0".encode() + content for name, content in contents)
    assert found.sha256 == hashlib.sha256(hashed).hexdigest()


def test_json_lines_are_counted_with_and_without_a_last_newline(tmp_path: Path) -> None:
    rows = [{"user_id": "u", "event_type": "view", "occurred_at": "2024-01-01"}] * 3
    write_lines(tmp_path / "events" / "one.jsonl", rows)
    write_lines(tmp_path / "events" / "two.jsonl", rows)
    unended = tmp_path / "events" / "two.jsonl"
    unended.write_text(unended.read_text().rstrip("\n"))
    assert check_source("tables", tmp_path).rows == 6


@pytest.mark.parametrize(
    "times",
    [
        [date(2024, 1, 1)] * 2,
        ["2024-01-01T10:00:00Z", "not a time"],
        [1_704_189_600] * 2,
        ["1704189600.5", "not a time"],
    ],
)
def test_dates_texts_and_counts_since_1970_are_times(tmp_path: Path, times: list[Any]) -> None:
    assert check_source("tables", land_events(tmp_path, occurred_at=times)).rows == 2


def refusal(source: str, folder: Path) -> str:
    with pytest.raises(SourceError) as refused:
        check_source(source, folder)
    sentence = str(refused.value)
    assert refused.value.remedy
    return sentence


def test_an_unknown_source_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    sentence = refusal("webshop", tmp_path)
    assert all(name in sentence for name in ["webshop", *known_sources()])


def test_a_missing_folder_and_a_file_in_its_place(tmp_path: Path) -> None:
    assert "does not exist" in refusal("tables", tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    assert "is a file" in refusal("tables", tmp_path / "file")


def test_a_missing_table_names_the_files_it_could_be(tmp_path: Path) -> None:
    assert "events.parquet or events.csv or events.jsonl" in refusal("tables", tmp_path)
    assert "online_retail.parquet" in refusal("online_retail", tmp_path)


def test_a_table_in_two_formats_is_refused(tmp_path: Path) -> None:
    land_events(tmp_path)
    (tmp_path / "events.csv").write_text("user_id,event_type,occurred_at\nu,view,2024-01-01\n")
    assert "csv, parquet" in refusal("tables", tmp_path)


def test_a_missing_column_is_named_with_the_ones_there_are(tmp_path: Path) -> None:
    sentence = refusal("tables", land_events(tmp_path, occurred_at=None, when=["2024-01-01"] * 2))
    assert "no column occurred_at; it has user_id, event_type, when" in sentence


@pytest.mark.parametrize(
    ("column", "values", "found"),
    [
        ("occurred_at", [1.5, 2.5], "1.5"),
        ("occurred_at", [True, False], "bool"),
        ("occurred_at", ["yesterday", "today"], "yesterday"),
        ("user_id", [["u1"], ["u2"]], "list"),
    ],
)
def test_a_column_of_the_wrong_type_is_named(tmp_path: Path, column: str, values: list[Any], found: str) -> None:
    sentence = refusal("tables", land_events(tmp_path, **{column: values}))
    assert column in sentence
    assert found in sentence


@pytest.mark.parametrize("name", ["events.parquet", "events.csv", "events.jsonl"])
def test_an_empty_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    assert f"{name} is empty" in refusal("tables", tmp_path)


def test_a_file_without_rows_is_named(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("user_id,event_type,occurred_at\n")
    assert "events.csv holds no rows" in refusal("tables", tmp_path)


def test_half_a_parquet_file_is_refused(tmp_path: Path) -> None:
    land_events(tmp_path)
    whole = (tmp_path / "events.parquet").read_bytes()
    (tmp_path / "events.parquet").write_bytes(whole[: len(whole) // 2])
    assert "cannot be read as parquet" in refusal("tables", tmp_path)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("2011-12-02", "2011-12-02 00:00:00.000"),
        ("2011-12-02T18:30:00+01:00", "2011-12-02 17:30:00.000"),
        ("2011-12-02 18:30:00.1239Z", "2011-12-02 18:30:00.123"),
        ("", ""),
        (None, ""),
    ],
)
def test_until_is_read_as_utc(text: str | None, canonical: str) -> None:
    assert parse_until(text) == canonical


@pytest.mark.parametrize("text", ["tomorrow", "2011-13-02", "02/12/2011"])
def test_until_that_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="ISO 8601"):
        parse_until(text)
