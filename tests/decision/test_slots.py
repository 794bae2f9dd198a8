"""Whatever is drawn, pins, caps and the quota hold, and the logged propensities are the frequencies of the draws."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from recommender.decision.policy import SlatePolicy, seed_of
from recommender.decision.slots import Cap, Plan, fill

ORDER = np.array([1, 3, 4, 0, 2, 5])
KIND = np.array([0, 0, 1, 0, 1, 2], np.int32)  # of the six candidates
MAKER = np.array([-1, 0, 0, 1, 1, -1], np.int32)
NEW = np.array([False, False, True, False, False, True])

PLANS = {
    "free": Plan(3, ORDER),
    "a cap": Plan(3, ORDER, caps=(Cap("category", 1, KIND),)),
    "two caps": Plan(3, ORDER, caps=(Cap("category", 2, KIND), Cap("brand", 1, MAKER))),
    "a pin": Plan(3, ORDER, pins={1: 2}),
    "a pin under a cap": Plan(3, ORDER, pins={2: 4}, caps=(Cap("category", 1, KIND),)),
    "a quota": Plan(3, ORDER, fresh=NEW, fresh_share=0.4),
    "everything": Plan(4, ORDER, {2: 0}, (Cap("category", 2, KIND),), NEW, 0.3),
}


def slates(plan: Plan, policy: SlatePolicy, draws: int) -> Counter[tuple[tuple[int, ...], float]]:
    """How often each slate comes up with its propensity, over the seeds of that many decision ids."""
    choices = (fill(plan, policy, seed_of(f"decision-{draw}")) for draw in range(draws))
    return Counter((tuple(choice.rows.tolist()), round(float(choice.propensities.prod()), 12)) for choice in choices)


def pvalue(seen: Counter[tuple[tuple[int, ...], float]], draws: int) -> float:
    """χ² of the slates against their own logged propensities; slates too rare for the test are put together."""
    expected = np.array([propensity * draws for _, propensity in seen])
    counts = np.array(list(seen.values()))
    rare = expected < 5
    expected, counts = (np.append(values[~rare], values[rare].sum()) for values in (expected, counts))
    never = draws - expected.sum()  # possible slates that did not come up
    expected, counts = np.append(expected, never), np.append(counts, 0)
    keep = expected > 1e-6 * draws
    return float(chisquare(counts[keep], expected[keep] * counts[keep].sum() / expected[keep].sum()).pvalue)


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_slates_come_as_often_as_their_propensities_say(plan: Plan) -> None:
    draws = 3_000
    seen = slates(plan, SlatePolicy(0.4, 5), draws)
    assert len(dict(seen.keys())) == len(seen), "a slate has one propensity"
    assert pvalue(seen, draws) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("policy", [SlatePolicy(0.3, 6), SlatePolicy(0.8, 3)], ids=lambda policy: policy.name)
def test_twenty_thousand_slates_come_as_often_as_their_propensities_say(plan: Plan, policy: SlatePolicy) -> None:
    seen = slates(plan, policy, 20_000)
    assert sum(propensity for _, propensity in seen) == pytest.approx(1.0, abs=1e-3)
    assert pvalue(seen, 20_000) > 1e-4


def test_the_check_above_notices_propensities_of_another_policy() -> None:
    plan, draws = PLANS["everything"], 3_000
    claimed = dict(slates(plan, SlatePolicy(0.3, 5), draws).keys())
    true = {rows: count for (rows, _), count in slates(plan, SlatePolicy(0.4, 5), draws).items()}
    assert pvalue(Counter({(rows, claimed.get(rows, 0.0)): n for rows, n in true.items()}), draws) < 1e-4


def test_without_exploration_the_plan_is_shown() -> None:
    assert fill(PLANS["free"], SlatePolicy(), 1).rows.tolist() == [1, 3, 4]
    assert fill(PLANS["a cap"], SlatePolicy(), 1).rows.tolist() == [1, 4, 5]  # one of each kind
    choice = fill(PLANS["a pin"], SlatePolicy(), 1)
    assert (choice.rows.tolist(), choice.propensities.tolist(), choice.ways) == ([1, 2, 3], [1.0] * 3, ".P.")


def test_a_pin_leaves_its_own_place_under_the_cap() -> None:
    # Item 4 of kind 1 is pinned third; item 2 of kind 1 must not come before it.
    assert fill(PLANS["a pin under a cap"], SlatePolicy(), 1).rows.tolist() == [1, 5, 4]


def test_new_items_move_up_when_their_share_is_due() -> None:
    # ⌊0.4 × 3⌋ = 1 of the first three places; item 2 is planned before item 5.
    choice = fill(PLANS["a quota"], SlatePolicy(), 1)
    assert (choice.rows.tolist(), choice.ways) == ([1, 3, 2], "..Q")


def test_behind_the_pool_the_plan_is_certain() -> None:
    choice = fill(Plan(6, ORDER), SlatePolicy(1.0, 2), 3)
    assert sorted(choice.rows[:2].tolist()) == [1, 3]
    assert choice.rows[2:].tolist() == [4, 0, 2, 5]
    assert choice.propensities.tolist() == [1 / 2, 1.0, 1.0, 1.0, 1.0, 1.0]


def test_where_caps_leave_nothing_the_slate_ends_and_pins_move_up() -> None:
    codes = np.zeros(6, np.int32)
    choice = fill(Plan(5, ORDER, {4: 2}, (Cap("category", 2, codes),)), SlatePolicy(), 1)
    assert (choice.rows.tolist(), choice.ways) == ([1, 2], ".P")


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    n = draw(st.integers(0, 25))
    order = np.array(draw(st.permutations(range(n)))[: draw(st.integers(0, n))], dtype=np.int64)
    k = draw(st.integers(1, 12))
    codes = st.lists(st.integers(-1, 3), min_size=n, max_size=n).map(lambda values: np.array(values, np.int32))
    caps = tuple(Cap(name, draw(st.integers(1, 3)), draw(codes)) for name in draw(st.sets(st.sampled_from("cb"))))
    pinned = draw(st.lists(st.sampled_from(order.tolist()), unique=True, max_size=3)) if len(order) else []
    places = (
        draw(st.lists(st.integers(0, k - 1), unique=True, min_size=len(pinned), max_size=len(pinned))) if k >= 3 else []
    )
    pins = dict(zip(places, pinned, strict=False))
    fresh = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=bool)
    return Plan(k, order, pins, caps, fresh, draw(st.floats(0, 1)))


@given(plans(), st.floats(0, 1), st.integers(1, 30), st.integers(0, 2**63 - 1))
@settings(max_examples=250, deadline=None)
def test_constraints_hold_whatever_is_drawn(plan: Plan, share: float, pool: int, seed: int) -> None:
    choice = fill(plan, SlatePolicy(share, pool), seed)
    rows = choice.rows.tolist()
    assert len(set(rows)) == len(rows) == len(choice.propensities) == len(choice.ways) <= plan.k
    assert set(rows) <= set(plan.order.tolist())
    assert ((choice.propensities > 0) & (choice.propensities <= 1)).all()
    for place, row in plan.pins.items():
        shown = rows.index(row)
        assert shown <= place
        assert (choice.propensities[shown], choice.ways[shown]) == (1.0, "P")
        assert shown == place or len(rows) < plan.k, "a pin moves up only where the slate is short"
    for cap in plan.caps:
        used, pinned = (Counter(cap.codes[some].tolist()) for some in (rows, list(plan.pins.values())))
        assert all(count <= max(cap.limit, pinned[code]) for code, count in used.items() if code >= 0)
    again = fill(plan, SlatePolicy(share, pool), seed)
    assert (again.rows.tolist(), again.propensities.tolist()) == (rows, choice.propensities.tolist())


@given(plans(), st.floats(0, 1), st.integers(0, 2**63 - 1))
@settings(max_examples=250, deadline=None)
def test_the_quota_is_met_at_every_place_while_new_items_are_left(plan: Plan, share: float, seed: int) -> None:
    plan = replace(plan, pins={}, caps=())
    assert plan.fresh is not None
    is_new = plan.fresh[fill(plan, SlatePolicy(share, 8), seed).rows]
    there = int(plan.fresh[plan.order].sum())
    for places in range(1, len(is_new) + 1):
        due = math.floor(plan.fresh_share * places + 1e-9)
        assert is_new[:places].sum() >= min(due, there)


@given(plans(), st.floats(0, 1), st.integers(0, 2**63 - 1))
@settings(max_examples=100, deadline=None)
def test_under_pins_and_caps_a_due_place_shows_a_new_item_unless_none_may_be_shown(
    plan: Plan, share: float, seed: int
) -> None:
    assert plan.fresh is not None
    rows = fill(plan, SlatePolicy(share, 8), seed).rows.tolist()
    if len(rows) < plan.k:
        return  # a short slate has lost its places
    for place, row in enumerate(rows):
        due = math.floor(plan.fresh_share * (place + 1) + 1e-9) > plan.fresh[rows[:place]].sum()
        if due and place not in plan.pins and not plan.fresh[row]:
            before = [*rows[:place], *(pin for at, pin in plan.pins.items() if at > place)]
            left = [new for new in plan.order.tolist() if plan.fresh[new] and new not in before]
            assert all(any(_is_full(cap, before, new) for cap in plan.caps) for new in left)


def _is_full(cap: Cap, before: list[int], row: int) -> bool:
    return bool(cap.codes[row] >= 0 and (cap.codes[before] == cap.codes[row]).sum() >= cap.limit)
