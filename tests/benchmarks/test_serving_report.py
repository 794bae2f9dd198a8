"""The serving benchmark's verdicts, and the larger catalogue that it serves."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from benchmarks.serving.large import PEOPLE, grown
from benchmarks.serving.load import LoadResult
from benchmarks.serving.report import lines_of
from recommender.retrieval.retriever import fit_retriever
from tests.model.small_shop import cut_inputs, day, events_of_shop

RUN: dict[str, Any] = {
    "one_at_a_time": [
        {"given": 200, "candidates": 200, "T_ms": 0.6, "P_ms": 0.6, "p50_ms": 2.4, "p99_ms": 4.0, "ratio": 2.0}
    ],
    "under_half_load": {"rate": 200.0, "p50_ms": 2.5, "p99_ms": 10.0, "ratio": 4.0},
    "throughput": {"2": {"per_second": 350.0, "T_per_second": 1000.0, "share": 0.35}},
    "own_write": {"people": 60, "by_the_next_request": 60, "p50_ms": 4.0, "max_ms": 49.9},
    "acknowledgements": {"events_per_second_in_batches_of_50": 3_000, "events_per_second_singly": 400},
}


def test_figures_at_their_targets_meet_them():
    lines = lines_of(RUN)
    assert len(lines) == 6
    assert all(line.is_met for line in lines)


@pytest.mark.parametrize(
    ("section", "key", "worse"),
    [
        ("one_at_a_time", "ratio", 2.01),
        ("under_half_load", "ratio", 4.01),
        ("throughput", "share", 0.349),
        ("own_write", "max_ms", 50.0),
        ("own_write", "by_the_next_request", 59),
        ("acknowledgements", "events_per_second_in_batches_of_50", 2_999),
        ("acknowledgements", "events_per_second_singly", 399),
    ],
)
def test_one_figure_past_its_target_is_one_line_that_misses(section, key, worse):
    run = copy.deepcopy(RUN)
    part = run[section][0] if section == "one_at_a_time" else run[section].get("2", run[section])
    part[key] = worse
    assert [line.is_met for line in lines_of(run)].count(False) == 1


def test_failures_and_silence_are_part_of_the_summary():
    """Ten requests in a second: eight answered in 10 ms, one refused at once, one never answered after 2 s."""
    seconds = np.array([0.01] * 8 + [0.001, 2.0])
    status = np.array([200] * 8 + [429, 0])
    due = np.arange(10) / 10
    result = LoadResult(
        ["read"], due, seconds, np.zeros(10, int), status, np.zeros(10, bool), {"TimeoutError": 1}, [], {}
    )
    told = result.as_json()
    assert told["statuses"] == {"0": 1, "200": 8, "429": 1}
    assert told["answers_per_second"] == pytest.approx(8 / (0.9 + 2.0), abs=0.05)
    assert told["max_ms"] == 2_000
    assert told["timeline"] == [
        {"second": 0, "requests": 10, "failed": 2, "degraded": 0, "p99_ms": pytest.approx(1820.9)}
    ]


def test_a_larger_catalogue_is_the_same_shop_again_under_other_names():
    cut = cut_inputs(events_of_shop(n_users=30, days=21), day(21))
    larger = grown(cut, 3)
    assert len(larger.items) == 3 * len(cut.items)
    assert len(larger.pairs) == 3 * len(cut.pairs)
    assert len(larger.users) == len(cut.users) + 2 * min(PEOPLE, len(cut.users))
    assert pc.count_distinct(larger.items.table["item_id"]).as_py() == len(larger.items)
    assert pc.all(pc.is_in(larger.pairs["item_id"], value_set=larger.items.table["item_id"].combine_chunks())).as_py()
    first = larger.users.take(np.arange(len(cut.users))).table
    assert first.equals(cut.users.table)
    assert fit_retriever(larger).items is larger.items
