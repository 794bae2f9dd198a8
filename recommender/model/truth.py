"""What people did after a cut, seen once for every KPI: the answers that lists are compared with. No lists here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.model.labels import graded_pairs
from recommender.objectives import OBJECTIVES, Objective
from recommender.retrieval.candidates import UserBatch
from recommender.states import ItemTable

__all__ = ["ANY", "Truth", "read_truths"]

Integers = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]

ANY = "any"  # every positive event alike: what the protocols of TARGETS count


@dataclass(frozen=True)
class Truth:
    """Pairs sorted by (user_row, item_index), each once, with a gain above 0.

    An item that the table does not hold has an index past its end: nobody could have listed it, yet it is missed.
    """

    user_row: Integers
    item_index: Integers
    gain: Values
    n_users: int

    @property
    def counts(self) -> Integers:
        """Relevant items of each user."""
        return np.asarray(np.bincount(self.user_row, minlength=self.n_users))

    @property
    def totals(self) -> Values:
        """Sum of each user's gains."""
        return np.bincount(self.user_row, weights=self.gain, minlength=self.n_users).astype(np.float64)

    def ideal(self, k: int) -> Values:
        """Σ gain_r / log₂(r + 1) of each user's k highest gains, best first."""
        order = np.lexsort((-self.gain, self.user_row))
        owner = self.user_row[order]
        rank = np.arange(len(order)) - np.searchsorted(owner, owner, side="left") + 1
        kept = rank <= k
        worth = self.gain[order][kept] / np.log2(rank[kept] + 1.0)
        return np.bincount(owner[kept], weights=worth, minlength=self.n_users).astype(np.float64)

    def gains(self, user_row: Integers, item_index: Integers) -> Values:
        """Gain of each (user row, item) asked for; 0 where it is not relevant."""
        if not len(self.gain):
            return np.zeros(len(item_index))
        width = int(max(self.item_index.max(), item_index.max(initial=0))) + 1
        keys, wanted = self.user_row * width + self.item_index, user_row * width + item_index
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[at] == wanted, self.gain[at], 0.0)

    def take(self, kept: npt.NDArray[np.bool_]) -> Truth:
        """Only the pairs of a mask; users keep their rows."""
        return Truth(self.user_row[kept], self.item_index[kept], self.gain[kept], self.n_users)

    def novel(self, batch: UserBatch) -> Truth:
        """Only pairs outside the own history."""
        width = int(max(self.item_index.max(initial=0) + 1, len(batch.items)))
        owned = batch.history_user * width + batch.history_item
        return self.take(~np.isin(self.user_row * width + self.item_index, owned))


def read_truths(
    events: pa.Table, start_ms: int, end_ms: int, user_ids: pa.Array, items: ItemTable, objective: Objective
) -> Mapping[str, Truth]:
    """Truth by name: ANY, and one for each KPI. Events outside [start, end) and of other users do not count.

    *conversion*: what was bought, gain 1. *revenue*: what was bought, gain its spend. *engagement*: every
    positive event, gain 2^grade − 1 of the objective's weights. *retention*: what a person touched on a day after
    which they came back once more, gain 1: what was there when a visit led to the next.
    """
    back, grades = OBJECTIVES["retention"], objective if objective.kpi == "engagement" else OBJECTIVES["engagement"]
    touched = graded_pairs(events, start_ms, end_ms, back)
    bought = graded_pairs(events.filter(pc.equal(events["event_type"], "purchase")), start_ms, end_ms, back)
    liked = graded_pairs(events, start_ms, end_ms, grades)
    spend = bought["spend_micros"].to_numpy() / 1e6
    parts = {
        ANY: (touched, np.ones(len(touched))),
        "conversion": (bought, np.ones(len(bought))),
        "revenue": (bought, spend),
        "engagement": (liked, 2.0 ** liked["grade"].to_numpy() - 1.0),
        "retention": (touched, (touched["grade"].to_numpy() > back.other).astype(np.float64)),
    }
    return {name: _truth(pairs, gain, user_ids, items) for name, (pairs, gain) in parts.items()}


def _truth(pairs: pa.Table, gain: Values, user_ids: pa.Array, items: ItemTable) -> Truth:
    user = pc.fill_null(pc.index_in(pairs["user_id"].combine_chunks(), value_set=user_ids), -1).to_numpy()
    named = pairs["item_id"].combine_chunks()
    item = items.positions(named)
    strange = np.flatnonzero(item < 0)
    item[strange] = len(items) + named.take(pa.array(strange)).dictionary_encode().indices.to_numpy()
    kept = np.flatnonzero((user >= 0) & (gain > 0))
    order = kept[np.lexsort((item[kept], user[kept]))]
    return Truth(user[order].astype(np.int64), item[order], gain[order], len(user_ids))
