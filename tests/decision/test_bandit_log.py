"""What a logged bandit table must be, which of its columns are features, and the sentences for everything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from bandit_logs import log_of, world, write

from recommender.decision.logged.bandit_log import read_bandit_log
from recommender.decision.logged.contexts import ContextEncoder
from recommender.decision.logged.probabilities import probability_table, read_probabilities
from recommender.errors import InputError

N = 4_000


def changed(**columns: Any) -> pa.Table:
    table = world(N)
    for name, values in columns.items():
        table = table.drop_columns([name]) if name in table.column_names else table
        table = table if values is None else table.append_column(name, pa.array(values))
    return table


def test_a_sound_log_is_read_as_it_is(tmp_path: Path) -> None:
    log = log_of(tmp_path, world(N))
    assert log.actions == ("cups", "none", "tea")
    assert log.columns.features == ("age", "colour")
    assert (len(log), int(log.counts.sum())) == (N, N)


FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("no action", {"action": None}, "action missing"),
    ("no reward", {"reward": None}, "reward missing"),
    ("no propensity", {"propensity": None}, "without the column propensity"),
    ("an action that is null", {"action": [None] + ["tea"] * (N - 1)}, "1 rows without an action"),
    ("one action", {"action": ["tea"] * N}, r"one action only \(tea\)"),
    ("a reward that is NaN", {"reward": [0.0, np.nan] * (N // 2)}, "2,000 rows whose reward is missing"),
    ("a reward in words", {"reward": ["yes"] * N}, "the column reward of type string"),
    ("propensity 0", {"propensity": [0.0] + [1 / 3] * (N - 1)}, "1 rows with a propensity outside"),
    ("propensity above 1", {"propensity": [1.5] + [1 / 3] * (N - 1)}, r"row 0 first \(1.5\)"),
    ("propensity as good as 0", {"propensity": [1e-300] + [1 / 3] * (N - 1)}, r"row 0 first \(1e-300\)"),
    ("an action that is NaN", {"action": [np.nan, 1.0] + [2.0] * (N - 2)}, "1 rows without an action"),
    ("actions as lists", {"action": [["tea"], ["cups"]] * (N // 2)}, "actions of type list"),
    ("actions that are no text", {"action": [b"\xff", b"tea"] * (N // 2)}, "actions of type binary"),
    ("owners as lists", {"user_id": [[1], [2]] * (N // 2)}, "the column user_id of type list"),
    ("a reward beyond all measure", {"reward": [1.0, -1e200] * (N // 2)}, r"a reward of -1e\+200 in row 1"),
    ("a place that is missing", {"position": [None, 1.0] * (N // 2)}, "2,000 rows whose position is missing"),
    ("propensities of another policy", {"propensity": [0.1] * N}, "propensities that do not fit the log"),
]


@pytest.mark.parametrize(("columns", "told"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_a_log_that_cannot_be_used_is_refused_in_a_sentence(tmp_path: Path, columns: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        log_of(tmp_path, changed(**columns))


def test_a_file_that_is_not_there_or_empty_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        read_bandit_log(tmp_path / "none.parquet")
    with pytest.raises(InputError, match="without a single row"):
        log_of(tmp_path, world(N).slice(0, 0))


def test_uniform_chance_may_be_declared(tmp_path: Path) -> None:
    log = log_of(tmp_path, changed(propensity=None), propensity="uniform")
    assert set(log.propensity) == {1 / 3}


def test_a_row_without_an_owner_is_one_of_its_own(tmp_path: Path) -> None:
    log = log_of(tmp_path, changed(user_id=["u1", "u1", None, None] * (N // 4)))
    assert log.owner is not None
    assert len(np.unique(log.owner)) == 1 + N // 2
    assert np.bincount(log.owner).max() == N // 2


def test_actions_of_any_text_keep_their_names(tmp_path: Path) -> None:
    names = np.array(["grün", '🎁 | "x": 1', ""])[np.arange(N) % 3]
    for column in (pa.array(names), pa.array(names).dictionary_encode(), pa.array(names).cast(pa.string_view())):
        log = log_of(tmp_path, changed(action=column))
        assert set(log.actions) == set(names)
        table = probability_table(np.full((1, 3), 1 / 3), log.actions, str(log.action_type))
        assert table["action"].to_pylist() == list(log.actions)


def test_numbers_as_actions_keep_their_order_and_their_type(tmp_path: Path) -> None:
    codes = np.random.default_rng(3).choice([2, 10, 1], N)
    log = log_of(tmp_path, changed(action=codes))
    assert log.actions == ("1", "2", "10")
    table = probability_table(np.full((2, 3), 1 / 3), log.actions, str(log.action_type))
    assert table["action"].to_pylist() == [1, 2, 10, 1, 2, 10]


def test_other_outcomes_never_become_features(tmp_path: Path) -> None:
    """Visit → purchase → amount, whatever they are called: of each the other two tell the answer."""
    rng = np.random.default_rng(4)
    table = world(N)
    came = table["reward"].to_numpy() > 0
    bought = came & (rng.random(N) < 0.1)
    outcomes = {"came": came.astype(int), "took": bought, "paid": np.where(bought, rng.gamma(2.0, 20.0, N), 0.0)}
    table = table.drop_columns(["reward"])
    for name, values in outcomes.items():
        table = table.append_column(name, pa.array(values))
    for reward in outcomes:
        log = log_of(tmp_path, table, reward=reward)
        assert log.columns.features == ("age", "colour")
        assert set(log.columns.left_out) == set(outcomes) - {reward}


def test_moments_of_outcomes_never_become_features(tmp_path: Path) -> None:
    """`came_at` is there for those who came alone, `sent_on` for those who were sent something; `joined` for all."""
    table = world(N)
    came = table["reward"].to_numpy() > 0
    sent = np.array(table["action"].to_pylist()) != "none"
    days = np.datetime64("2024-05-01", "D") + np.arange(N) % 90
    table = table.append_column("came_at", pa.array(days.astype("datetime64[us]"), mask=~came))
    table = table.append_column("sent_on", pa.array(days, mask=~sent)).append_column("joined", pa.array(days))
    columns = log_of(tmp_path, table).columns
    assert columns.features == ("age", "colour", "joined")
    assert set(columns.left_out) == {"came_at", "sent_on"}


@pytest.mark.parametrize("seed", range(5))
def test_honest_logs_of_many_actions_keep_their_columns(tmp_path: Path, seed: int) -> None:
    """200 actions of 30 rows each, and one customer in a hundred in the segment `g`: χ² of so few rows is none."""
    rng = np.random.default_rng(seed)
    table = {
        "segment": rng.choice(list("abcdefg"), 6_000, p=[0.4, 0.25, 0.15, 0.1, 0.06, 0.03, 0.01]),
        "action": rng.integers(0, 200, 6_000),
        "propensity": np.full(6_000, 1 / 200),
        "reward": rng.random(6_000),
    }
    assert log_of(tmp_path, table).columns.features == ("segment",)


def test_few_people_with_many_rows_each_do_not_contradict_their_propensities(tmp_path: Path) -> None:
    """Of 60 people 28 met `tea` in all of their 100 rows: 1.4 times 20, which 60 draws of 1 / 3 give now and then."""
    person = np.repeat(np.arange(60), 100)
    action = np.where(person < 28, "tea", np.where(person < 44, "cups", "none"))
    table = {"action": action, "propensity": np.full(6_000, 1 / 3), "reward": person % 7.0}
    with pytest.raises(InputError, match=r"the rows of tea stand for 1\.40 times all rows"):
        log_of(tmp_path, table)
    assert len(log_of(tmp_path, table | {"user_id": person})) == 6_000


@pytest.mark.parametrize("seed", range(5))
def test_ten_rows_of_one_person_are_one_witness_of_what_was_known_before(tmp_path: Path, seed: int) -> None:
    """An experiment by person: whoever has ten rows has the same action and the same features in all of them."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(300), 10)
    table = {
        "user_id": person,
        "age": rng.normal(40.0, 12.0, 300)[person],
        "colour": rng.choice(["red", "blue"], 300)[person],
        "action": rng.integers(0, 3, 300)[person],
        "propensity": np.full(3_000, 1 / 3),
        "reward": rng.random(3_000),
    }
    assert log_of(tmp_path, table).columns.features == ("age", "colour")


def test_a_logging_policy_that_follows_a_column_does_not_make_it_an_outcome(tmp_path: Path) -> None:
    """Blue customers got cups four times in five: colour differs by action, but not once rows are weighted."""
    rng = np.random.default_rng(5)
    blue = rng.random(N) < 0.5
    chance = np.where(blue, 0.8, 0.3)
    cups = rng.random(N) < chance
    table = {
        "colour": np.where(blue, "blue", "red"),
        "action": np.where(cups, "cups", "tea"),
        "propensity": np.where(cups, chance, 1 - chance),
        "reward": rng.random(N),
    }
    assert log_of(tmp_path, table).columns.features == ("colour",)


def test_identifiers_constants_and_lists_are_left_out_with_a_reason(tmp_path: Path) -> None:
    table = changed(
        user_id=[f"u{place}" for place in range(N)], row_number=np.arange(N), shop=["one"] * N, seen=[{"a": 1}] * N
    )
    assert log_of(tmp_path, table).columns.left_out == {
        "user_id": "an identifier",
        "row_number": "an identifier",
        "shop": "one value only",
        "seen": "of type struct<a: int64>, which is not read",
    }


def test_named_features_are_taken_as_they_are_and_once(tmp_path: Path) -> None:
    log = log_of(tmp_path, changed(visit=np.arange(N) % 2), features=("visit", "age", "visit"))
    assert log.columns.features == ("visit", "age")
    with pytest.raises(InputError, match="no column hat"):
        log_of(tmp_path, world(N), features=("hat",))


def test_what_speaks_against_a_feature_that_was_named_is_told(tmp_path: Path) -> None:
    table = world(N)
    came = table["reward"].to_numpy() > 0
    columns = log_of(tmp_path, table.append_column("came", pa.array(came)), features=("age", "came")).columns
    assert columns.features == ("age", "came")
    assert set(columns.doubts) == {"came"}


def test_numbers_that_trees_cannot_hold_count_as_missing() -> None:
    encoder = ContextEncoder.fit(pa.table({"since": [1.0, np.inf, -np.inf, 1e300]}))
    values, _ = encoder.transform(pa.table({"since": [1.0, np.inf, -np.inf, 1e300]}))
    assert np.isnan(values[:, 0]).tolist() == [False, True, True, True]


def test_contexts_become_the_same_numbers_later_and_what_is_new_is_said() -> None:
    learnt = pa.table(
        {
            "age": pa.array([20.0, None] * 10),
            "colour": ["blue", "red"] * 10,
            "newbie": [True, False] * 10,
            "seen_at": pa.array([0, 90_000_000_000] * 10, pa.timestamp("us")),
        }
    )
    encoder = ContextEncoder.fit(learnt)
    assert encoder.names[:4] == ("age", "colour = blue", "colour = red", "newbie")
    values, said = encoder.transform(learnt.slice(0, 2))
    # 1 January 1970 was a Thursday (3); 90,000 s later it was 1 o'clock on Friday, day 1.
    assert values[0].tolist() == [20, 1, 0, 1, 0, 3, 0]
    assert values[1, 1:].tolist() == [0, 1, 0, 1, 4, 1]
    assert np.isnan(values[1, 0])
    assert said == ()
    later = pa.table({"age": [7], "colour": ["green"], "newbie": [False]})
    values, said = encoder.transform(later)
    assert values[0, :4].tolist() == [7, 0, 0, 0]
    assert np.isnan(values[0, 4:]).all()
    assert "colour has a value in 1 rows that was not frequent in the log" in said
    assert "seen_at is not among the contexts: it counts as missing in every row" in said
    assert ContextEncoder.from_json(encoder.as_json()) == encoder


def test_contexts_without_any_feature_or_of_another_type_are_refused() -> None:
    encoder = ContextEncoder.fit(pa.table({"age": [20.0, 30.0]}))
    with pytest.raises(InputError, match="the features that the policy was fitted on: age"):
        encoder.transform(pa.table({"size": [1]}))
    with pytest.raises(InputError, match="the context age of type string"):
        encoder.transform(pa.table({"age": ["old"]}))


def test_probabilities_come_back_as_they_were_written(tmp_path: Path) -> None:
    matrix = np.array([[0.25, 0.75], [1.0, 0.0]])
    path = write(tmp_path, probability_table(matrix, ("a", "b")))
    found, names = read_probabilities(path, 2, ("a", "b"))
    assert found.tolist() == matrix.tolist()
    assert names == ("a", "b")


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (
            {"row": [0, 1], "action": ["a", "a"], "probability": [1.0, 0.7]},
            "1 rows whose probabilities do not sum to 1",
        ),
        ({"row": [0, 2], "action": ["a", "a"], "probability": [1.0, 1.0]}, "rows from 0 to 2 beside a log of 2 rows"),
        ({"row": [0, 0], "action": ["a", "a"], "probability": [0.5, 0.5]}, "the same row and action twice"),
        ({"row": [0, 1], "action": ["a", "a"], "probability": [-1.0, 1.0]}, "probabilities below 0"),
        ({"row": [0, 1], "action": ["a", "a"]}, "probability missing"),
    ],
)
def test_probabilities_that_are_none_are_refused(tmp_path: Path, table: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_probabilities(write(tmp_path, table), 2, ("a", "b"))
