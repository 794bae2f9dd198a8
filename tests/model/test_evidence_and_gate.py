"""Evidence on unseen days, and the gate's decisions on it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from fitted_shop import RANKER, Shop

from recommender.errors import InputError
from recommender.events import DAY_MS
from recommender.model.baselines import FrequencyGenerator, baselines
from recommender.model.bundle import Bundle
from recommender.model.contest import Contest, StandIn, Trial, standing_in
from recommender.model.evaluation import CHALLENGER, CHAMPION, EvaluationConfig, Evidence, evaluate
from recommender.model.evidence_figure import evidence_figure
from recommender.model.holdout import KPI_METRICS
from recommender.model.metrics import Interval
from recommender.model.promotion import GateConfig, gate
from recommender.model.ranker import Ranker, fit_ranker
from recommender.model.slices import Slice
from recommender.model.training_set import TrainingSet
from recommender.objectives import KPIS, OBJECTIVES
from recommender.retrieval.candidates import UserBatch
from recommender.retrieval.panels import Excluded
from recommender.states import Contexts


@pytest.fixture(scope="module")
def evidence(shop: Shop, rehearsal: Ranker) -> Evidence:
    return evaluate(shop.holdout, shop.events, rehearsal, seed=1)


KPI = "conversion ndcg@20"


def with_difference(evidence: Evidence, system: str, low: float, high: float) -> Evidence:
    """The same evidence, had the paired difference to a system come out like this."""
    value = {"repeat": {KPI: Interval((low + high) / 2, low, high)}}
    return replace(evidence, differences={**evidence.differences, system: value})


def with_champion(evidence: Evidence, low: float, high: float) -> Evidence:
    """The same evidence, had the champion (mean .40) been met on two past cuts with this difference."""
    met = Contest(
        cuts_ms=(1, 2),
        users=60,
        person_weeks={"repeat": {KPI: 90}},
        champion={"repeat": {KPI: 0.40}},
        differences={"repeat": {KPI: Interval((low + high) / 2, low, high)}},
    )
    return replace(evidence, contest=met, champion_state="compared", champion="Champion x stands for itself.")


def test_popularity_is_measured_as_plain_loops_would(shop: Shop, evidence: Evidence) -> None:
    holdout = shop.holdout
    counts = holdout.items.integers("event_count_28d")
    top = [f"item-{place:03d}" for place in np.argsort(-counts, kind="stable")[:20]]
    known, chosen = set(holdout.users.user_ids), {}
    at = shop.events["occurred_at"].cast(pa.int64()).to_pylist()
    for moment, row in zip(at, shop.events.select(["user_id", "item_id"]).to_pylist(), strict=True):
        if holdout.as_of_ms <= moment < holdout.as_of_ms + 7 * DAY_MS and row["user_id"] in known:
            chosen.setdefault(row["user_id"], set()).add(row["item_id"])
    recalls = [sum(item in items for item in top) / len(items) for items in chosen.values()]
    assert evidence.users["repeat"] == len(chosen)
    assert evidence.figures["popularity"]["repeat"]["recall@20"].mean == pytest.approx(np.mean(recalls))


def test_own_frequency_puts_the_own_history_first(evidence: Evidence) -> None:
    ours = evidence.figures["own frequency + popularity"]
    assert ours["repeat"]["ndcg@10"].mean > evidence.figures["popularity"]["repeat"]["ndcg@10"].mean
    # with the history taken out nothing but popularity is left
    theirs = evidence.figures["popularity"]["novel"]
    assert all(ours["novel"][name].mean == theirs[name].mean for name in theirs)


def test_own_frequency_needs_no_row_over_a_large_catalogue(shop: Shop) -> None:
    batch = UserBatch.read(shop.now.users, Contexts.at(shop.now.as_of_ms, len(shop.now.users)), shop.now.items)
    _, generator = baselines(shop.now.items)
    assert isinstance(generator, FrequencyGenerator)
    own = batch.matrix(batch.history("counts") + generator.item_share[batch.history_item] / 2)
    dense, short = generator.scores(batch), generator.short_panel(batch, own)
    for excluded in (Excluded(), Excluded(pairs=(batch.history_user, batch.history_item))):
        one, other = (set(zip(*(part.tolist() for part in p.top(20, excluded)), strict=True)) for p in (dense, short))
        assert one == other


def test_differences_are_paired_challenger_minus_system(evidence: Evidence) -> None:
    for system, kinds in evidence.differences.items():
        for kind, metrics in kinds.items():
            for name, interval in metrics.items():
                gap = evidence.figures[CHALLENGER][kind][name].mean - evidence.figures[system][kind][name].mean
                assert interval.mean == pytest.approx(gap)
                assert interval.low <= interval.mean <= interval.high


def test_evidence_is_repeatable_and_goes_into_json(shop: Shop, rehearsal: Ranker, evidence: Evidence) -> None:
    again = evaluate(shop.holdout, shop.events, rehearsal, seed=1)
    assert json.dumps(again.as_json(), allow_nan=False) == json.dumps(evidence.as_json(), allow_nan=False)
    assert evidence.headline["repeat ndcg@10"] == evidence.figures[CHALLENGER]["repeat"]["ndcg@10"].mean


def test_nothing_after_the_horizon_counts(shop: Shop, rehearsal: Ranker, evidence: Evidence) -> None:
    at = shop.events["occurred_at"].cast(pa.int64()).to_numpy()
    known = shop.events.filter(pa.array(at < shop.holdout.as_of_ms + 7 * DAY_MS))
    assert known.num_rows < shop.events.num_rows
    assert evaluate(shop.holdout, known, rehearsal, seed=1) == evidence


def test_a_young_champion_is_represented_by_its_rehearsal(shop: Shop, rehearsal: Ranker, bundle: Bundle) -> None:
    found = evaluate(shop.holdout, shop.events, rehearsal, bundle, seed=1)
    assert found.champion_state == "compared"
    assert "represented by its rehearsal" in found.champion
    # The same recipe on the same data: no difference for anybody.
    assert found.differences[CHAMPION]["repeat"]["ndcg@10"] == Interval(0.0, 0.0, 0.0)
    assert found.contest is not None
    assert found.contest.cuts_ms == (shop.holdout.as_of_ms,)
    assert found.contest.person_weeks["repeat"]["ndcg@10"] == found.users["repeat"]
    assert gate(found, GateConfig(min_users=10)).promote


def test_an_old_champion_stands_for_itself(shop: Shop, rehearsal: Ranker, bundle: Bundle) -> None:
    old = replace(bundle, manifest=replace(bundle.manifest, as_of_ms=shop.holdout.as_of_ms))
    found = evaluate(shop.holdout, shop.events, rehearsal, old, seed=1)
    assert "stands for itself" in found.champion
    assert found.figures[CHAMPION]["repeat"] != found.figures[CHALLENGER]["repeat"]


def test_a_champion_that_has_seen_the_answers_is_no_evidence(shop: Shop, rehearsal: Ranker, bundle: Bundle) -> None:
    found = evaluate(shop.holdout, shop.events, rehearsal, replace(bundle, rehearsal=None), seed=1)
    assert CHAMPION not in found.figures
    verdict = gate(found, GateConfig(min_users=10))
    assert not verdict.promote
    assert "Not enough evidence against the champion" in verdict.reasons[0]


def test_a_champion_of_other_features_does_not_block_the_way(shop: Shop, rehearsal: Ranker, bundle: Bundle) -> None:
    foreign = Ranker(bundle.ranker.booster, bundle.ranker.names[::-1], bundle.ranker.rounds)
    stranger = replace(bundle)
    object.__setattr__(stranger, "ranker", foreign)  # such a bundle cannot be built by this code
    found = evaluate(shop.holdout, shop.events, rehearsal, stranger, seed=1)
    assert found.champion_state == "incomparable"
    assert gate(found, GateConfig(min_users=10)).promote


def test_nobody_came_back_is_an_error_with_a_remedy(shop: Shop, rehearsal: Ranker) -> None:
    with pytest.raises(InputError, match="nobody known at the holdout cut 2026-02-23"):
        evaluate(shop.holdout, shop.events.slice(0, 0), rehearsal)


def test_better_than_popularity_is_promoted_with_its_grounds(evidence: Evidence) -> None:
    verdict = gate(with_difference(evidence, "popularity", 0.001, 0.2), GateConfig(min_users=10))
    assert verdict.promote
    assert "There is no champion yet." in verdict.reasons


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [(-0.01, 0.05, "Not enough evidence that it is better than popularity"), (-0.05, -0.01, "Worse than popularity")],
)
def test_the_lower_bound_over_popularity_must_be_above_zero(
    evidence: Evidence, low: float, high: float, says: str
) -> None:
    verdict = gate(with_difference(evidence, "popularity", low, high), GateConfig(min_users=10))
    assert not verdict.promote
    assert verdict.reasons[0].startswith(says)


@pytest.mark.parametrize(
    ("low", "high", "promote", "says"),
    [
        (-0.02, 0.01, True, "Against champion"),  # within 5 % of .40
        (-0.021, 0.05, False, "Not enough evidence that it is no worse than the champion"),
        (-0.05, -0.021, False, "Worse than the champion"),
        (0.01, 0.03, True, "Against champion"),
    ],
)
def test_against_the_champion_the_lower_bound_may_lie_a_margin_below_zero(
    evidence: Evidence, low: float, high: float, promote: bool, says: str
) -> None:
    verdict = gate(with_champion(evidence, low, high), GateConfig(min_users=10, margin=0.05))
    assert verdict.promote is promote
    assert any(reason.startswith(says) for reason in verdict.reasons)


def test_too_few_users_is_a_refusal_with_the_numbers(evidence: Evidence) -> None:
    verdict = gate(evidence, GateConfig(min_users=evidence.users["repeat"] + 1))
    assert not verdict.promote
    assert verdict.reasons[0].startswith(f"Not enough evidence: {evidence.users['repeat']} users came back")


def test_a_champion_is_met_on_every_cut_that_neither_side_has_seen(
    shop: Shop, training: TrainingSet, rehearsal: Ranker, bundle: Bundle
) -> None:
    until = shop.past[1].as_of_ms
    past = training.take_groups(training.at_ms + 7 * DAY_MS <= until)
    ours, theirs = fit_ranker(past, RANKER, seed=4), fit_ranker(past, RANKER, seed=3)
    older = replace(bundle, trial=theirs, manifest=replace(bundle.manifest, trial_until_ms=until))
    trial = Trial(StandIn(ours, until), [shop.past[1]])
    found = evaluate(shop.holdout, shop.events, rehearsal, older, seed=1, trial=trial).contest
    alone = evaluate(shop.holdout, shop.events, rehearsal, older, seed=1).contest
    assert found is not None
    assert alone is not None
    assert found.cuts_ms == (until, shop.holdout.as_of_ms)
    assert found.person_weeks["repeat"]["ndcg@10"] > alone.person_weeks["repeat"]["ndcg@10"]
    # The rehearsals are equal, so the whole difference comes from the earlier cut: its mean, thinned by the later.
    share = 1 - alone.person_weeks["repeat"]["ndcg@10"] / found.person_weeks["repeat"]["ndcg@10"]
    early = evaluate(shop.past[1], shop.events, ours, replace(older, rehearsal=None), seed=1)
    assert found.differences["repeat"]["ndcg@10"].mean == pytest.approx(
        share * early.differences[CHAMPION]["repeat"]["ndcg@10"].mean
    )


def test_the_champion_is_represented_by_its_newest_ranker_that_is_no_fresher(bundle: Bundle, rehearsal: Ranker) -> None:
    facts = replace(bundle.manifest, as_of_ms=300, rehearsed_until_ms=200, trial_until_ms=100)
    champion = replace(bundle, trial=rehearsal, manifest=facts)
    assert standing_in(champion, StandIn(rehearsal, 300)).until_ms == 300
    assert standing_in(champion, StandIn(rehearsal, 299)).until_ms == 200
    assert standing_in(champion, StandIn(rehearsal, 100)).until_ms == 100
    assert standing_in(champion, StandIn(rehearsal, 99)) is None


@pytest.mark.parametrize(("high", "promote"), [(-0.021, False), (-0.019, True)])
def test_no_group_may_be_clearly_worse_off(evidence: Evidence, high: float, promote: bool) -> None:
    hurt = Slice(
        "country",
        "Wales",
        "repeat",
        40,
        {CHAMPION: {"ndcg@10": Interval(0.40, 0.3, 0.5)}},
        {CHAMPION: {"ndcg@10": Interval(-0.1, -0.2, high)}},
    )
    verdict = gate(replace(with_champion(evidence, 0.0, 0.1), slices=(hurt,)), GateConfig(min_users=10, margin=0.05))
    assert verdict.promote is promote
    assert promote or verdict.reasons[0].startswith("Worse than the champion for country Wales")


@pytest.mark.parametrize("kpi", KPIS)
def test_the_declared_kpi_decides(shop: Shop, rehearsal: Ranker, kpi: str) -> None:
    config = EvaluationConfig(objective=OBJECTIVES[kpi])
    found = evaluate(shop.holdout, shop.events, rehearsal, config=config, seed=1)
    verdict = gate(found, GateConfig(min_users=10))
    assert f"challenger repeat {KPI_METRICS[kpi]}" in verdict.figures


def test_where_the_kpi_has_too_few_people_every_positive_event_decides(shop: Shop, rehearsal: Ranker) -> None:
    sold_nothing = shop.events.filter(pc.not_equal(shop.events["event_type"], "purchase"))
    found = evaluate(shop.holdout, sold_nothing, rehearsal, seed=1)
    assert found.counts["repeat"]["conversion ndcg@20"] == 0
    verdict = gate(found, GateConfig(min_users=10))
    assert "challenger repeat ndcg@20" in verdict.figures
    assert not verdict.promote or any("every positive event" in reason for reason in verdict.reasons)


def test_scores_that_are_not_numbers_are_refused(evidence: Evidence) -> None:
    verdict = gate(replace(evidence, is_finite=False), GateConfig(min_users=10))
    assert not verdict.promote
    assert "not finite" in verdict.reasons[0]


def test_the_figure_is_a_png_and_the_same_every_time(evidence: Evidence) -> None:
    picture = evidence_figure(evidence)
    assert picture.startswith(b"\x89PNG")
    assert picture == evidence_figure(evidence)
