"""The candidates of one request, scored and judged: retrieved, given, needed, pinned, new, popular. No order here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from recommender.attributes import attributes_of
from recommender.decision.arrangement import fresh_items
from recommender.decision.placements import KNOWLEDGE, Placement
from recommender.decision.protocols import Scored, Scorer, Scoring, ToScore
from recommender.decision.request import DecisionRequest
from recommender.decision.rules import Rules, Verdicts
from recommender.errors import IntegrityError
from recommender.retrieval.knowledge import Needs
from recommender.states import ItemTable, UserStates

__all__ = ["POPULAR", "Ask", "Pool", "personal_pool", "popular_pool", "strategy_scores"]

TOP_UP = 100  # popular items that are scored too when the rules leave fewer than k of the retrieved ones
ANSWERS = 200  # items of highest utility that answer explicit needs
ADDED_ANSWERS = 60  # ... and that are added to the hybrid's candidates
NEWEST = 60  # new items that are added where a placement has a quota for them
POPULAR = "popular"
PINNED, FRESH = "pinned", "fresh"

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Ask:
    """A request, its placement and the rules that hold for it; `given_up`: places of the musts nothing could meet."""

    request: DecisionRequest
    placement: Placement
    rules: Rules
    given_up: tuple[int, ...] = ()

    @property
    def is_answered_by_needs(self) -> bool:
        """Whether utility alone decides, and the model breaks its ties."""
        return self.placement.rank_by == "generator" and self.placement.generators == (KNOWLEDGE,)

    @classmethod
    def of(cls, request: DecisionRequest, placement: Placement, bought: Sequence[str], items: ItemTable) -> Ask:
        """Rules of request and placement; musts that nothing in the catalogue meets under them are given up."""
        rules = Rules(
            excluded=request.exclude,
            context_items=request.context_items if placement.hides_context else (),
            bought=bought,
            bought_mode=placement.bought,
            placement_filter=placement.filter,
            filter=request.filter,
        )
        if request.needs is None or not request.needs.must:
            return cls(request, placement, rules)
        rows = np.arange(len(items)) if request.candidates is None else _known(items, request.candidates)
        rows = rows[rules.judge(items, rows).allowed]
        kept = request.needs.kept(attributes_of(items), rows)
        given_up = tuple(place for place in range(len(request.needs.must)) if place not in kept)
        must = tuple((place, request.needs.must[place]) for place in kept)
        return cls(request, placement, replace(rules, must=must), given_up)


@dataclass(frozen=True)
class Pool:
    """What was scored and what the rules say; `scores` is what ranks, `ties` what decides between equal ones."""

    scored: Scored
    verdicts: Verdicts
    scores: npt.NDArray[np.float32]
    ties: npt.NDArray[np.float32] | None = None
    wishes: npt.NDArray[np.float32] | None = None

    @property
    def allowed(self) -> npt.NDArray[np.bool_]:
        return self.verdicts.allowed


def personal_pool(ask: Ask, user: UserStates, scorer: Scorer) -> Scoring[Pool]:
    """Retrieved (or given) candidates scored for the person, with what the placement adds to them."""
    request, items = ask.request, scorer.items
    given = _given(ask, items)
    scored = yield from _scored(ask, scorer, user, given)
    verdicts = ask.rules.judge(items, scored.item_index)
    if request.candidates is None and ask.rules.bought_mode != "only":
        added = _additions(ask, items, scored, verdicts)
        if added:
            more = yield from _scored(ask, scorer, user, np.concatenate([index for _, index in added]))
            sources = [source for source, index in added for _ in range(len(index))]
            scored = _joined(scored, replace(more, source=sources))
            verdicts = verdicts.also_allowed(len(sources))
    return _valued(ask, scored, verdicts, items)


def popular_pool(ask: Ask, scorer: Scorer) -> Pool:
    """Popular items that the rules allow, of a few hundred or else of all items: no person, no model."""
    items, request = scorer.items, ask.request
    scored, verdicts = _popular(ask, scorer, None if request.candidates is None else _known(items, request.candidates))
    found = len(scored.item_index)
    bare = replace(scored, features=np.zeros((found, 0), np.float32), source=[POPULAR] * found)
    return Pool(bare, verdicts, bare.scores)


def _known(items: ItemTable, item_ids: Sequence[str]) -> Rows:
    """Item index of the ids that exist, each once, in their order."""
    is_each_once = len(set(item_ids)) == len(item_ids)  # a third of the time of leaving the second out
    index = items.positions(item_ids if is_each_once else list(dict.fromkeys(item_ids)))
    return index[index >= 0]


def strategy_scores(
    scored: Scored, rank_by: str, generators: Sequence[str] | None, needs: Needs | None, items: ItemTable
) -> npt.NDArray[np.float32]:
    """What a placement ranks by: the model's scores, one generator's, or the utility of explicit needs."""
    if rank_by != "generator" or generators is None:
        return scored.scores
    if generators == (KNOWLEDGE,) and needs is not None:
        return needs.utility(attributes_of(items), scored.item_index)
    if scored.generator_scores is not None and generators[0] in scored.generators:
        return np.ascontiguousarray(scored.generator_scores[:, scored.generators.index(generators[0])])
    return scored.scores


def _given(ask: Ask, items: ItemTable) -> Rows | None:
    """The candidates that are certain before anything is retrieved; None where retrieval proposes."""
    request, rules = ask.request, ask.rules
    if request.candidates is not None:
        return _known(items, request.candidates)
    if rules.bought_mode == "only":
        return _known(items, rules.bought)
    return _answers(ask, items, ANSWERS) if ask.is_answered_by_needs else None


def _answers(ask: Ask, items: ItemTable, limit: int) -> Rows:
    """What answers the needs best of everything that may be shown."""
    rows = np.arange(len(items))
    rows = rows[ask.rules.judge(items, rows).allowed]
    popularity = items.integers("popularity_micros")[rows].astype(np.float64)
    assert ask.request.needs is not None
    return ask.request.needs.best(attributes_of(items), rows, popularity, max(limit, 2 * ask.request.k))


def _additions(ask: Ask, items: ItemTable, scored: Scored, verdicts: Verdicts) -> list[tuple[str, Rows]]:
    """Source and item index of what is added to the retrieved: pins, new items, answers to needs, popular items."""
    request, placement = ask.request, ask.placement
    seen, added = scored.item_index, []

    def add(source: str, index: Rows, is_judged: bool = False) -> None:
        nonlocal seen
        new = index[~np.isin(index, seen)]
        if not is_judged:
            new = new[ask.rules.judge(items, new).allowed]
        if len(new):
            seen = np.concatenate([seen, new])
            added.append((source, new))

    pins = [pin.item_id for pin in placement.pins if pin.is_valid(request.decided_ms)]
    if pins:
        add(PINNED, _known(items, pins))
    if placement.freshness is not None:
        add(FRESH, _newest(ask, items))
    if request.needs is not None and not ask.is_answered_by_needs:
        add(KNOWLEDGE, _answers(ask, items, ADDED_ANSWERS)[:ADDED_ANSWERS], is_judged=True)
    allowed = np.concatenate([scored.item_index[verdicts.allowed], *(index for _, index in added)])
    if _room(ask, items, allowed) < request.k:
        add(POPULAR, _fillers(ask, items, allowed, seen), is_judged=True)
    return added


def _newest(ask: Ask, items: ItemTable) -> Rows:
    """The newest of the items that count as fresh; only as many are looked at as that takes."""
    assert ask.placement.freshness is not None
    order, stop = items.newest_first, 8 * NEWEST
    while True:
        index = order[:stop]
        fresh = fresh_items(items, index, ask.request.decided_ms, ask.placement.freshness)
        # Behind the first that was not listed lately nothing is.
        if fresh.sum() >= NEWEST or stop >= len(order) or not _listed_lately(ask, items, index[-1]):
            return index[fresh][:NEWEST]
        stop *= 8


def _listed_lately(ask: Ask, items: ItemTable, item: np.int64) -> bool:
    assert ask.placement.freshness is not None
    everything = replace(ask.placement.freshness, max_events=np.iinfo(np.int64).max)
    return bool(fresh_items(items, np.array([item]), ask.request.decided_ms, everything)[0])


def _caps(ask: Ask, items: ItemTable) -> list[tuple[npt.NDArray[np.int32], int]]:
    diversity, attributes = ask.placement.diversity, attributes_of(items)
    limits = (("category", diversity.max_per_category), ("brand", diversity.max_per_brand))
    return [(attributes.codes(name), limit) for name, limit in limits if limit is not None]


def _room(ask: Ask, items: ItemTable, allowed: Rows) -> int:
    """How many of the items the caps leave room for (each cap by itself)."""
    room = len(allowed)
    for codes, limit in _caps(ask, items):
        own = codes[allowed]
        room = min(room, int((own < 0).sum() + np.minimum(np.bincount(own[own >= 0], minlength=1), limit).sum()))
    return room


def _fillers(ask: Ask, items: ItemTable, allowed: Rows, seen: Rows) -> Rows:
    """The most popular items that may be shown and are not `seen`, at most a cap's worth of each category and brand."""
    rows = np.arange(len(items))
    rows = rows[ask.rules.judge(items, rows).allowed]
    rows = rows[~np.isin(rows, seen)]
    order = rows[np.argsort(-items.integers("popularity_micros")[rows], kind="stable")]
    for codes, limit in _caps(ask, items):
        used = codes[allowed]
        order = order[_place_in_group(codes, order, used[used >= 0]) < limit]
    return order[:TOP_UP]


def _place_in_group(codes: npt.NDArray[np.int32], order: Rows, used: npt.NDArray[np.int32]) -> Rows:
    """How many items of the same code are already used or come before each in `order`; 0 for those without a code."""
    own = codes[order]
    grouped = np.argsort(own, kind="stable")
    sizes = np.bincount(own + 1)
    place = np.empty(len(order), dtype=np.int64)
    place[grouped] = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    before = np.bincount(used, minlength=max(int(own.max(initial=0)), 0) + 1)
    return np.where(own < 0, 0, place + before[np.maximum(own, 0)])


def _valued(ask: Ask, scored: Scored, verdicts: Verdicts, items: ItemTable) -> Pool:
    placement, needs = ask.placement, ask.request.needs
    scores = strategy_scores(scored, placement.rank_by, placement.generators, needs, items)
    ties = None if scores is scored.scores else scored.scores
    wishes = None
    if needs is not None and not ask.is_answered_by_needs:
        wishes = needs.utility(attributes_of(items), scored.item_index)
    return Pool(scored, verdicts, scores, ties, wishes)


def _popular(ask: Ask, scorer: Scorer, among: Rows | None) -> tuple[Scored, Verdicts]:
    everything = len(scorer.items)
    for n in (min(4 * TOP_UP, everything), everything):
        scored = scorer.popular(n)
        if among is not None:
            scored = _rows_of(scored, np.flatnonzero(np.isin(scored.item_index, among)))
        verdicts = ask.rules.judge(scorer.items, scored.item_index)
        if n == everything or _room(ask, scorer.items, scored.item_index[verdicts.allowed]) >= ask.request.k:
            break
    return _bounded(ask, scored, verdicts, scorer.items)


def _bounded(ask: Ask, scored: Scored, verdicts: Verdicts, items: ItemTable) -> tuple[Scored, Verdicts]:
    """The first few hundred that may be shown and that may not: a record is no copy of the catalogue."""
    if len(scored.item_index) <= 8 * TOP_UP:
        return scored, verdicts
    rows = np.flatnonzero(verdicts.allowed)
    nobody = np.zeros(0, dtype=np.int32)
    for codes, limit in _caps(ask, items):
        rows = rows[_place_in_group(codes, scored.item_index[rows], nobody) < limit]
    kept = np.sort(np.concatenate([rows[: 4 * TOP_UP], np.flatnonzero(~verdicts.allowed)[: 4 * TOP_UP]]))
    return _rows_of(scored, kept), Verdicts(verdicts.rules, verdicts.removed_by[kept])


def _rows_of(scored: Scored, rows: Rows) -> Scored:
    return Scored(
        scored.item_index[rows], scored.scores[rows], scored.features[rows], [scored.source[row] for row in rows]
    )


def _scored(ask: Ask, scorer: Scorer, user: UserStates, index: Rows | None) -> Scoring[Scored]:
    if index is not None and not len(index):
        return Scored(index, np.zeros(0, np.float32), np.zeros((0, 0), np.float32), [])
    contexts, placement = ask.request.contexts(), ask.placement
    proposing = placement.generators if index is None else None
    scored = yield ToScore(
        user, contexts, index, ask.rules.wants_novel and index is None, _known_generators(proposing, scorer)
    )
    if not np.isfinite(scored.scores).all():
        raise IntegrityError(
            f"scores of model {scorer.version} that are not finite.",
            "finite numbers.",
            "Roll back to the last good model.",
        )
    return scored


def _known_generators(names: Sequence[str] | None, scorer: Scorer) -> Sequence[str] | None:
    """Those of the named generators that the bundle has; all (None) where it has none of them."""
    found = [name for name in names or () if name in scorer.generators]
    return found or None


def _joined(first: Scored, second: Scored) -> Scored:
    if not len(first.item_index) or not len(second.item_index):
        return first if len(first.item_index) else second
    both = (first.generator_scores, second.generator_scores)
    return Scored(
        np.concatenate([first.item_index, second.item_index]),
        np.concatenate([first.scores, second.scores]),
        np.concatenate([first.features, second.features]),
        [*first.source, *second.source],
        first.generators,
        None if both[0] is None or both[1] is None else np.concatenate([both[0], both[1]]),
    )
