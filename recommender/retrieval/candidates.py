"""What generators consume and produce: the decoded batch, the protocol, candidates before and after scoring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
from scipy import sparse

from recommender.compiled import compiled
from recommender.events import DAY_MS
from recommender.person_state import People
from recommender.retrieval.panels import Panel
from recommender.retrieval.seeds import Seeds, bounds_of, owners_of
from recommender.retrieval.weights import fade_history, weigh_by_taste
from recommender.states import Contexts, ItemTable, UserStates

__all__ = ["HISTORY_COLUMNS", "CandidateGenerator", "Candidates", "Scored", "ToScore", "UserBatch"]

HISTORY_COLUMNS = ("strengths", "counts", "purchase_counts", "first_ms", "last_ms")

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class UserBatch:
    """User states decoded once against an item table; generators and the assembler read the same arrays.

    The `history_*` arrays have one entry a (user, known item), users ascending, each user's in the
    state's order (latest first); entries of items that are not in the table are left out. All
    per-user sums over them run in that order, which makes results independent of the batch.
    """

    users: UserStates
    contexts: Contexts
    items: ItemTable
    history_user: Integers
    history_item: Integers
    history_rows: Integers  # position of each kept entry in the flat list columns
    recent_user: Integers
    recent_item: Integers  # −1 where the item is not in the table
    _faded: dict[float, npt.NDArray[np.float64]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, users: UserStates, contexts: Contexts, items: ItemTable) -> UserBatch:
        """Look the histories' items up; `contexts` has one entry a user."""
        assert len(users) == len(contexts), f"{len(users)} users, {len(contexts)} contexts"
        item = items.positions(users.flat("history_item_ids"))
        owner = owners_of(users.offsets("history_item_ids"))
        known = (item >= 0).nonzero()[0]
        recent_owner = owners_of(users.offsets("recent_item_ids"))
        recent = items.positions(users.flat("recent_item_ids"))
        return cls(users, contexts, items, owner[known], item[known], known, recent_owner, recent)

    def __len__(self) -> int:
        return len(self.users)

    def history(self, name: str) -> Integers:
        """An integer `history_<name>` list, aligned with `history_item`."""
        row: Integers = self.history_table[1 + HISTORY_COLUMNS.index(name)]
        return row

    @cached_property
    def history_table(self) -> Integers:
        """The entries' items and HISTORY_COLUMNS: int64 (1 + 5, n)."""
        table = np.empty((1 + len(HISTORY_COLUMNS), len(self.history_item)), dtype=np.int64)
        table[0] = self.history_item
        every = self.users.flat_integers_of([f"history_{name}" for name in HISTORY_COLUMNS])
        np.take(every, self.history_rows, axis=1, out=table[1:])
        return table

    @cached_property
    def recent_is_skip(self) -> npt.NDArray[np.bool_]:
        """Whether each recent event is a skip."""
        types = self.users.flat("recent_event_types")
        if isinstance(types, list):
            return np.array([one == "skip" for one in types], dtype=np.bool_)
        return np.asarray(pc.equal(types, "skip").to_numpy(zero_copy_only=False), dtype=np.bool_)

    @cached_property
    def context_items(self) -> tuple[Integers, Integers]:
        """(user row, item index) of each item that a context names, in the order named; −1 for an unknown one."""
        named = self.contexts.context_item_ids
        if not any(named):
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        owner = np.repeat(np.arange(len(self)), [len(items) for items in named])
        return owner, self.items.positions([item for items in named for item in items])

    @cached_property
    def has_context(self) -> npt.NDArray[np.bool_]:
        """Whether each user's context names an item, known or not."""
        return np.array([len(items) > 0 for items in self.contexts.context_item_ids], dtype=np.bool_)

    @cached_property
    def history_age_days(self) -> npt.NDArray[np.float64]:
        """Days from the last event with each history item to the moment of the decision; at least 0."""
        age = self.contexts.at_ms[self.history_user] - self.history("last_ms")
        return np.asarray(np.maximum(age, 0) / DAY_MS)

    def history_fade(self, half_life_days: float) -> npt.NDArray[np.float64]:
        """2^(−age / half-life) of each history item; several generators ask for the same half-life."""
        found = self._faded.get(half_life_days)
        if found is None:
            found = self._faded[half_life_days] = np.empty(len(self.history_item))
            fade_history(self.history_table, self.history_offsets, self.at_ms, half_life_days, found)
        return found

    @cached_property
    def at_ms(self) -> Integers:
        """The moment of each user's decision, C-contiguous."""
        return np.ascontiguousarray(self.contexts.at_ms)

    @cached_property
    def context_offsets(self) -> Integers:
        """Offsets (n_users + 1) into the items of `context_items`."""
        return bounds_of(self.context_items[0], len(self))

    @cached_property
    def recent_offsets(self) -> Integers:
        """Offsets (n_users + 1) into the `recent_*` arrays."""
        return self.users.offsets("recent_item_ids")

    @cached_property
    def recent_ms(self) -> Integers:
        """The moment of each recent event."""
        return self.users.flat_integers("recent_ms")

    @cached_property
    def history_offsets(self) -> Integers:
        return bounds_of(self.history_user, len(self))

    @classmethod
    def joined(cls, parts: Sequence[UserBatch]) -> UserBatch:
        """Batches over one item table as one, without looking their items up again."""
        if len(parts) == 1:
            return parts[0]
        starts = np.cumsum([0, *map(len, parts)]).tolist()
        flat = np.cumsum([0, *(part.users.offsets("history_item_ids")[-1] for part in parts)]).tolist()
        return cls(
            People([part.users for part in parts]),
            Contexts.joined([part.contexts for part in parts]),
            parts[0].items,
            np.concatenate([part.history_user + start for part, start in zip(parts, starts, strict=False)]),
            np.concatenate([part.history_item for part in parts]),
            np.concatenate([part.history_rows + start for part, start in zip(parts, flat, strict=False)]),
            np.concatenate([part.recent_user + start for part, start in zip(parts, starts, strict=False)]),
            np.concatenate([part.recent_item for part in parts]),
        )

    def slice(self, start: int, length: int) -> UserBatch:
        """Some users of the batch, without looking their items up again."""
        users, at = self.users.slice(start, length), self.contexts
        stop = start + length
        contexts = Contexts(
            at.at_ms[start:stop],
            at.placement[start:stop],
            at.device[start:stop],
            at.channel[start:stop],
            at.context_item_ids[start:stop],
        )
        low, high = self.history_offsets[start], self.history_offsets[stop]
        first = self.users.offsets("history_item_ids")[start]
        owner, rows = self.history_user[low:high] - start, self.history_rows[low:high] - first
        recent_offsets = self.users.offsets("recent_item_ids")
        early, late = recent_offsets[start], recent_offsets[stop]
        recent = (self.recent_user[early:late] - start, self.recent_item[early:late])
        return UserBatch(users, contexts, self.items, owner, self.history_item[low:high], rows, *recent)

    def seeds(self, values: npt.NDArray[np.floating]) -> Seeds:
        """The history's items with one weight an entry."""
        return Seeds(self.history_item, values.astype(np.float32), self.history_offsets, len(self.items))

    def taste(self, half_life_days: float, is_kept: npt.NDArray[np.bool_]) -> Seeds:
        """The items of the history that are kept, by log(1 + strength) × 2^(−age / half-life), as shares of the sum."""
        weights, faded = np.empty(len(is_kept), dtype=np.float32), self.history_fade(half_life_days)
        weigh_by_taste(self.history_table, self.history_offsets, faded, is_kept, weights)
        return Seeds(self.history_item, weights, self.history_offsets, len(self.items))

    def matrix(self, values: npt.NDArray[np.floating]) -> sparse.csr_matrix:
        """Users × items with one value a history entry, float32."""
        return self.seeds(values).matrix()


class CandidateGenerator(Protocol):
    """One family of retrieval, fitted at a cut.

    `scores` gives a panel: higher is better, 0 where the generator has nothing to say; a user's scores have
    the same bits in every batch. Callers bound the batch, so the panel stays bounded too. `arrays` are what
    was fitted; the generator is rebuilt from them, the item table and its config alone.
    """

    @property
    def name(self) -> str: ...

    def scores(self, batch: UserBatch) -> Panel: ...

    def arrays(self) -> Mapping[str, npt.NDArray[np.generic]]: ...


@dataclass(frozen=True)
class Candidates:
    """Candidates of a batch of users, grouped by user row in ascending order.

    `offsets` int64 (n_users + 1); `item_index` int64 (n), ascending for each user unless it was
    given; `retrieval_scores` float32 (n, n_generators), every generator's score for every candidate
    whoever proposed it; `best` float32 (n_users, n_generators), each generator's highest score over
    the whole catalogue, so that relative scores depend on no request's filter; `source` int64 (n),
    position in `generators` of the first one that proposed it; `proposers` int64 (n), bit g set when
    generator g proposed it (0 where the candidates were given).
    """

    offsets: Integers
    item_index: Integers
    retrieval_scores: Floats
    best: Floats
    source: Integers
    proposers: Integers
    generators: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.item_index)

    @cached_property
    def user_row(self) -> Integers:
        """Row of the user of each candidate."""
        return owners_of(self.offsets)

    @cached_property
    def relative(self) -> Floats:
        """`retrieval_scores` as shares of each generator's highest score for the user; 0 where it has none."""
        found = np.empty_like(self.retrieval_scores)
        _relate(self.offsets, self.retrieval_scores, self.best, found)
        return found

    @classmethod
    def joined(cls, parts: Sequence[Candidates]) -> Candidates:
        """The candidates of several batches, one behind the other; of one batch the very same."""
        if len(parts) == 1:
            return parts[0]
        starts = np.cumsum([0, *map(len, parts)])
        offsets = [part.offsets[:-1] + start for part, start in zip(parts, starts, strict=False)]
        return cls(
            np.concatenate([*offsets, starts[-1:]]).astype(np.int64),
            np.concatenate([part.item_index for part in parts]),
            np.concatenate([part.retrieval_scores for part in parts]),
            np.concatenate([part.best for part in parts]),
            np.concatenate([part.source for part in parts]),
            np.concatenate([part.proposers for part in parts]),
            parts[0].generators,
        )

    def keep(self, rows: Integers) -> Candidates:
        """The candidates at ascending positions `rows`; users keep their rows, some perhaps without candidates."""
        counts = np.bincount(self.user_row[rows], minlength=len(self.offsets) - 1)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        picked = (
            self.item_index[rows],
            self.retrieval_scores[rows],
            self.best,
            self.source[rows],
            self.proposers[rows],
        )
        return Candidates(offsets, *picked, self.generators)


@compiled("const int64[::1]", "const float32[:, ::1]", "const float32[:, ::1]", "float32[:, ::1]")
def _relate(offsets: Integers, scores: Floats, best: Floats, relative: Floats) -> None:
    for user in range(len(offsets) - 1):
        for candidate in range(offsets[user], offsets[user + 1]):
            for generator in range(scores.shape[1]):
                highest = best[user, generator]
                # A score below 0 of one who knows nothing better is 0 as well.
                relative[candidate, generator] = scores[candidate, generator] / highest if highest > 0 else 0


@dataclass(frozen=True)
class ToScore:
    """One user (a batch of one) whose candidates are to be retrieved, or are `item_index`, and scored: the arguments
    of `Scorer.score`."""

    user: UserStates
    context: Contexts
    item_index: Integers | None = None
    novel: bool = False
    generators: Sequence[str] | None = None


@dataclass(frozen=True)
class Scored:
    """Candidates of one user with their scores: all arrays have one row a candidate.

    `item_index` int64 (n); `scores` float32 (n), higher is better; `features` float32 (n, n_features),
    as the ranker saw them; `source` the generator that proposed each. `generator_scores` float32
    (n, len(generators)): what each generator says of each, for placements that rank by one of them alone.
    Made by `model`, read by `decision`.
    """

    item_index: Integers
    scores: Floats
    features: Floats
    source: Sequence[str]
    generators: tuple[str, ...] = ()
    generator_scores: Floats | None = None
