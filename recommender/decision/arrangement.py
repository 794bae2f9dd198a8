"""From scores to a plan: boosts, relevance against likeness (MMR), pins, caps, quota. Chance plays no part here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recommender.attributes import Attributes, attributes_of
from recommender.decision.placements import Diversity, Freshness, Placement
from recommender.decision.slots import Cap, Plan
from recommender.events import DAY_MS
from recommender.states import ItemTable

__all__ = ["Arrangement", "arrange", "fresh_items", "mmr_order", "relevance"]

MMR_WINDOW = 100  # the most relevant that are compared with each other; a slate of more than 50 doubles its k

Rows = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
Similarity = Callable[[Rows], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Arrangement:
    """A plan and how it came about.

    `boosted_by` int64 (n): bit b set where boost b met the candidate (None: there are no boosts); `boosts`
    their words; `picked`: for each of the plan's first places, the rank by value (from 1) that MMR took it
    from (None: the plan runs by value). `missing_pins`: items that are pinned but must not be shown.
    """

    plan: Plan
    boosts: tuple[str, ...] = ()
    boosted_by: Rows | None = None
    picked: tuple[int, ...] | None = None
    missing_pins: tuple[str, ...] = ()


def arrange(
    placement: Placement,
    k: int,
    at_ms: int,
    items: ItemTable,
    item_index: Rows,
    scores: npt.NDArray[np.float32],
    allowed: npt.NDArray[np.bool_],
    *,
    ties: npt.NDArray[np.float32] | None = None,
    wishes: npt.NDArray[np.float32] | None = None,
    similarity: Similarity | None = None,
) -> Arrangement:
    """Plan a slate of k over the allowed candidates (rows of `item_index` and `scores`, n each).

    `ties` decides between equal values (then the earlier row); `wishes` (n, 0 to 1) is added to relevance:
    how well each item meets what was asked for. `similarity` gives float32 (n, n) for item indexes.
    """
    rows = np.flatnonzero(allowed)
    values, boosted_by = scores.astype(np.float64), None
    boosts: list[str] = []
    is_scaled = bool(placement.boosts) or wishes is not None or placement.diversity.weight > 0
    if is_scaled:
        values = relevance(scores, rows)
        boosts, boosted_by, values = _boosted(placement, attributes_of(items), item_index, values, wishes)
    # Scores again behind the values: rescaled, two different ones may meet in one float.
    keys = [-values[rows]] + ([-scores[rows]] if is_scaled else []) + ([] if ties is None else [-ties[rows]])
    order = rows[np.lexsort(keys[::-1])]
    pins, missing = _pins(placement, k, at_ms, items, item_index, allowed)
    caps = _caps(placement.diversity, attributes_of(items), item_index)
    picked = None
    if similarity is not None and placement.diversity.weight > 0 and len(order):
        window = order[: max(MMR_WINDOW, 2 * k)]
        taken = mmr_order(
            values[window],
            similarity(item_index[window]),
            placement.diversity.weight,
            k,
            caps=[Cap(cap.name, cap.limit, cap.codes[window]) for cap in caps],
            given=np.flatnonzero(np.isin(window, list(pins.values()))),
        )
        picked = tuple(1 + place for place in taken)
        is_left = np.ones(len(order), dtype=bool)
        is_left[taken] = False
        order = np.concatenate([window[taken], order[is_left]])
    fresh, share = None, 0.0
    if placement.freshness is not None:
        fresh, share = fresh_items(items, item_index, at_ms, placement.freshness), placement.freshness.share
    return Arrangement(Plan(k, order, pins, caps, fresh, share), tuple(boosts), boosted_by, picked, missing)


def relevance(scores: npt.NDArray[np.float32], rows: Rows) -> Values:
    """Scores on a scale that boosts can multiply: 0 for the least of `rows`, 1 for the best, the order kept.

    A ranker's scores may be negative; multiplied as they are, a boost would push such an item down.
    """
    values = scores.astype(np.float64)
    if not len(rows):
        return values
    low, high = values[rows].min(), values[rows].max()
    return (values - low) / (high - low) if high > low else np.ones_like(values)


def mmr_order(
    values: Values,
    similarity: npt.NDArray[np.float32],
    weight: float,
    k: int,
    caps: Sequence[Cap] = (),
    given: Rows | None = None,
) -> list[int]:
    """Places of up to k items by maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998).

    Each next one has the highest (1 − weight) × value − weight × (highest similarity to one above), the
    earlier of equals; items whose cap is full are passed over. `given`: places of items that are shown anyway.
    """
    free = np.ones(len(values), dtype=bool)
    relevant, closest = (1.0 - weight) * values, np.zeros(len(values))
    room = [dict.fromkeys(cap.codes.tolist(), cap.limit) for cap in caps]

    def shown(place: int) -> None:
        free[place] = False
        np.maximum(closest, similarity[:, place], out=closest)
        for left, cap in zip(room, caps, strict=True):
            code = int(cap.codes[place])
            left[code] -= 1
            if code >= 0 and left[code] <= 0:
                free[cap.codes == code] = False

    for place in [] if given is None else given.tolist():
        shown(place)
    taken: list[int] = []
    while len(taken) < k and free.any():
        best = int(np.argmax(np.where(free, relevant - weight * closest, -np.inf)))
        taken.append(best)
        shown(best)
    return taken


def fresh_items(items: ItemTable, item_index: Rows, at_ms: int, freshness: Freshness) -> npt.NDArray[np.bool_]:
    """Which of the items were listed lately and hardly anybody has met yet: bool (n)."""
    listed = items.integers("listed_ms")[item_index]
    since = at_ms - math.floor(freshness.days * DAY_MS)
    return np.asarray((listed > since) & (items.integers("event_count")[item_index] <= freshness.max_events))


def _boosted(
    placement: Placement,
    attributes: Attributes,
    item_index: Rows,
    values: Values,
    wishes: npt.NDArray[np.float32] | None,
) -> tuple[list[str], Rows, Values]:
    words, met = [], np.zeros(len(item_index), dtype=np.int64)
    factor, bonus = np.ones(len(item_index)), np.zeros(len(item_index))
    for place, boost in enumerate(placement.boosts):
        holds = boost.when.holds(attributes, item_index)
        met |= holds.astype(np.int64) << place
        factor[holds] *= boost.multiply
        bonus[holds] += boost.add
        words.append(f"{boost.when.words:.80} × {boost.multiply:g} + {boost.add:g}")
    if wishes is not None:
        bonus += wishes
    return words, met, values * factor + bonus


def _pins(
    placement: Placement,
    k: int,
    at_ms: int,
    items: ItemTable,
    item_index: Rows,
    allowed: npt.NDArray[np.bool_],
) -> tuple[dict[int, int], tuple[str, ...]]:
    """Place → row of the pins that are valid now and may be shown, and the items of those that may not."""
    found: dict[int, int] = {}
    missing = []
    for pin in placement.pins:
        if pin.position > k or not pin.is_valid(at_ms):
            continue
        row = np.flatnonzero((item_index == items.index.get(pin.item_id, -1)) & allowed)
        if len(row) and int(row[0]) not in found.values():
            found.setdefault(pin.position - 1, int(row[0]))
        else:
            missing.append(pin.item_id)
    return found, tuple(missing)


def _caps(diversity: Diversity, attributes: Attributes, item_index: Rows) -> tuple[Cap, ...]:
    limits = (("category", diversity.max_per_category), ("brand", diversity.max_per_brand))
    return tuple(Cap(name, limit, attributes.codes(name)[item_index]) for name, limit in limits if limit is not None)
