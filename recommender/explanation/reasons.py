"""Figures behind one item's place for one person: who proposed it, because of what, and which features carry its score.

Nothing is decided or scored anew here: the retriever and the ranker are asked the same questions again, one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recommender.model.scorer import RankingModel
from recommender.retrieval.candidates import Candidates, UserBatch
from recommender.states import Contexts, UserStates

__all__ = ["Contribution", "Proposal", "Reasons", "Seed", "reasons_for"]

SHARED = ("popular", "trending", "arrivals", "popular_segment")  # no person's history enters their scores


@dataclass(frozen=True)
class Proposal:
    """What one generator says of the item: its `rank` among all items (1 is the best; None where it says nothing),
    how many items it may propose, and its score relative to its best one."""

    generator: str
    rank: int | None
    limit: int
    relative: float
    is_proposed: bool


@dataclass(frozen=True)
class Seed:
    """An item of the person's history that speaks for the one explained; `share` of what the whole history says."""

    item_id: str
    title: str
    share: float
    events: int
    days_ago: float


@dataclass(frozen=True)
class Contribution:
    """How far a feature lifts the item's score over the mean of the person's candidates, in units of the score;
    `value` None where the feature has none."""

    feature: str
    value: float | None
    lift: float


@dataclass(frozen=True)
class Reasons:
    """`score` and `rank` among `candidates` are None for an item that nobody proposed."""

    item_id: str
    title: str
    candidates: int
    rank: int | None
    score: float | None
    proposals: tuple[Proposal, ...]
    history: tuple[Seed, ...]
    features: tuple[Contribution, ...]


def reasons_for(
    model: RankingModel,
    user: UserStates,
    context: Contexts,
    item_ids: Sequence[str],
    *,
    novel: bool = False,
    generators: Sequence[str] | None = None,
    top: int = 5,
) -> list[Reasons]:
    """Reasons for each known item of `item_ids`, for a batch of one user; unknown ids are left out.

    `novel` and `generators` as the retrieval was asked for them. Feature lifts are exact TreeSHAP values (Lundberg et
    al. 2020, XGBoost's `pred_contribs`) less their mean over the person's candidates: a list is made by differences.
    """
    batch = UserBatch.read(user, context, model.items)
    candidates, features, scores = model.score_batch(batch, novel=novel, generators=generators)
    found = model.items.positions(list(item_ids))
    found = found[found >= 0]
    missing = found[~np.isin(found, candidates.item_index)]
    table = np.concatenate([features, model.score_batch(batch, item_index=missing)[1]]) if len(missing) else features
    lifts = model.ranker.contributions(table)
    lifts = lifts - lifts[: len(features)].mean(axis=0) if len(features) else lifts
    place = {int(item): row for row, item in enumerate([*candidates.item_index, *missing])}
    ranks = np.empty(len(scores), dtype=np.int64)
    ranks[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return [
        Reasons(
            item_id=_text(model, "item_id", item),
            title=_text(model, "title", item),
            candidates=len(scores),
            rank=int(ranks[place[item]]) if place[item] < len(scores) else None,
            score=float(scores[place[item]]) if place[item] < len(scores) else None,
            proposals=_proposals(model, batch, candidates, item, model.retriever.limits(None, generators)),
            history=_seeds(model, user, context, item),
            features=_strongest(model, table[place[item]], lifts[place[item]], top),
        )
        for item in found.tolist()
    ]


def _text(model: RankingModel, column: str, item: int) -> str:
    return str(model.items.table[column][item].as_py())


def _proposals(
    model: RankingModel, batch: UserBatch, candidates: Candidates, item: int, limits: Sequence[int]
) -> tuple[Proposal, ...]:
    """Every generator's view of the item, over the whole catalogue."""
    retriever, every = model.retriever, np.arange(len(model.items))
    row = np.flatnonzero(candidates.item_index == item)
    proposers = int(candidates.proposers[row[0]]) if len(row) else 0
    found = []
    for position, generator in enumerate(retriever.generators):
        scores = generator.scores(batch).at(np.zeros_like(every), every)
        own, best = float(scores[item]), float(scores.max(initial=0))
        rank = 1 + int((scores > own).sum() + (scores[:item] == own).sum()) if own > 0 else None
        relative = own / best if best > 0 else 0.0
        found.append(Proposal(generator.name, rank, limits[position], relative, bool(proposers >> position & 1)))
    return tuple(found)


def _seeds(model: RankingModel, user: UserStates, context: Contexts, item: int, top: int = 3) -> tuple[Seed, ...]:
    """The history items that speak most for the item, found by asking about each of them alone.

    One imagined person for each item of the history, who has only that one: whatever a generator scores the explained
    item for that person, the history item brings. It works for every generator, linear or not.
    """
    alone, entries = _one_item_each(user)
    personal = [generator for generator in model.retriever.generators if generator.name not in SHARED]
    if not len(alone) or not personal:
        return ()
    moments = Contexts.at(int(context.at_ms[0]), len(alone), context.placement[0])
    batch = UserBatch.read(alone, moments, model.items)
    rows, wanted = np.arange(len(alone)), np.full(len(alone), item)
    brought = np.stack([np.maximum(generator.scores(batch).at(rows, wanted), 0) for generator in personal])
    total = brought.sum(axis=1, keepdims=True)
    shares = np.divide(brought, total, out=np.zeros_like(brought), where=total > 0)
    share = shares.sum(axis=0) / max(int((total > 0).sum()), 1)
    best = np.argsort(-share, kind="stable")[:top]
    return tuple(_seed(model, user, int(context.at_ms[0]), entries[row], share[row]) for row in best if share[row] > 0)


def _one_item_each(user: UserStates) -> tuple[UserStates, npt.NDArray[np.int64]]:
    """A state for each item of the person's history that holds nothing but it, and the history entry it was made of."""
    state = user.table.to_pylist()[0]
    history = [name for name in user.table.column_names if name.startswith("history_")]
    recent = [name for name in user.table.column_names if name.startswith("recent_")]
    states = []
    for entry, item_id in enumerate(state["history_item_ids"]):
        own = [place for place, seen in enumerate(state["recent_item_ids"]) if seen == item_id]
        alone = {name: [state[name][entry]] for name in history} | {
            name: [state[name][place] for place in own] for name in recent
        }
        states.append(state | alone)
    table = pa.Table.from_pylist(states, schema=user.table.schema) if states else user.table.slice(0, 0)
    return UserStates(table.combine_chunks()), np.arange(len(states))


def _seed(model: RankingModel, user: UserStates, at_ms: int, entry: int, share: float) -> Seed:
    state = user.table
    item_id = state["history_item_ids"][0].as_py()[entry]
    place = model.items.index.get(item_id)
    last = state["history_last_ms"][0].as_py()[entry]
    return Seed(
        item_id=item_id,
        title="" if place is None else _text(model, "title", place),
        share=float(share),
        events=int(state["history_counts"][0].as_py()[entry]),
        days_ago=max(at_ms - last, 0) / 86_400_000,
    )


def _strongest(
    model: RankingModel, values: npt.NDArray[np.float32], lifts: npt.NDArray[np.float32], top: int
) -> tuple[Contribution, ...]:
    """The features that move the item most, up or down, the strongest first."""
    order = np.argsort(-np.abs(lifts[:-1]), kind="stable")[:top]  # the last column is the bias
    names = model.ranker.names
    return tuple(
        Contribution(names[column], None if np.isnan(values[column]) else float(values[column]), float(lifts[column]))
        for column in order
        if lifts[column]
    )
