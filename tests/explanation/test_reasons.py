"""Why an item is at its place: the figures are the retriever's and the ranker's own, and the words say them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1] / "model"))  # the small shop is the model room's

from small_shop import cut_inputs, day, events_of_shop

from recommender.explanation.phrases import sentences
from recommender.explanation.reasons import SHARED, Reasons, reasons_for
from recommender.model.past_slates import retrospective_slates
from recommender.model.ranker import RankerConfig, fit_ranker
from recommender.model.scorer import RankingModel
from recommender.retrieval.candidates import UserBatch
from recommender.retrieval.retriever import RetrieverConfig, fit_retriever
from recommender.states import Contexts, UserStates, empty_state

AT = day(63)
FEW = RetrieverConfig(per_generator=3, history_items=3)


@pytest.fixture(scope="module")
def model() -> RankingModel:
    events = events_of_shop()
    past = [cut_inputs(events, day(number)) for number in (42, 49)]
    ranker = fit_ranker(retrospective_slates(past, events, retriever=FEW, seed=3), RankerConfig(rounds=20), seed=3)
    return RankingModel(ranker, fit_retriever(cut_inputs(events, AT), FEW, seed=3))


@pytest.fixture(scope="module")
def person() -> UserStates:
    return cut_inputs(events_of_shop(), AT).users.slice(4, 1)


@pytest.fixture(scope="module")
def every(model: RankingModel, person: UserStates) -> list[Reasons]:
    return reasons_for(model, person, Contexts.at(AT, 1), model.items.item_ids.to_pylist())


def test_ranks_are_those_of_the_scores(model: RankingModel, person: UserStates, every: list[Reasons]) -> None:
    scored = model.score(person, Contexts.at(AT, 1))
    best_first = scored.item_index[np.argsort(-scored.scores, kind="stable")]
    ranked = sorted((reasons for reasons in every if reasons.rank), key=lambda reasons: reasons.rank or 0)
    names = model.items.item_ids.to_pylist()
    assert [reasons.item_id for reasons in ranked] == [names[item] for item in best_first]
    assert {reasons.candidates for reasons in every} == {len(scored.scores)}
    assert len(ranked) < len(every)  # so that the rest has to say why not


def test_an_item_is_proposed_when_its_place_is_within_the_generators_share(every: list[Reasons]) -> None:
    for reasons in every:
        for proposal in reasons.proposals:
            if proposal.generator in ("content", "like_recent"):  # these look candidates up in lists of champions
                assert proposal.rank is not None or not proposal.is_proposed
                continue
            assert proposal.is_proposed == (proposal.rank is not None and proposal.rank <= proposal.limit)
        assert (reasons.rank is not None) == any(proposal.is_proposed for proposal in reasons.proposals)


def test_lifts_explain_the_difference_of_scores(model: RankingModel, person: UserStates) -> None:
    scored = model.score(person, Contexts.at(AT, 1))
    names = [model.items.item_ids[item].as_py() for item in scored.item_index[:2]]
    first, second = reasons_for(model, person, Contexts.at(AT, 1), names, top=len(model.ranker.names))
    between = sum(c.lift for c in first.features) - sum(c.lift for c in second.features)
    assert between == pytest.approx(float(scored.scores[0] - scored.scores[1]), abs=1e-4)


def test_the_history_that_speaks_loudest_is_the_item_itself_when_it_was_bought(every: list[Reasons]) -> None:
    own = [reasons for reasons in every if reasons.proposals[0].is_proposed]  # history comes first
    assert own
    assert all(reasons.item_id in {seed.item_id for seed in reasons.history} for reasons in own)


def test_shares_of_the_history_never_pass_the_whole(every: list[Reasons]) -> None:
    for reasons in every:
        assert sum(seed.share for seed in reasons.history) <= 1 + 1e-6
        assert [seed.share for seed in reasons.history] == sorted((s.share for s in reasons.history), reverse=True)


def test_generators_without_a_person_are_named_as_such(model: RankingModel) -> None:
    """What scores the same for everybody must not be explained by anybody's history."""
    users = UserStates.from_rows([empty_state("a"), empty_state("b")])
    batch = UserBatch.read(users, Contexts.at(AT, 2), model.items)
    items = np.arange(len(model.items))
    for generator in model.retriever.generators:
        panel = generator.scores(batch)
        speaks = bool((panel.at(np.zeros_like(items), items) > 0).any())
        assert not speaks or generator.name in SHARED, generator.name
        assert speaks or generator.name not in ("popular", "trending")


def test_somebody_new_has_no_history_to_explain_with(model: RankingModel) -> None:
    nobody = UserStates.from_rows([empty_state("new")])
    found = reasons_for(model, nobody, Contexts.at(AT, 1), ["item-001", "unheard-of"])
    assert [reasons.item_id for reasons in found] == ["item-001"]
    assert found[0].history == ()


def test_the_words_say_place_proposer_history_and_features(every: list[Reasons]) -> None:
    best = next(reasons for reasons in every if reasons.rank == 1)
    told = sentences(best)
    assert told[0].startswith(f"{best.item_id} {best.title} is number 1 of {best.candidates} candidates")
    assert sum(line.startswith("Proposed by ") for line in told) == sum(p.is_proposed for p in best.proposals)
    assert any(line.startswith("Nearest in the history: ") for line in told)
    assert sum(" lifts it by " in line or " lowers it by " in line for line in told) == len(best.features)
    absent = next(reasons for reasons in every if reasons.rank is None)
    assert "was not among the" in sentences(absent)[0]
    assert any(
        line.startswith(("No generator proposed it: ", "No generator has anything")) for line in sentences(absent)
    )
