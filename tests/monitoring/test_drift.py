"""The drift report: what it decides, what it writes, and that page and decision never disagree."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from browser import Browser
from numpy.random import Generator, default_rng

from monitoring.drift import DriftConfig, DriftResult, decide_drift, drift_report, read_drift
from recommender.errors import InputError, IntegrityError

FAST = DriftConfig(permutations=199)


def profile(rows: int, rng: Generator) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "user_id": [f"u{number}" for number in range(rows)],
            "events_28d": rng.poisson(4.0, rows),
            "days_since_last": rng.exponential(6.0, rows),
            "share_of_sale_items": rng.beta(2.0, 5.0, rows),
            "top_category": rng.choice(["toys", "tools", "tea"], rows, p=[0.5, 0.3, 0.2]),
            "is_new": rng.random(rows) < 0.2,
        }
    )


def changed(rows: int, rng: Generator) -> pd.DataFrame:
    """Half of the people come back less often, and a category appears."""
    window = profile(rows, rng)
    half = np.arange(rows) % 2 == 0
    window["days_since_last"] = np.where(half, 3.0 * window["days_since_last"], window["days_since_last"])
    window["top_category"] = np.where(np.arange(rows) % 5 == 0, "wool", window["top_category"])
    return window


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> DriftResult:
    rng = default_rng(1)
    folder = tmp_path_factory.mktemp("drift")
    return drift_report(profile(3_000, rng), changed(1_000, rng), folder, FAST)


@pytest.mark.slow
def test_what_changed_is_found_and_the_rest_is_not(report: DriftResult) -> None:
    assert report.verdict == "drift"
    assert {column.column for column in report.drifted} == {"days_since_last", "top_category"}
    assert report.drifted_share == 2 / 5
    assert (report.n_reference, report.n_current) == (3_000, 1_000)
    assert "2 of 5 columns drifted" in report.sentence()


@pytest.mark.slow
def test_page_and_decision_agree(report: DriftResult) -> None:
    """Evidently counts the drifted columns by itself, with the limits that it was given."""
    assert report.json_path is not None
    figures = json.loads(Path(report.json_path).with_name("evidently.json").read_text())
    counted = next(m["value"] for m in figures["metrics"] if m["config"]["type"].endswith(":DriftedColumnsCount"))
    assert counted["count"] == len(report.drifted)
    limits = {m["config"].get("column"): m["config"].get("threshold") for m in figures["metrics"]}
    for column in report.columns:
        assert limits[column.column] == column.threshold
        assert column.is_drifted == (column.effect >= column.threshold)


@pytest.mark.slow
def test_the_decision_without_evidently_is_the_same(report: DriftResult) -> None:
    rng = default_rng(1)
    alone = decide_drift(profile(3_000, rng), changed(1_000, rng), FAST)
    for ours, theirs in zip(alone.columns, report.columns, strict=True):
        assert ours.column == theirs.column
        assert ours.effect == pytest.approx(theirs.effect, rel=1e-9)
        assert (ours.threshold, ours.is_drifted) == (theirs.threshold, theirs.is_drifted)


@pytest.mark.slow
def test_what_was_written_reads_back(report: DriftResult) -> None:
    assert report.json_path is not None
    assert read_drift(Path(report.json_path)) == report
    stored = json.loads(Path(report.json_path).read_text())
    assert (stored["is_drifted"], stored["drifted_share"]) == (True, 0.4)


def test_another_file_is_no_drift_result(tmp_path: Path) -> None:
    (tmp_path / "drift.json").write_text('{"columns": [1]}')
    with pytest.raises(IntegrityError, match=r"drift\.json"):
        read_drift(tmp_path / "drift.json")


def test_quiet_window() -> None:
    rng = default_rng(2)
    quiet = decide_drift(profile(3_000, rng), profile(1_000, rng), FAST)
    assert quiet.verdict == "no drift"
    assert quiet.drifted == ()


def test_too_few_rows_are_a_verdict_and_never_an_alarm(tmp_path: Path) -> None:
    rng = default_rng(3)
    small = drift_report(profile(3_000, rng), changed(499, rng), tmp_path, FAST)
    assert (small.verdict, small.is_drifted, small.html_path) == ("not enough data", False, None)
    assert "499 rows against 3,000" in small.sentence()
    assert read_drift(tmp_path / "drift.json") == small


@pytest.mark.parametrize("rows", [0, 1])
def test_empty_windows_are_answered(tmp_path: Path, rows: int) -> None:
    rng = default_rng(4)
    assert drift_report(profile(1_000, rng), profile(rows, rng), tmp_path, FAST).verdict == "not enough data"


def test_a_feed_that_goes_silent_is_drift() -> None:
    """Effect sizes ignore gaps; the share of gaps is compared as a column of its own."""
    rng = default_rng(5)
    current = profile(1_000, rng)
    current["share_of_sale_items"] = np.nan
    found = decide_drift(profile(2_000, rng), current, FAST)
    assert [column.column for column in found.drifted] == ["share_of_sale_items is missing"]
    assert found.skipped_columns == ("share_of_sale_items",)


def test_arrow_and_pandas_say_the_same() -> None:
    rng = default_rng(6)
    reference, current = profile(1_000, rng), changed(1_000, rng)
    as_arrow = decide_drift(pa.Table.from_pandas(reference), pa.Table.from_pandas(current), FAST)
    assert as_arrow == decide_drift(reference, current, FAST)


def test_integers_with_gaps_times_and_dictionaries() -> None:
    rng = default_rng(7)
    rows = 1_000
    table = pa.table(
        {
            "count": pa.array([None if n % 10 == 0 else n % 7 for n in range(rows)], pa.int64()),
            "at": pa.array([0] * rows, pa.timestamp("ms")),
            "country": pa.array(rng.choice(["GB", "DE"], rows)).dictionary_encode(),
        }
    )
    found = decide_drift(table, table, FAST)
    assert [column.column for column in found.columns] == ["count is missing", "count", "country"]
    assert found.skipped_columns == ("at",)
    assert not found.is_drifted


def test_a_lost_column_is_an_error_with_a_next_step() -> None:
    rng = default_rng(8)
    with pytest.raises(InputError, match=r"without the column\(s\) is_new\..*What to do"):
        decide_drift(profile(600, rng), profile(600, rng).drop(columns="is_new"), FAST)


@pytest.mark.slow
def test_the_page_needs_no_network(report: DriftResult, browser: Browser) -> None:
    """In a real browser: nothing is requested but the file, nothing fails, and the finding can be read."""
    assert report.html_path is not None
    page = browser.open(Path(report.html_path).as_uri())
    page.get_by_text("Drift is detected for 40.0% of columns (2 out of 5)").wait_for()
    page.get_by_text("days_since_last", exact=True).first.wait_for()
    assert browser.requested == [Path(report.html_path).as_uri()]
    assert browser.errors == []


@pytest.mark.slow
def test_a_category_cannot_run_in_the_readers_browser(tmp_path: Path, browser: Browser) -> None:
    """Categories come from events that anybody may send; Evidently writes them into a script of its page."""
    rng = default_rng(9)
    attack = "</script><script>document.title = 'taken over'</script>"
    names = {"top_category": f"top {attack}"}
    reference = profile(600, rng).rename(columns=names)
    current = profile(600, rng).replace("tea", attack).rename(columns=names)
    report = drift_report(reference, current, tmp_path, FAST)
    assert [column.column for column in report.drifted] == [names["top_category"]]
    page = browser.open((tmp_path / "drift.html").as_uri())
    page.get_by_text("Drift is detected for 20.0% of columns (1 out of 5)").wait_for()
    assert page.title() != "taken over"
    assert browser.errors == []


def test_numbers_that_no_histogram_can_hold_are_left_out() -> None:
    rng = default_rng(10)
    frame = profile(600, rng).assign(
        id=2.0**60 + 256.0 * rng.integers(0, 5, 600), huge=1e300 * rng.normal(size=600), flat=2.0
    )
    found = decide_drift(frame, frame, FAST)
    assert found.skipped_columns == ("id", "huge")
    assert "flat" in [column.column for column in found.columns]
