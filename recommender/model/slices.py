"""The same comparison within groups of people and of choices: who is served well, and who is not.

Groups are formed and judged here; lists come measured. A group of too few people gets no figure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.events import DAY_MS
from recommender.model import metrics
from recommender.model.holdout import DEPTH, Holdout, Lists, Measured
from recommender.model.metrics import Interval, intervals
from recommender.model.truth import ANY

__all__ = ["SLICE_METRICS", "Slice", "SliceConfig", "slice_figures"]

Values = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Group = tuple[str, str, Mask]  # dimension, name, bool (n_users)

SLICE_METRICS = ("recall@20", "ndcg@10")


@dataclass(frozen=True)
class SliceConfig:
    """Below `min_users` no figure is given; at most `most` values of a dimension; `day_edges` part users by age."""

    min_users: int = 30
    most: int = 6
    day_edges: tuple[int, ...] = (28, 182)


@dataclass(frozen=True)
class Slice:
    """One group's figures: system → metric → interval, and the challenger's paired lead over each system.

    Both are empty where `users`, those with something to find, are too few.
    """

    dimension: str
    name: str
    kind: str
    users: int
    figures: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)
    differences: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)


def slice_figures(
    holdout: Holdout,
    kind: str,
    lists: Mapping[str, Lists],
    measured: Mapping[str, Measured],
    against: str,
    config: SliceConfig,
    seed: int,
    draws: int,
) -> list[Slice]:
    """Figures of every group for one kind; `lists` and `measured` by system, differences are `against` − system."""
    found = []
    inside: dict[str, Measured]
    values = {system: {name: own[name] for name in SLICE_METRICS} for system, own in measured.items()}
    for dimension, name, mask in _groups_of_users(holdout, config):
        inside = {system: {key: column[mask] for key, column in own.items()} for system, own in values.items()}
        found.append(_judged(dimension, name, kind, inside, against, config, seed, draws))
    for name, wanted in _categories(holdout, kind, config):
        inside = {system: _within(own, holdout, kind, wanted) for system, own in lists.items()}
        found.append(_judged("category chosen", name, kind, inside, against, config, seed, draws))
    return found


def _judged(
    dimension: str,
    name: str,
    kind: str,
    values: Mapping[str, Measured],
    against: str,
    config: SliceConfig,
    seed: int,
    draws: int,
) -> Slice:
    ours = values[against]
    users = int((~np.isnan(ours[SLICE_METRICS[0]])).sum())
    if users < config.min_users:
        return Slice(dimension, name, kind, users)
    others = [system for system in values if system != against]
    columns = [values[system][metric] for system in values for metric in SLICE_METRICS]
    columns += [ours[metric] - values[system][metric] for system in others for metric in SLICE_METRICS]
    found = iter(intervals(np.column_stack(columns), seed, draws))
    figures = {system: {metric: next(found) for metric in SLICE_METRICS} for system in values}
    return Slice(
        dimension, name, kind, users, figures, {system: {m: next(found) for m in SLICE_METRICS} for system in others}
    )


def _groups_of_users(holdout: Holdout, config: SliceConfig) -> Iterator[Group]:
    batch = holdout.batch
    days = (holdout.cut.as_of_ms - batch.users.integers("first_ms")) / DAY_MS
    yield from _between("known for", days, config.day_edges, "days")
    length = np.bincount(batch.history_user, minlength=len(batch))
    edges = sorted({int(edge) for edge in np.quantile(length, [1 / 3, 2 / 3]).round()})
    yield from _between("history", length.astype(np.float64), edges, "items")
    for name in ("country", "device"):
        yield from _values(name, batch.users.texts(name), config.most)


def _between(dimension: str, values: Values, edges: tuple[int, ...] | list[int], unit: str) -> Iterator[Group]:
    """Groups up to each edge, and above the last."""
    low = -np.inf
    for edge in edges:
        first = "up to" if low == -np.inf else f"{int(low) + 1} to"
        yield dimension, f"{first} {edge} {unit}", (values > low) & (values <= edge)
        low = edge
    yield dimension, f"above {int(low)} {unit}", values > low


def _values(dimension: str, texts: pa.Array, most: int) -> Iterator[Group]:
    """The most frequent values, and the others together; nothing where fewer than two values are known."""
    names, counts = (column.to_pylist() for column in pc.value_counts(texts).flatten())
    ranked = sorted((-count, name) for name, count in zip(names, counts, strict=True) if name)
    if len(ranked) < 2:
        return
    chosen = [name for _, name in ranked[:most]]
    code = pc.fill_null(pc.index_in(texts, value_set=pa.array(chosen, pa.string())), -1).to_numpy()
    for place, name in enumerate(chosen):
        yield dimension, name, code == place
    if (code < 0).any():
        yield dimension, "others and unknown", code < 0


def _categories(holdout: Holdout, kind: str, config: SliceConfig) -> Iterator[tuple[str, Mask]]:
    """The categories most people chose from, each with the mask of its items."""
    codes, truth = holdout.items.codes("category"), holdout.truths[kind][ANY]
    if codes.max(initial=-1) < 1:
        return
    inside = truth.item_index < len(holdout.items)
    chosen = np.unique(np.column_stack([truth.user_row[inside], codes[truth.item_index[inside]]]), axis=0)[:, 1]
    people = np.bincount(chosen[chosen >= 0], minlength=int(codes.max()) + 1)
    names = sorted(set(holdout.items.table["category"].to_pylist()) - {""})
    for code in np.argsort(-people, kind="stable")[: config.most]:
        if people[code]:
            yield names[code], codes == code


def _within(lists: Lists, holdout: Holdout, kind: str, wanted: Mask) -> Measured:
    """How much of what was chosen from some items is in the whole lists, and how high."""
    whole = holdout.truths[kind][ANY]
    known = whole.item_index < len(wanted)
    kept = np.zeros(len(known), dtype=np.bool_)
    kept[known] = wanted[whole.item_index[known]]
    truth = whole.take(kept)
    gain = truth.gains(lists.user_row, lists.item_index)
    hits = metrics.gains_by_rank(lists.user_row, lists.rank, gain, len(holdout), DEPTH) > 0
    return {
        "recall@20": metrics.recall_at(hits, truth.counts, 20),
        "ndcg@10": metrics.ndcg_at(hits, truth.counts, 10),
    }
