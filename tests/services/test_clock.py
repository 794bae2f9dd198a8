"""The service's clock: the wall's, or replayed with an offset."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from recommender.errors import InputError
from services.clock import Clock, parse_moment

DAY_MS = 86_400_000


def test_a_workspace_without_settings_keeps_the_walls_time(tmp_path: Path) -> None:
    clock = Clock.from_settings(tmp_path / "settings.json")
    before = time.time_ns() // 1_000_000
    assert before <= clock.now_ms() <= before + 60_000


def test_in_replay_the_offset_is_added(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"source": "tables", "clock": {"mode": "replay", "offset_ms": -5_000 * DAY_MS}}))
    wall = time.time_ns() // 1_000_000
    assert 0 <= Clock.from_settings(path).now_ms() - (wall - 5_000 * DAY_MS) < 60_000


@pytest.mark.parametrize(
    "text", ["", "[]", '{"clock": {"mode": "sundial"}}', '{"clock": {"mode": "replay", "offset_ms": []}}']
)
def test_settings_that_make_no_sense_are_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "settings.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"settings\.json"):
        Clock.from_settings(path)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1970-01-02", DAY_MS),
        ("1970-01-01T00:00:01Z", 1_000),
        ("1970-01-01T01:00:00.0019+01:00", 1),  # cut to milliseconds, not rounded
        ("1970-01-01T00:00:00.123456789", 123),
    ],
)
def test_moments_are_iso_texts_in_utc_unless_they_say_otherwise(text: str, milliseconds: int) -> None:
    assert parse_moment(text) == milliseconds
