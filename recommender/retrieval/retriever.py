"""All generators together: fitted at one cut, asked for the union of their best items. Nothing is ranked here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from recommender.compiled import compiled
from recommender.cuts import CutInputs
from recommender.retrieval.candidates import CandidateGenerator, Candidates, ToScore, UserBatch
from recommender.retrieval.families import FAMILIES, GENERATORS
from recommender.retrieval.panels import DENSE_ITEMS, DensePanel, Excluded, Panel
from recommender.states import Contexts, ItemTable, UserStates

__all__ = ["Retriever", "RetrieverConfig", "fit_retriever"]

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RetrieverConfig:
    """`per_generator`: items each proposes to a user; `history_items` the own history's share;
    `panel_bytes` bounds the scores held at a time; `families`: generator → its config, where not the default."""

    per_generator: int = 60
    history_items: int = 150
    panel_bytes: int = 128_000_000
    families: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def of(self, name: str) -> Any:
        """The config of one generator."""
        default = next(family.config for family in FAMILIES if family.name == name)
        return self.families.get(name, default)

    def as_json(self) -> dict[str, Any]:
        """Every figure, defaults included: a bundle must not change its meaning with the code's defaults."""
        own = {"per_generator": self.per_generator, "history_items": self.history_items}
        return {
            **own,
            "panel_bytes": self.panel_bytes,
            "families": {name: asdict(self.of(name)) for name in GENERATORS},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RetrieverConfig:
        kinds = {family.name: type(family.config) for family in FAMILIES}
        families = {name: kinds[name](**values) for name, values in data["families"].items() if name in kinds}
        return cls(**{**data, "families": families})


@dataclass(frozen=True)
class Retriever:
    """The generators of one cut over one item table."""

    items: ItemTable
    generators: tuple[CandidateGenerator, ...]
    config: RetrieverConfig = field(default_factory=RetrieverConfig)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(generator.name for generator in self.generators)

    def retrieve(
        self,
        users: UserStates,
        contexts: Contexts,
        *,
        per_generator: int | None = None,
        item_index: npt.NDArray[np.int64] | None = None,
        novel: bool = False,
        generators: Sequence[str] | None = None,
    ) -> Candidates:
        """The union of each generator's best for every user; any number of users, bounded memory.

        `item_index` makes those items the candidates of every user instead. `novel` leaves the own history out
        before the best are taken. `generators`: only these propose; all of them still score what is proposed.
        A user's candidates do not depend on the batch.
        """
        batch = UserBatch.read(users, contexts, self.items)
        return self.retrieve_batch(batch, per_generator, item_index, novel, generators)

    def retrieve_batch(
        self,
        batch: UserBatch,
        per_generator: int | None = None,
        item_index: npt.NDArray[np.int64] | None = None,
        novel: bool = False,
        generators: Sequence[str] | None = None,
    ) -> Candidates:
        """`retrieve` for a batch that was read already."""
        limits = self.limits(per_generator, generators)
        parts = []
        for part in self._chunks(batch):
            panels = [generator.scores(part) for generator in self.generators]
            if item_index is None:
                chosen = _propose(panels, limits, self._excluded(part, novel), len(part), len(self.items))
            else:
                chosen = _given(item_index, len(part))
            found = _gather(panels, chosen, self.names)
            parts.append(found if item_index is None else _with_sources(found))
        return Candidates.joined(parts)

    def retrieve_each(self, asked: Sequence[tuple[UserBatch, ToScore]]) -> list[Candidates]:
        """`retrieve_batch` for batches of one user each, with what each asks for: generator by generator, so that what
        one reads stays in the processor's caches for the next person."""
        panels = list(zip(*([generator.scores(one) for one, _ in asked] for generator in self.generators), strict=True))
        return [self._candidates(own, one, ask) for own, (one, ask) in zip(panels, asked, strict=True)]

    def _candidates(self, panels: Panels, batch: UserBatch, ask: ToScore) -> Candidates:
        if ask.item_index is not None:
            return _with_sources(_gather(panels, _given(ask.item_index, len(batch)), self.names))
        limits, excluded = self.limits(None, ask.generators), self._excluded(batch, ask.novel)
        return _gather(panels, _propose(panels, limits, excluded, len(batch), len(self.items)), self.names)

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Everything that was fitted; `Retriever.from_arrays` takes it back."""
        return {name: array for generator in self.generators for name, array in generator.arrays().items()}

    @classmethod
    def from_arrays(
        cls, items: ItemTable, arrays: Mapping[str, npt.NDArray[np.generic]], config: RetrieverConfig
    ) -> Retriever:
        restored = (family.restore(arrays, items, config.of(family.name)) for family in FAMILIES)
        return cls(items, tuple(restored), config)

    def _chunks(self, batch: UserBatch) -> Iterator[UserBatch]:
        # A sparse row of a large catalogue holds fewer entries than a dense one of a small.
        width = min(max(len(self.items), 1), DENSE_ITEMS)
        rows = max(1, self.config.panel_bytes // (4 * width * len(self.generators)))
        if len(batch) <= rows:
            yield batch
            return
        for start in range(0, len(batch), rows):
            yield batch.slice(start, min(rows, len(batch) - start))

    def limits(self, per_generator: int | None = None, generators: Sequence[str] | None = None) -> list[int]:
        """How many items each generator may propose to a person, in the generators' order."""
        count = self.config.per_generator if per_generator is None else per_generator
        shares = {family.name: family.share for family in FAMILIES if family.share is not None and generators is None}
        asked = self.names if generators is None else generators
        limits = {name: min(shares.get(name, count), count) for name in asked}
        if "history" in limits:
            limits["history"] = max(self.config.history_items, count)
        return [limits.get(name, 0) for name in self.names]

    @cached_property
    def _unavailable(self) -> npt.NDArray[np.bool_] | None:
        """Mask of the items that must not be proposed; None when all may."""
        found = self.items.integers("is_available") == 0
        return found if found.any() else None

    def _excluded(self, batch: UserBatch, novel: bool) -> Excluded:
        return Excluded(self._unavailable, (batch.history_user, batch.history_item) if novel else None)


def fit_retriever(cut: CutInputs, config: RetrieverConfig | None = None, seed: int = 0) -> Retriever:
    """Fit every generator on one cut's inputs.

    Nothing else enters, so what happened after the cut cannot. Same input and seed, same bytes.
    """
    config = config or RetrieverConfig()
    batch = UserBatch.read(cut.users, Contexts.at(cut.as_of_ms, len(cut.users)), cut.items)
    with threadpool_limits(limits=1):
        fitted = tuple(family.fit(cut, batch, config.of(family.name), seed) for family in FAMILIES)
    return Retriever(cut.items, fitted, config)


Panels = Sequence[Panel]


@dataclass(frozen=True)
class _Chosen:
    """Pairs by user and item: offsets (n_users + 1), then one entry a pair."""

    offsets: npt.NDArray[np.int64]
    user: npt.NDArray[np.int64]
    item: npt.NDArray[np.int64]
    source: npt.NDArray[np.int64]
    proposers: npt.NDArray[np.int64]


def _propose(panels: Panels, limits: Sequence[int], excluded: Excluded, n_users: int, n_items: int) -> _Chosen:
    """The union of each panel's best positive entries, who proposed each, and who did so first."""
    keys, source = [np.zeros(0, dtype=np.int64)], [0]  # none of them may propose
    for panel, limit in zip(panels, limits, strict=True):
        user, item = panel.top(limit, excluded) if limit else (keys[0], keys[0])
        keys.append(user * n_items + item if n_users > 1 else item)
        source.append(len(item))
    every, proposer = np.concatenate(keys), np.repeat(np.arange(-1, len(panels)), source)
    order = np.argsort(every, kind="stable")  # stable: of one pair's proposers the first generator stays first
    offsets, columns = np.zeros(n_users + 1, dtype=np.int64), np.empty((4, len(every)), dtype=np.int64)
    found = columns[:, : _unite(every, proposer, order, max(n_items, 1), offsets, columns)]
    return _Chosen(offsets, *map(np.ascontiguousarray, found))


@compiled("const int64[::1]", "const int64[::1]", "const int64[::1]", "int64", "int64[::1]", "int64[:, ::1]")
def _unite(
    keys: Integers, proposer: Integers, order: Integers, n_items: int, offsets: Integers, columns: Integers
) -> int:
    """User, item, first proposer and all proposers of each distinct key, by key."""
    n = 0
    for place in order:
        user, item = keys[place] // n_items, keys[place] % n_items
        if n == 0 or columns[1, n - 1] != item or columns[0, n - 1] != user:
            columns[0, n], columns[1, n], columns[2, n], columns[3, n] = user, item, proposer[place], 0
            offsets[user + 1] += 1
            n += 1
        columns[3, n - 1] |= 1 << proposer[place]
    for user in range(len(offsets) - 1):
        offsets[user + 1] += offsets[user]
    return n


def _given(item_index: npt.NDArray[np.int64], n_users: int) -> _Chosen:
    """The same items for every user; nobody proposed them."""
    n_given = len(item_index)
    if n_users == 1:
        nobody = np.zeros(n_given, dtype=np.int64)
        return _Chosen(np.array([0, n_given]), nobody, item_index, nobody, nobody)
    user, item = np.repeat(np.arange(n_users), n_given), np.tile(item_index, n_users)
    nobody = np.zeros(len(item), dtype=np.int64)
    return _Chosen(np.arange(n_users + 1) * n_given, user, item, nobody, nobody)


def _with_sources(given: Candidates) -> Candidates:
    """Candidates that nobody proposed, with the generator that scores each highest for the user as its source."""
    relative = given.relative
    source = np.empty(len(given), dtype=np.int64)
    _place_of_highest(relative, source)
    found = replace(given, source=source)
    vars(found)["relative"] = relative  # made once, and needed again as features
    return found


@compiled("const float32[:, ::1]", "int64[::1]")
def _place_of_highest(values: npt.NDArray[np.float32], place: Integers) -> None:
    """The first column of each row that holds its highest value."""
    for row in range(len(values)):
        place[row] = np.argmax(values[row])


def _gather(panels: Panels, chosen: _Chosen, names: tuple[str, ...]) -> Candidates:
    n_users = len(chosen.offsets) - 1
    scores = np.empty((len(chosen.item), len(panels)), dtype=np.float32)
    best = np.empty((n_users, len(panels)), dtype=np.float32)
    for position, panel in enumerate(panels):
        if isinstance(panel, DensePanel):
            panel.read(chosen.user, chosen.item, position, scores, best)
        else:
            scores[:, position] = panel.at(chosen.user, chosen.item)
            best[:, position] = panel.best()
    return Candidates(chosen.offsets, chosen.item, scores, best, chosen.source, chosen.proposers, names)
