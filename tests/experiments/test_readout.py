"""The readout: people from rows, the ratio first, a verdict in a sentence, days, segments, page and command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.cli import main
from recommender.errors import InputError
from recommender.experiments.experiment_table import ExperimentColumns
from recommender.experiments.readout import ReadoutConfig, read_out
from recommender.report.experiment_page import experiment_page

SHARES = {"holdout": 0.5, "agent": 0.5}
COLUMNS = ExperimentColumns(outcome="value", covariate="before", segments=("region", "age"), day="day")


def shop(n: int = 4_000, effect: float = 0.3, seed: int = 5, **more: object) -> pa.Table:
    """Three rows a person on three days; the effect is that of the sum, and lives in the north."""
    rng = np.random.default_rng(seed)
    before, north = rng.gamma(2.0, 1.0, n), rng.random(n) < 0.5
    agent = rng.random(n) < 0.5
    value = before[:, None] / 3 + effect * 2 / 3 * (agent & north)[:, None] + rng.normal(size=(n, 3)) / 3
    columns = {
        "user_id": np.repeat([f"u{number}" for number in range(n)], 3),
        "arm": np.repeat(np.where(agent, "agent", "holdout"), 3),
        "value": value.ravel(),
        "before": np.repeat(before, 3),
        "region": np.repeat(np.where(north, "north", "south"), 3),
        "age": np.repeat(rng.normal(40, 10, n), 3),
        "day": np.tile(np.array(["2026-03-01", "2026-03-02", "2026-03-04"]), n),
    }
    return pa.table(columns | more)


def test_a_real_effect_is_proven_and_told_in_a_sentence() -> None:
    report = read_out(shop(), COLUMNS, SHARES)
    (found,) = report["comparisons"]
    assert report["verdict"] == "better"
    assert report["people"] == 4_000
    assert found["low"] < 0.3 < found["high"]
    assert found["always_low"] < found["low"]
    assert report["sentence"].startswith(f"agent brings {found['difference']:.3g} more value per person than holdout")
    assert found["variance_saved"] == pytest.approx(2 / (2 + 1 / 3), abs=0.05), "of the variance, before makes 2"


def test_nothing_is_not_called_something() -> None:
    report = read_out(shop(effect=0.0), COLUMNS, SHARES)
    assert report["verdict"] == "not_enough_evidence"
    assert report["sentence"].startswith("Not enough evidence")


def test_a_broken_ratio_is_refused_before_any_outcome_is_read() -> None:
    table = shop(3_000)
    lost = pa.array((np.arange(9_000) // 3 % 5 > 0) | (np.asarray(table["arm"]) == "holdout"))
    report = read_out(table.filter(lost), COLUMNS, SHARES)
    assert report["verdict"] == "refused"
    assert report["comparisons"] == []
    assert report["arms"] == {}
    assert "No outcome is read" in report["sentence"]


def test_the_last_day_is_the_whole_and_each_day_is_the_table_cut_there() -> None:
    table = shop(2_000)
    whole = read_out(table, COLUMNS, SHARES)
    assert [own["day"] for own in whole["days"]] == ["2026-03-01", "2026-03-02", "2026-03-04"]
    for place, day in enumerate(("2026-03-01", "2026-03-02", "2026-03-04")):
        cut = table.filter(pa.array(np.asarray(table["day"]) <= day))
        alone = read_out(cut, COLUMNS, SHARES)["comparisons"][0]
        for name in ("difference", "low", "high", "always_low", "always_high"):
            assert whole["days"][place]["arms"]["agent"][name] == pytest.approx(alone[name]), (day, name)


def test_people_who_come_later_enter_the_days_when_they_come() -> None:
    table = shop(2_000).filter(pa.array(np.arange(6_000) % 7 > 0))
    days = read_out(table, COLUMNS, SHARES)["days"]
    first = table.filter(pa.array(np.asarray(table["day"]) <= "2026-03-01"))
    assert days[0]["arms"]["agent"]["people"] == len(first["user_id"].unique())
    assert days[-1]["arms"]["agent"]["people"] == len(table["user_id"].unique())


def test_a_segment_that_differs_is_said_to_and_estimates_shrink() -> None:
    region, age = read_out(shop(), COLUMNS, SHARES)["segments"]["agent"]
    assert region["differ"]
    assert not age["differ"]
    north, south = region["levels"]
    assert north["low"] > 0 > south["low"]
    assert south["difference"] <= south["shrunk"] <= north["shrunk"] <= north["difference"]
    assert len(age["levels"]) == 4


def test_several_arms_are_judged_together_and_the_control_is_chosen() -> None:
    table = pa.table({"arm": np.repeat(["a", "b", "c"], 200), "outcome": np.random.default_rng(2).normal(size=600)})
    report = read_out(table, ExperimentColumns())
    assert report["control"] == "a"
    assert [own["arm"] for own in report["comparisons"]] == ["b", "c"]
    assert all(own["p_holm"] >= own["p"] for own in report["comparisons"])
    assert read_out(table, ExperimentColumns(), None, ReadoutConfig("c"))["control"] == "c"


def test_where_few_people_decide_chance_is_asked_as_well() -> None:
    rng, doubted = np.random.default_rng(8), 0
    for _ in range(40):
        arm = np.where(rng.random(4_000) < 0.1, "holdout", "agent")
        spend = (rng.random(4_000) < 0.02) * rng.lognormal(4.0, 1.0, 4_000)
        report = read_out(pa.table({"arm": arm, "outcome": spend}), ExperimentColumns())
        (found,) = report["comparisons"]
        assert report["cautions"], "some eight of 400 people held out bought anything"
        doubted += found["p"] <= 0.05 < found["p_redrawn"]
        assert (report["verdict"] == "not_enough_evidence") == (found["p"] > 0.05 or found["p_redrawn"] > 0.05)
    assert doubted, "Welch's interval alone is wrong in every eighth such experiment"


def test_whoever_peeks_is_judged_by_the_interval_of_every_look() -> None:
    table = shop(effect=0.03 * 2)
    one, every = (read_out(table, COLUMNS, SHARES, ReadoutConfig(peeking=peeking)) for peeking in (False, True))
    assert one["comparisons"][0]["always_low"] == every["comparisons"][0]["always_low"]
    assert (every["verdict"] == "better") == (every["comparisons"][0]["always_low"] > 0)
    assert "however often one looks" in every["sentence"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": pa.array([None] * 300, pa.float64())}, "Write 0"),
        ({"arm": pa.array(["agent", "holdout", "agent"] * 100)}, "two arms"),
        ({"before": np.arange(300.0)}, "rows differ in before"),
        ({"value": pa.array(["much"] * 300)}, "numbers"),
        ({"arm": pa.array([None] * 300, pa.string())}, "without arm"),
    ],
)
def test_tables_that_cannot_be_read_are_refused_in_a_sentence(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_out(shop(100, **change), COLUMNS, SHARES)


def test_the_page_is_one_file_without_addresses() -> None:
    page = experiment_page(read_out(shop(), COLUMNS, SHARES))
    assert page.count("<svg") == 5, "two of effects, days, two of segments"
    assert "http" not in page
    assert '<span class="verdict">proven better' in page


def test_pages_of_broken_and_of_many_armed_experiments_say_what_they_are() -> None:
    people = {
        "arm": np.repeat(["a<b", "b", "c"], [900, 800, 100]),
        "outcome": np.random.default_rng(2).normal(size=1_800),
    }
    broken = experiment_page(read_out(pa.table(people), ExperimentColumns(), {"a<b": 0.5, "b": 0.4, "c": 0.1}))
    assert '<span class="verdict no">not read' in broken
    assert "<svg" not in broken
    people["day"] = np.arange(1_800) % 40
    many = experiment_page(read_out(pa.table(people), ExperimentColumns(day="day")))
    assert many.count("<svg") == 3, "one look, every look, days"
    assert "a&lt;b" in many
    assert "a<b" not in many


def test_where_nothing_has_happened_yet_nothing_is_known() -> None:
    report = read_out(pa.table({"arm": np.repeat(["a", "b"], 50), "outcome": np.zeros(100)}), ExperimentColumns())
    assert report["verdict"] == "not_enough_evidence"
    assert report["comparisons"][0]["low"] is None
    assert "unknown" in experiment_page(report)
    assert '<span class="verdict open">not enough evidence' in experiment_page(report)


def test_the_command_assigns_reads_and_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    users, arms, table, page = (tmp_path / name for name in ("u.parquet", "a.parquet", "t.parquet", "page.html"))
    ids = [f"u{number}" for number in range(5_000)]
    pq.write_table(pa.table({"user_id": ids}), users)
    words = ["experiment", "assign", "--salt", "spring", "--shares", "holdout=.1,agent=.9", "--users", str(users)]
    assert main([*words, "--out", str(arms)]) == 0
    assigned = pq.read_table(arms)
    assert assigned["user_id"].to_pylist() == ids
    value = np.random.default_rng(1).normal(size=5_000) + (np.asarray(assigned["arm"]) == "agent")
    pq.write_table(assigned.append_column("value", pa.array(value)), table)
    capsys.readouterr()
    words = ["experiment", "readout", "--table", str(table), "--outcome", "value", "--json"]
    assert main([*words, "--shares", "holdout=.1,agent=.9", "--out", str(page)]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "better"
    assert page.read_text().startswith("<!doctype html>")
    assert main([*words, "--shares", "holdout=.2,agent=.8"]) == 1
    told = capsys.readouterr()
    assert json.loads(told.out)["verdict"] == "refused"
    assert "No outcome is read" in told.err
