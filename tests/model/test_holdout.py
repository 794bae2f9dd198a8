"""What people did after a cut, by KPI; who proposed it; and how groups fare."""

from __future__ import annotations

from math import log2

import numpy as np
import pyarrow as pa
import pytest
from fitted_shop import Shop
from small_shop import cut_inputs, day, event_table

from recommender.cuts import CutInputs
from recommender.model.candidate_recall import Proposals, candidate_figures
from recommender.model.evaluation import CHALLENGER, EvaluationConfig, evaluate
from recommender.model.holdout import Holdout, Lists, read_holdout
from recommender.model.ranker import Ranker
from recommender.model.slices import SliceConfig
from recommender.model.truth import ANY, Truth
from recommender.objectives import Objective
from recommender.retrieval.candidates import Candidates

CUT = 10


def event(user: str, item: str, kind: str, at: float) -> tuple[str, str, str, int, str]:
    return (user, item, kind, day(at), f"{user}-{int(at)}")


@pytest.fixture(scope="module")
def history() -> list[tuple[str, str, str, int, str]]:
    """Ann and Bob are known at day 10, Cleo is not."""
    return [event("ann", "item-001", "purchase", 3), event("bob", "item-002", "view", 4)]


@pytest.fixture(scope="module")
def future() -> list[tuple[str, str, str, int, str]]:
    """Ann looks, then comes back to buy; Bob only looks, once at something that the catalogue does not know yet."""
    return [
        event("ann", "item-001", "view", 10.5),
        event("ann", "item-003", "view", 11.5),
        event("ann", "item-003", "purchase", 11.6),
        event("bob", "item-002", "view", 12),
        event("bob", "item-099", "view", 12.1),
        event("cleo", "item-001", "purchase", 12),
        event("ann", "item-005", "purchase", 17.5),  # after the horizon
        event("bob", "item-004", "skip", 12.2),
    ]


@pytest.fixture(scope="module")
def holdout(history: list[tuple[str, str, str, int, str]], future: list[tuple[str, str, str, int, str]]) -> Holdout:
    events = event_table([*history, *future])
    return read_holdout(cut_inputs(events, day(CUT), n_items=8), events, objective=Objective.of_kpi("engagement"))


def pairs(truth: Truth) -> dict[tuple[int, int], float]:
    found = zip(truth.user_row.tolist(), truth.item_index.tolist(), truth.gain.tolist(), strict=True)
    return {(user, item): gain for user, item, gain in found}


def test_only_users_known_at_the_cut_who_came_back_in_the_horizon_are_judged(holdout: Holdout) -> None:
    assert holdout.batch.users.user_ids == ["ann", "bob"]


def test_each_kpi_has_its_own_truth(holdout: Holdout) -> None:
    ann, bob = 0, 1
    truths = holdout.truths["repeat"]
    beyond = 8  # item-099 is not in the table: it counts as missed
    assert pairs(truths[ANY]) == {(ann, 1): 1, (ann, 3): 1, (bob, 2): 1, (bob, beyond): 1}
    assert pairs(truths["conversion"]) == {(ann, 3): 1}
    assert pairs(truths["revenue"]) == {(ann, 3): 3 + 3 % 17}  # the small shop's price of item 3
    weights = Objective.of_kpi("engagement")
    view, purchase = (2 ** weights.grade_of(kind) - 1 for kind in ("view", "purchase"))
    assert pairs(truths["engagement"]) == {(ann, 1): view, (ann, 3): purchase, (bob, 2): view, (bob, beyond): view}
    assert pairs(truths["retention"]) == {(ann, 1): 1}  # seen on a day after which she came back


def test_novel_leaves_out_what_a_person_had(holdout: Holdout) -> None:
    assert pairs(holdout.truths["novel"][ANY]) == {(0, 3): 1, (1, 8): 1}


def test_a_list_is_measured_for_every_kpi(holdout: Holdout) -> None:
    # Ann sees 3, 1; Bob sees 5, 2
    lists = Lists(np.array([0, 0, 1, 1]), np.array([3, 1, 5, 2]), np.array([1, 2, 1, 2]))
    found = holdout.measure(lists, "repeat")
    assert found["recall@20"].tolist() == [1.0, 1 / 2]
    assert found["conversion ndcg@20"][0] == 1.0
    assert np.isnan(found["conversion ndcg@20"][1])  # Bob bought nothing
    assert found["revenue recall@20"][0] == 1.0
    assert found["retention ndcg@20"][0] == pytest.approx(1 / log2(3))  # the item that led on is second
    weights = Objective.of_kpi("engagement")
    view = 2 ** weights.grade_of("view") - 1
    assert found["engagement ndcg@20"][1] == pytest.approx((view / log2(3)) / (view / log2(2) + view / log2(3)))
    # Nobody else is known: item 1 and item 2 have one of two users each, the others none, which counts as one.
    assert found["novelty@20"].tolist() == [log2(2 / 1), log2(2 / 1)]


def test_money_captured_is_all_spend_listed_over_all_spend() -> None:
    rows = [event("ann", "item-001", "view", 1), event("bob", "item-001", "view", 1)]
    rows += [event("ann", "item-001", "purchase", 11), event("bob", "item-002", "purchase", 11)]
    events = event_table(rows, quantity=[None, None, 9, 1])
    found = read_holdout(cut_inputs(events, day(CUT), n_items=4), events)
    shown = found.measure(Lists(np.array([0, 1]), np.array([1, 1]), np.array([1, 1])), "repeat")
    ann, bob = 9 * (3 + 1), 1 * (3 + 2)
    assert shown["revenue captured@20"].mean() == pytest.approx(ann / (ann + bob))
    assert shown["revenue recall@20"].mean() == 1 / 2


def test_candidate_recall_alone_together_and_without() -> None:
    # One user with four things to find; generator a proposed the first two, b the second and third.
    truth = Truth(np.zeros(4, dtype=np.int64), np.array([0, 1, 2, 3]), np.ones(4), 1)
    none = np.zeros((4, 2), dtype=np.float32)
    candidates = Candidates(
        np.array([0, 4]),
        np.array([0, 1, 2, 9]),
        none,
        none[:1],
        np.array([0, 0, 1, 1]),
        np.array([0b01, 0b11, 0b10, 0b10]),
        ("a", "b"),
    )
    found = candidate_figures(Proposals.of(candidates, truth), truth, seed=0, draws=10)
    assert found.union.mean == 3 / 4
    assert {name: value.mean for name, value in found.alone.items()} == {"a": 2 / 4, "b": 2 / 4}
    assert {name: value.mean for name, value in found.without.items()} == {"a": 2 / 4, "b": 2 / 4}
    assert {name: value.mean for name, value in found.marginal.items()} == {"a": 1 / 4, "b": 1 / 4}
    assert found.counts == {"all": 4.0, "a": 2.0, "b": 3.0}


def test_groups_of_too_few_people_get_no_figure(shop: Shop, rehearsal: Ranker) -> None:
    config = EvaluationConfig(slices=SliceConfig(min_users=10, day_edges=(28,)))
    found = evaluate(with_countries(shop.holdout), shop.events, rehearsal, config=config, seed=1)
    judged = {(group.dimension, group.name): group for group in found.slices if group.kind == "repeat"}
    atlantis, erewhon = judged["country", "Atlantis"], judged["country", "Erewhon"]
    assert atlantis.users + erewhon.users == found.users["repeat"]
    assert atlantis.users < 10 <= erewhon.users
    assert atlantis.figures == atlantis.differences == {}
    assert set(erewhon.figures[CHALLENGER]) == {"recall@20", "ndcg@10"}
    whole = found.figures[CHALLENGER]["repeat"]["recall@20"].mean
    by_history = [group for (dimension, _), group in judged.items() if dimension == "history" and group.figures]
    assert len(by_history) == 3
    pooled = sum(group.users * group.figures[CHALLENGER]["recall@20"].mean for group in by_history)
    assert pooled / sum(group.users for group in by_history) == pytest.approx(whole)
    assert {name for dimension, name in judged if dimension == "category chosen"} == {"tea", "cups", "books", "lamps"}


def with_countries(cut: CutInputs) -> CutInputs:
    """Every tenth person lives elsewhere."""
    table = cut.users.table
    names = ["Atlantis" if row % 10 == 0 else "Erewhon" for row in range(len(table))]
    place = table.column_names.index("country")
    return CutInputs(
        cut.as_of_ms, type(cut.users)(table.set_column(place, "country", pa.array(names))), cut.items, cut.pairs
    )
