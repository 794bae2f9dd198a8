"""Training rows of both kinds: labels as arithmetic, nothing from after its time, nothing lost on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from fitted_shop import Shop
from small_shop import cut_inputs, day, event_table, events_of_shop

from recommender.errors import InputError, IntegrityError
from recommender.events import DAY_MS, DECISION_SCHEMA
from recommender.model.features import feature_version
from recommender.model.past_slates import retrospective_slates
from recommender.model.served_slates import served_slates
from recommender.model.training_set import TrainingConfig, TrainingSet

NAMES = ("first", "second")


def as_bytes(training: TrainingSet) -> tuple[bytes, bytes, list[str], list[dict[str, object]]]:
    return (
        training.features.tobytes(),
        training.label.tobytes(),
        training.item_id.to_pylist(),
        training.groups.to_pylist(),
    )


def test_labels_are_what_happened_in_the_horizon(shop: Shop, training: TrainingSet) -> None:
    happened: dict[tuple[int, str, str], int] = {}
    grades = {"view": 1, "add_to_cart": 2, "purchase": 3}
    at = shop.events["occurred_at"].cast(pa.int64()).to_pylist()
    for moment, row in zip(at, shop.events.select(["user_id", "item_id", "event_type"]).to_pylist(), strict=True):
        for cut in shop.past:
            if cut.as_of_ms <= moment < cut.as_of_ms + 7 * DAY_MS:
                key = (cut.as_of_ms, row["user_id"], row["item_id"])
                happened[key] = max(happened.get(key, 0), grades[row["event_type"]])
    training = training.take_groups(np.asarray(training.groups["kind"].to_pylist()) == "retrospective")
    users = training.groups["user_id"].to_pylist()
    keys = [
        (int(training.at_ms[group]), users[group], item)
        for group, item in zip(training.group, training.item_id.to_pylist(), strict=True)
    ]
    assert training.label.tolist() == [happened.get(key, 0) for key in keys]
    assert len(set(keys)) == len(keys)
    assert {key[0] for key in keys} == {cut.as_of_ms for cut in shop.past}


def test_every_slate_has_a_positive_and_at_most_the_wanted_negatives(shop: Shop) -> None:
    few = retrospective_slates(shop.past, shop.events, TrainingConfig(negatives=4, rehearsed_negatives=4), seed=3)
    positives = np.bincount(few.group[few.label > 0], minlength=len(few.groups))
    assert (positives > 0).all()
    assert (few.sizes - positives <= 4).all()
    again = retrospective_slates(shop.past, shop.events, TrainingConfig(negatives=4, rehearsed_negatives=4), seed=3)
    assert as_bytes(few) == as_bytes(again)


def test_cuts_at_a_time_change_no_byte(shop: Shop, training: TrainingSet) -> None:
    one_by_one = retrospective_slates(shop.past, shop.events, TrainingConfig(threads=1), seed=3)
    assert as_bytes(one_by_one) == as_bytes(training)


def test_events_after_the_horizon_change_nothing(shop: Shop) -> None:
    end = pa.scalar(shop.past[1].as_of_ms + 7 * DAY_MS, pa.timestamp("ms"))
    known = shop.events.filter(pc.less(shop.events["occurred_at"], end))
    assert known.num_rows < shop.events.num_rows
    all_of_it = retrospective_slates(shop.past[:2], shop.events, seed=3)
    assert as_bytes(all_of_it) == as_bytes(retrospective_slates(shop.past[:2], known, seed=3))


def test_what_follows_a_cut_moves_labels_but_never_features() -> None:
    events, other = events_of_shop(n_users=40), events_of_shop(n_users=40, seed=6)
    cut = day(42)
    past = events.filter(pc.less(events["occurred_at"], pa.scalar(cut, pa.timestamp("ms"))))
    future = other.filter(pc.greater_equal(other["occurred_at"], pa.scalar(cut, pa.timestamp("ms"))))
    keep_all = TrainingConfig(negatives=0)
    first = retrospective_slates([cut_inputs(events, cut)], events, keep_all)
    changed = pa.concat_tables([past, future])
    second = retrospective_slates([cut_inputs(changed, cut)], changed, keep_all)
    assert first.label.tolist() != second.label.tolist()
    rows = [
        {
            (user, item): row.tobytes()
            for user, item, row in zip(
                np.array(found.groups["user_id"].to_pylist())[found.group],
                found.item_id.to_pylist(),
                found.features,
                strict=True,
            )
        }
        for found in (first, second)
    ]
    both = rows[0].keys() & rows[1].keys()
    assert len(both) > 100
    assert all(rows[0][key] == rows[1][key] for key in both)


def test_until_keeps_only_slates_whose_horizon_had_passed(shop: Shop, training: TrainingSet) -> None:
    early = training.until(shop.past[1].as_of_ms)
    assert set(early.at_ms) == {shop.past[0].as_of_ms}
    assert len(early) == early.sizes.sum()


def test_rows_and_columns_can_be_left_out(training: TrainingSet) -> None:
    own = training.proposers % 2 == 1  # the first generator is the own history
    assert 0 < own.sum() < len(training)
    kept = training.take_rows(~own)
    assert kept.sizes.sum() == len(kept) == (~own).sum()
    assert (kept.sizes > 0).all()
    assert kept.label.tolist() == training.label[~own].tolist()
    users = np.asarray(training.groups["user_id"].to_pylist())[training.group][~own]
    assert np.asarray(kept.groups["user_id"].to_pylist())[kept.group].tolist() == users.tolist()
    names = (training.names[5], training.names[2])
    assert training.take_columns(names).features.tolist() == training.features[:, [5, 2]].tolist()


def test_no_one_came_back_is_an_error_with_a_remedy(shop: Shop) -> None:
    with pytest.raises(InputError, match="3 past cuts without one candidate"):
        retrospective_slates(shop.past, shop.events.slice(0, 0))


def decisions(**columns: list[object]) -> pa.Table:
    """Three decisions: answered, unanswered, and one of another feature version."""
    features = np.arange(4, dtype="<f4").tobytes()
    known = {
        "decision_id": ["d1", "d2", "d3"],
        "user_id": ["ann", None, "ann"],
        "anonymous_id": [None, "visitor", None],
        "decided_at": [day(1), day(2), day(3)],
        "slate_item_ids": [["item-001", "item-002"]] * 3,
        "slate_propensities": [[1.0, 0.5]] * 3,
        "slate_features": [features] * 3,
        "feature_version": [feature_version(NAMES), feature_version(NAMES), "another"],
    } | columns
    empty: list[object] = [None] * 3
    return pa.table({name: known.get(name, empty) for name in DECISION_SCHEMA.names}, schema=DECISION_SCHEMA)


def outcomes() -> pa.Table:
    rows = [
        ("ann", "item-002", "view", day(1.1), "s"),
        ("ann", "item-002", "purchase", day(1.2), "s"),
        ("ann", "item-001", "skip", day(1.2), "s"),
        ("ann", "item-009", "purchase", day(1.3), "s"),  # was not in the slate
        ("ann", "item-001", "purchase", day(9), "s"),  # eight days later
    ]
    return event_table(rows, decision_id=["d1"] * 5)


def test_a_served_slate_carries_its_logged_features_positions_propensities_and_outcomes() -> None:
    found = served_slates(decisions(), outcomes(), NAMES)
    assert found.groups["decision_id"].to_pylist() == ["d1", "d2"]
    assert found.groups["kind"].to_pylist() == ["served", "served"]
    assert found.features.tolist() == [[0, 1], [2, 3]] * 2
    assert found.label.tolist() == [0, 3, 0, 0]
    assert found.position.tolist() == [1, 2, 1, 2]
    assert found.propensity.tolist() == [1.0, 0.5, 1.0, 0.5]


def test_an_unanswered_decision_is_training_data_with_labels_zero() -> None:
    found = served_slates(decisions(), event_table([]), NAMES)
    assert len(found.groups) == 2
    assert found.label.tolist() == [0, 0, 0, 0]


def test_a_decision_without_whole_features_is_left_out() -> None:
    features = np.arange(4, dtype="<f4").tobytes()
    found = served_slates(decisions(slate_features=[features[:-1], None, features]), outcomes(), NAMES)
    assert len(found) == 0
    assert len(found.groups) == 0


def test_all_kinds_are_saved_together_and_come_back_whole(training: TrainingSet, tmp_path: Path) -> None:
    width = len(training.names)
    features = np.arange(2 * width, dtype="<f4").tobytes()
    logged = decisions(slate_features=[features] * 3, feature_version=[feature_version(training.names)] * 3)
    both = TrainingSet.concatenate([training, served_slates(logged, outcomes(), training.names)])
    both.save(tmp_path / "training")
    loaded = TrainingSet.load(tmp_path / "training")
    assert as_bytes(loaded) == as_bytes(both)
    assert loaded.position.tolist() == both.position.tolist()
    assert loaded.proposers.tolist() == both.proposers.tolist()
    assert loaded.summary()["served_slates"] == 3
    found = loaded.summary()
    assert found["retrospective_slates"] + found["rehearsed_slates"] == len(training.groups)
    assert min(found["retrospective_slates"], found["rehearsed_slates"]) > 0
    assert [path.name for path in tmp_path.iterdir()] == ["training"]


def test_a_damaged_training_set_is_refused(training: TrainingSet, tmp_path: Path) -> None:
    training.save(tmp_path / "training")
    (tmp_path / "training" / "rows.parquet").write_bytes(b"PAR1")
    with pytest.raises(IntegrityError, match="Materialise the training set again"):
        TrainingSet.load(tmp_path / "training")
