"""How many items rules and caps leave for each of many people: what says beforehand that a slate can be filled.

No item is scored. With one cap at most the count is exact: whichever items come first, as many find a place. With caps
on category and brand together it is the smaller of both, which a slate may miss.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recommender.attributes import attributes_of
from recommender.decision.placements import Placement
from recommender.decision.rules import Rules
from recommender.states import ItemTable, UserStates

__all__ = ["room_for"]

Counts = npt.NDArray[np.int64]


def room_for(placement: Placement, items: ItemTable, users: UserStates) -> Counts:
    """int64 (n users): items that a slate of the placement could hold for each, if it were long enough."""
    rows = np.arange(len(items))
    allowed = Rules(placement_filter=placement.filter).judge(items, rows).allowed
    owner, item = _bought(items, users)
    kept = allowed[item]
    owner, item = owner[kept], item[kept]
    limits = ((placement.diversity.max_per_category, "category"), (placement.diversity.max_per_brand, "brand"))
    codes = [(attributes_of(items).codes(name), limit) for limit, name in limits if limit is not None]
    found = [
        _room(placement.bought, rows[allowed], owner, item, len(users), code, limit)
        for code, limit in codes or [(np.full(len(items), -1, np.int32), 0)]
    ]
    return np.asarray(np.min(found, axis=0))


def _bought(items: ItemTable, users: UserStates) -> tuple[Counts, Counts]:
    """(user row, item index) of everything that was bought and is known."""
    owner = np.repeat(np.arange(len(users)), np.diff(users.offsets("history_item_ids")))
    item = items.positions(users.flat("history_item_ids"))
    kept = (users.flat_integers("history_purchase_counts") > 0) & (item >= 0)
    return owner[kept], item[kept]


def _room(
    bought: str, allowed: Counts, owner: Counts, item: Counts, n_users: int, codes: npt.NDArray[np.int32], limit: int
) -> Counts:
    """Under one cap: of each code at most `limit`, of negative ones any number."""
    everything = _capped(np.bincount(codes[allowed] + 1, minlength=int(codes.max(initial=-1)) + 2), limit)
    if bought == "allowed":
        return np.full(n_users, everything.sum())
    width = len(everything)
    cell, owned = np.unique(owner * width + codes[item] + 1, return_counts=True)
    person, code = cell // width, cell % width
    if bought == "only":
        left = np.where(code == 0, owned, np.minimum(owned, limit))
        return np.bincount(person, weights=left, minlength=n_users).astype(np.int64)
    total = np.bincount(codes[allowed] + 1, minlength=width)[code]
    lost = np.where(code == 0, owned, everything[code] - np.minimum(total - owned, limit))
    return np.asarray(everything.sum() - np.bincount(person, weights=lost, minlength=n_users), np.int64)


def _capped(counts: Counts, limit: int) -> Counts:
    """Counts by code + 1: the first, of no code, is not capped."""
    return np.concatenate([counts[:1], np.minimum(counts[1:], limit)])
