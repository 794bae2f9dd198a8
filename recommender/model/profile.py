"""How people behave and how the model sees it, a row a person: what drift is looked for in. No drift is judged here.

Reference and current come from the same function, both on days the model was not trained on: the states
are those of the window's start, the events those of the window. Every column is free of a score's scale,
so a retrained ranker alone moves none of them. What only the slates say (the spread of their scores, their
popularity) is left out: it moved by 0.21 to 0.26 deviations with each new fit of the retrievers, for everyone
at once and without any change in behaviour, which no comparison of rows can know.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.events import DAY_MS, strength_of
from recommender.model.lists import top_rows
from recommender.model.scorer import RankingModel
from recommender.retrieval.candidates import UserBatch
from recommender.states import Contexts, ItemTable, UserStates

__all__ = ["PROFILE_SCHEMA", "behaviour_profile"]

SLATE = 10

PROFILE_SCHEMA = pa.schema(
    [
        ("event_count", pa.float64()),  # positive events in the window
        ("purchase_count", pa.float64()),
        ("item_count", pa.float64()),  # distinct items
        ("category_count", pa.float64()),
        ("mean_log_price", pa.float64()),  # catalogue price of the items, nan where none is known
        ("daytime_share", pa.float64()),  # events between 6 and 18 h UTC
        ("weekend_share", pa.float64()),
        ("new_item_share", pa.float64()),  # events with items outside the own history
        ("unlisted_item_share", pa.float64()),  # events with items the model does not know
        ("popularity_percentile", pa.float64()),  # of the items, 1 the most popular
        ("history_length", pa.float64()),
        ("chosen_percentile", pa.float64()),  # of the chosen items among the user's candidates; 0 for one missed
        ("hit_share", pa.float64()),  # chosen items that are in the user's top ten
        ("top_category", pa.string()),
        ("device", pa.string()),
        ("channel", pa.string()),
        ("country", pa.string()),
    ]
)


def behaviour_profile(
    model: RankingModel,
    users: UserStates,
    items: ItemTable,
    events: pa.Table,
    as_of_ms: int,
    window_days: float = 7.0,
    max_users: int = 5_000,
    seed: int = 0,
) -> pa.Table:
    """PROFILE_SCHEMA, one row for each known user active in the `window_days` before `as_of_ms`.

    `users` and `items` are states at the window's start. Above `max_users` a seeded sample is taken.
    Rows carry no user id: a report made of them outlives nobody's erasure. Empty when nobody was active.
    """
    start_ms = as_of_ms - round(window_days * DAY_MS)
    active = _window(events, start_ms, as_of_ms)
    came = pc.is_in(users.table["user_id"], value_set=pc.unique(active["user_id"]))
    known = UserStates(users.table.filter(came).combine_chunks())
    if not len(known):
        return PROFILE_SCHEMA.empty_table()
    if len(known) > max_users:
        drawn = np.random.default_rng(seed).permutation(len(known))[:max_users]
        known = known.take(np.sort(drawn))
    row = pc.fill_null(pc.index_in(active["user_id"], value_set=known.texts("user_id")), -1)
    active = active.append_column("row", row.cast(pa.int64())).filter(pc.greater_equal(row, 0)).combine_chunks()
    columns = _behaviour(active, known, items) | _as_seen(model, known, active, start_ms)
    columns |= {name: known.texts(name) for name in ("device", "channel", "country")}
    return pa.table(columns, schema=PROFILE_SCHEMA)


def _window(events: pa.Table, start_ms: int, end_ms: int) -> pa.Table:
    """Positive events with an item that occurred in the window."""
    low, high = (pa.scalar(moment, pa.timestamp("ms")) for moment in (start_ms, end_ms))
    part = events.select(["user_id", "item_id", "event_type", "occurred_at"])
    inside = pc.and_(pc.greater_equal(part["occurred_at"], low), pc.less(part["occurred_at"], high))
    part = part.filter(pc.and_(inside, pc.is_valid(part["item_id"])))
    positive = [name for name in pc.unique(part["event_type"]).to_pylist() if strength_of(name) > 0]
    return part.filter(pc.is_in(part["event_type"], value_set=pa.array(positive, pa.string())))


def _behaviour(active: pa.Table, users: UserStates, items: ItemTable) -> dict[str, object]:
    """What people did, without the model."""
    row, item = active["row"].to_numpy(), items.positions(active["item_id"].combine_chunks())
    at = active["occurred_at"].cast(pa.int64()).to_numpy()
    mean = _Mean(row, len(users))
    listed = item >= 0
    category = np.where(listed, items.codes("category")[item], -1)
    price = np.where(listed, items.integers("price_micros")[item] / 1e6, 0.0)
    hour, day = at // 3_600_000 % 24, (at // DAY_MS + 3) % 7  # 1970-01-01 was a Thursday: 0 is Monday
    purchases = np.asarray(pc.equal(active["event_type"], "purchase").to_numpy(zero_copy_only=False))
    names = pc.dictionary_encode(active["item_id"].combine_chunks()).indices.to_numpy()
    return {
        "event_count": mean.counts.astype(np.float64),
        "purchase_count": np.bincount(row, weights=purchases, minlength=len(users)),
        "item_count": _distinct(row, names.astype(np.int64), len(users)),
        "category_count": _distinct(row[category >= 0], category[category >= 0].astype(np.int64), len(users)),
        "mean_log_price": mean.of(np.log1p(price), price > 0),
        "daytime_share": mean.of((hour >= 6) & (hour < 18)),
        "weekend_share": mean.of(day >= 5),
        "popularity_percentile": mean.of(_percentiles(items)[item], listed),
        "top_category": _top_category(row, category, items, len(users)),
    }


def _as_seen(model: RankingModel, users: UserStates, active: pa.Table, start_ms: int) -> dict[str, object]:
    """What people did, against what the model would have shown at the window's start."""
    batch = UserBatch.read(users, Contexts.at(start_ms, len(users)), model.items)
    candidates, _, scores = model.score_batch(batch)
    owner, width = candidates.user_row, len(model.items)
    order, rank = top_rows(owner, scores, len(scores) + 1)
    percentile = np.empty(len(scores))
    percentile[order] = 1.0 - (rank - 1) / np.diff(candidates.offsets)[owner[order]]
    top = np.zeros(len(scores), dtype=np.bool_)
    top[order[rank <= SLATE]] = True

    row = active["row"].to_numpy()
    item = model.items.positions(active["item_id"].combine_chunks())
    keys, wanted = owner * width + candidates.item_index, row * width + item
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    found = (keys[at] == wanted) & (item >= 0)
    owned = batch.history_user * width + batch.history_item
    chosen = _Mean(row, len(users))
    return {
        "new_item_share": chosen.of(~np.isin(wanted, owned)),
        "unlisted_item_share": chosen.of(item < 0),
        "history_length": np.diff(batch.history_offsets).astype(np.float64),
        "chosen_percentile": chosen.of(np.where(found, percentile[at], 0.0)),
        "hit_share": chosen.of(found & top[at]),
    }


class _Mean:
    """Means by user row."""

    def __init__(self, row: npt.NDArray[np.int64], n_users: int) -> None:
        self.row, self.n_users = row, n_users
        self.counts = np.bincount(row, minlength=n_users)

    def of(
        self, values: npt.NDArray[np.generic], where: npt.NDArray[np.bool_] | None = None
    ) -> npt.NDArray[np.float64]:
        """Mean of each row's values (among `where`); nan for a row without any."""
        kept = np.ones(len(self.row), dtype=np.bool_) if where is None else where
        total = np.bincount(self.row[kept], weights=values[kept].astype(np.float64), minlength=self.n_users)
        count = np.bincount(self.row[kept], minlength=self.n_users)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _percentiles(items: ItemTable) -> npt.NDArray[np.float64]:
    """Place of each item by decayed popularity, from 0 to 1; equal popularity shares the lower place."""
    popularity = items.integers("popularity_micros")
    return np.searchsorted(np.sort(popularity), popularity) / max(len(popularity) - 1, 1)


def _distinct(row: npt.NDArray[np.int64], code: npt.NDArray[np.int64], n_users: int) -> npt.NDArray[np.float64]:
    width = int(code.max(initial=0)) + 1
    return np.bincount(np.unique(row * width + code) // width, minlength=n_users).astype(np.float64)


def _top_category(
    row: npt.NDArray[np.int64], category: npt.NDArray[np.int32], items: ItemTable, n_users: int
) -> pa.StringArray:
    """Each user's most frequent category in the window, the first by name among equals; "" without any."""
    names = sorted(set(items.table["category"].to_pylist()) - {""})
    if not names:
        return pa.array([""] * n_users, pa.string())
    coded = category >= 0
    keys, counts = np.unique(row[coded] * len(names) + category[coded], return_counts=True)
    order = np.lexsort((keys, -counts, keys // len(names)))
    users, first = np.unique(keys[order] // len(names), return_index=True)
    place = np.full(n_users, len(names))
    place[users] = keys[order][first] % len(names)
    return pa.array([*names, ""], pa.string()).take(pa.array(place))
