"""Bad input gets a sentence with what was found, what was expected and what to do, and a non-zero exit."""

from __future__ import annotations

import socket
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.cli import main

GOOD_EVENTS = pa.table({"user_id": ["u1"], "event_type": ["view"], "occurred_at": ["2025-01-01T00:00:00Z"]})


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEXTBEST_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    code = main(words)
    captured = capsys.readouterr().err
    assert code == 1
    for part in ("Found: ", "Expected: ", "What to do: "):
        assert part in captured
    assert "Traceback" not in captured
    return captured


def run_tables(capsys: pytest.CaptureFixture[str], folder: Path, *more: str) -> str:
    return said(capsys, "run", "--source", "tables", "--path", str(folder), *more)


def test_a_missing_folder_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "nowhere" in run_tables(capsys, tmp_path / "nowhere")


def test_an_unknown_source_is_answered_with_the_known_ones(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    sentence = said(capsys, "run", "--source", "webshop", "--path", str(tmp_path))
    for name in ("webshop", "complete_journey", "online_retail", "simulated", "tables"):
        assert name in sentence


def test_a_missing_column_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pq.write_table(GOOD_EVENTS.drop_columns(["occurred_at"]), tmp_path / "events.parquet")
    assert "occurred_at" in run_tables(capsys, tmp_path)


def test_a_column_of_the_wrong_type_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    wrong = GOOD_EVENTS.set_column(2, "occurred_at", pa.array([True]))
    pq.write_table(wrong, tmp_path / "events.parquet")
    assert "occurred_at" in run_tables(capsys, tmp_path)


def test_an_empty_file_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("")
    assert "events.csv" in run_tables(capsys, tmp_path)


def test_a_folder_without_events_is_told_what_belongs_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "events" in run_tables(capsys, tmp_path)


def test_an_unparsable_date_is_quoted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pq.write_table(GOOD_EVENTS, tmp_path / "events.parquet")
    assert "the day after" in run_tables(capsys, tmp_path, "--until", "the day after")


def test_a_source_without_a_path_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--path" in said(capsys, "run", "--source", "tables")


def test_a_run_of_a_workspace_that_was_never_fed_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "nextbest run --source" in said(capsys, "run")


def test_serving_before_any_champion_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "champion" in said(capsys, "serve")


def test_status_of_a_workspace_that_was_never_fed_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no source" in said(capsys, "status")


def test_a_port_in_use_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert str(port) in said(capsys, "dev", "--port", str(port))


@pytest.mark.parametrize("horizon", ["7", "soon", "0d"])
def test_a_horizon_that_is_not_whole_days_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, horizon: str
) -> None:
    words = ("backtest", "--source", "tables", "--path", str(tmp_path), "--cut", "2025-01-01", "--horizon", horizon)
    assert horizon in said(capsys, *words, "--out", str(tmp_path / "lists.parquet"))
