"""What is known about users, items and the moment: the columnar inputs of retrieval and of the assembler.

A state holds nothing relative to "now": counts, sums and raw times only. Windows and recencies are
derived by the assembler at the moment of the decision, so merging a live event into a state gives
exactly what SQL would have given at a later cut. Nothing is scored here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.events import DAY_MS, Interaction, strength_of

__all__ = [
    "HISTORY_LENGTH",
    "ITEM_STATE_SCHEMA",
    "PAIR_SCHEMA",
    "PURCHASE_DAYS_LENGTH",
    "RECENT_LENGTH",
    "SEGMENT_SCHEMA",
    "USER_STATE_SCHEMA",
    "Contexts",
    "ItemTable",
    "UserStates",
    "empty_state",
    "merge_live",
]

# dbt receives these three as variables; they are written nowhere else.
HISTORY_LENGTH = 512  # distinct items kept; online_retail's longest history has about 1,800, its 99th percentile 480
RECENT_LENGTH = 50  # last events kept, in order
PURCHASE_DAYS_LENGTH = 30  # last distinct days with a purchase

_TIME = pa.timestamp("ms")
_INTS = pa.list_(pa.int64())
_TEXTS = pa.list_(pa.string())

# The mart `user_states`. Grain: one row for each user and cut; only events recorded before the cut count.
# "Event" below means an event whose strength is positive, unless a type is named.
USER_STATE_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("as_of", _TIME),
        ("created_at", _TIME),  # equals as_of: when the row could have been known
        ("as_of_ms", pa.int64()),  # as_of again, as a feature: an online read tells how fresh it is
        ("event_count", pa.int64()),
        ("view_count", pa.int64()),  # view and click
        ("cart_count", pa.int64()),
        ("purchase_count", pa.int64()),
        ("skip_count", pa.int64()),
        ("quantity_sum", pa.int64()),  # over purchases; a missing quantity counts 1
        ("spend_micros", pa.int64()),  # over purchases: Σ quantity × price_micros
        ("first_ms", pa.int64()),  # 0 where there is none, here and below
        ("last_ms", pa.int64()),
        ("last_purchase_ms", pa.int64()),
        ("hour_counts", _INTS),  # 24 entries: events by UTC hour
        ("country", pa.string()),  # users.country, else the first event's that names one; "" where unknown, as below
        ("device", pa.string()),  # the latest event's that names one (order: occurred_at, event_id)
        ("channel", pa.string()),
        # one entry a distinct item, ordered by (last_ms descending, item_id), at most HISTORY_LENGTH
        ("history_item_ids", _TEXTS),
        ("history_strengths", _INTS),  # Σ strength
        ("history_counts", _INTS),
        ("history_purchase_counts", _INTS),
        ("history_first_ms", _INTS),
        ("history_last_ms", _INTS),
        # one entry an event that names an item (positive, or a skip), newest first (occurred_at, event_id),
        # at most RECENT_LENGTH
        ("recent_item_ids", _TEXTS),
        ("recent_event_types", _TEXTS),
        ("recent_ms", _INTS),
        (
            "purchase_days",
            _INTS,
        ),  # distinct days since 1970 with a purchase, newest first, at most PURCHASE_DAYS_LENGTH
    ]
)

# The mart `item_states`. Grain: one row for each item and cut: items seen in an event before the cut, and the newest of
# those merely listed.
ITEM_STATE_SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("as_of", _TIME),
        ("created_at", _TIME),
        ("title", pa.string()),
        ("description", pa.string()),
        ("category", pa.string()),
        ("brand", pa.string()),
        ("tags", pa.string()),  # comma separated
        ("attributes", pa.string()),  # the catalogue's further columns as a JSON object, "" where there is none
        ("price_micros", pa.int64()),  # catalogue price, else the latest price paid; 0 where unknown
        ("is_available", pa.int64()),  # 1 or 0; 1 where unknown
        ("listed_ms", pa.int64()),  # catalogue created_at, else the first event; 0 where unknown
        ("first_ms", pa.int64()),
        ("last_ms", pa.int64()),
        ("event_count", pa.int64()),
        ("event_count_1d", pa.int64()),
        ("event_count_7d", pa.int64()),
        ("event_count_28d", pa.int64()),
        ("purchase_count", pa.int64()),
        ("purchase_count_7d", pa.int64()),
        ("purchase_count_28d", pa.int64()),
        ("user_count", pa.int64()),
        ("user_count_28d", pa.int64()),
        ("repeat_user_count", pa.int64()),  # users with two events or more
        ("new_user_count_7d", pa.int64()),  # users whose first event with the item lies so far back at most
        ("new_user_count_14d", pa.int64()),
        ("new_user_count_28d", pa.int64()),
        ("view_count_28d", pa.int64()),
        ("cart_count_28d", pa.int64()),
        ("impression_count_28d", pa.int64()),
        ("skip_count_28d", pa.int64()),
        ("revenue_micros_28d", pa.int64()),
        # Σ strength × 2^(−age / 14 days) × 1e6, aged from the start of its UTC day and rounded once a day: exact sums
        ("popularity_micros", pa.int64()),
    ]
)

# The mart `item_pairs`. Grain: one row for each cut, kind, item and neighbour, the best neighbours kept.
PAIR_SCHEMA = pa.schema(
    [
        ("as_of", _TIME),
        # "together": same session, basket or day; "next": the person's very next step; "view_buy": looked at, then the
        # other bought in one basket; "buy_buy": both bought in one basket, absent where people only buy
        ("pair_kind", pa.string()),
        ("item_id", pa.string()),
        ("other_item_id", pa.string()),
        ("weight_micros", pa.int64()),
        ("rank", pa.int64()),
    ]
)

# The mart `item_segments`. Grain: one row for each cut, segment and item: the most popular items of larger segments.
SEGMENT_SCHEMA = pa.schema(
    [
        ("as_of", _TIME),
        ("segment_kind", pa.string()),  # "country", "device" or "channel"
        ("segment", pa.string()),
        ("item_id", pa.string()),
        ("popularity_micros", pa.int64()),  # as in item_states, from the segment's events alone
        ("segment_micros", pa.int64()),  # the same over all items of the segment
        ("rank", pa.int64()),
    ]
)


def empty_state(user_id: str) -> dict[str, Any]:
    """State of a person nobody has seen: zero counts, empty histories, `as_of` null."""
    state = {name: list(value) if isinstance(value, tuple) else value for name, value in _EMPTY.items()}
    state["user_id"] = user_id
    return state


def _empty_value(field: pa.Field) -> Any:
    if field.name == "hour_counts":
        return (0,) * 24
    if pa.types.is_list(field.type):
        return ()
    if pa.types.is_integer(field.type):
        return 0
    return "" if pa.types.is_string(field.type) else None


_ROW = pa.struct(list(USER_STATE_SCHEMA))
# Once: asking every field for its type cost 40 µs a request.
_EMPTY = {field.name: _empty_value(field) for field in USER_STATE_SCHEMA}


def merge_live(state: Mapping[str, Any], events: Sequence[Interaction]) -> dict[str, Any]:
    """Fold events recorded after the state's cut into it, as `user_states` would at a later cut.

    Late and out-of-order events are accepted: everything kept is a sum, a minimum, a maximum or an
    ordered list. The losses: an item that had fallen off a history longer than HISTORY_LENGTH starts
    its counts anew; of late events, neither device and channel nor country is taken where one is known.
    `events` may come in any order; the input is left untouched.
    """
    merged = dict(state)
    ordered = sorted(events, key=lambda event: (event.occurred_ms, event.event_id))
    positive = [event for event in ordered if strength_of(event.event_type) > 0]
    _merge_totals(merged, ordered, positive)
    _merge_history(merged, [event for event in positive if event.item_id])
    _merge_recent(merged, [event for event in ordered if event.item_id and _is_telling(event)])
    return merged


def _is_telling(event: Interaction) -> bool:
    return strength_of(event.event_type) > 0 or event.event_type == "skip"


def _merge_totals(state: dict[str, Any], ordered: Sequence[Interaction], positive: Sequence[Interaction]) -> None:
    purchases = [event for event in positive if event.event_type == "purchase"]
    state["event_count"] += len(positive)
    state["view_count"] += sum(event.event_type in ("view", "click") for event in positive)
    state["cart_count"] += sum(event.event_type == "add_to_cart" for event in positive)
    state["purchase_count"] += len(purchases)
    state["skip_count"] += sum(event.event_type == "skip" for event in ordered)
    quantities = [1 if event.quantity is None else event.quantity for event in purchases]
    state["quantity_sum"] += sum(quantities)
    state["spend_micros"] += sum(q * (e.price_micros or 0) for q, e in zip(quantities, purchases, strict=True))
    # A late event says where the person was before, not where they are: it must not overwrite the latest.
    current = [event for event in ordered if event.occurred_ms >= state["last_ms"]]
    for event in current:
        state["device"] = event.device or state["device"]
        state["channel"] = event.channel or state["channel"]
    state["country"] = state["country"] or next((event.country for event in ordered if event.country), "")
    if positive:
        first = positive[0].occurred_ms
        state["first_ms"] = min(state["first_ms"], first) if state["first_ms"] else first
        state["last_ms"] = max(state["last_ms"], positive[-1].occurred_ms)
    if purchases:
        state["last_purchase_ms"] = max(state["last_purchase_ms"], purchases[-1].occurred_ms)
    hours = list(state["hour_counts"])
    for event in positive:
        hours[event.occurred_ms // 3_600_000 % 24] += 1
    state["hour_counts"] = hours
    days = {event.occurred_ms // DAY_MS for event in purchases} | set(state["purchase_days"])
    state["purchase_days"] = sorted(days, reverse=True)[:PURCHASE_DAYS_LENGTH]


def _merge_history(state: dict[str, Any], events: Iterable[Interaction]) -> None:
    names = ("strengths", "counts", "purchase_counts", "first_ms", "last_ms")
    columns = [state[f"history_{name}"] for name in names]
    rows = {item: list(row) for item, *row in zip(state["history_item_ids"], *columns, strict=True)}
    for event in events:
        assert event.item_id is not None
        at = event.occurred_ms
        row = rows.setdefault(event.item_id, [0, 0, 0, at, at])
        row[0] += strength_of(event.event_type)
        row[1] += 1
        row[2] += event.event_type == "purchase"
        row[3], row[4] = min(row[3], at), max(row[4], at)
    kept = sorted(rows.items(), key=lambda entry: (-entry[1][4], entry[0]))[:HISTORY_LENGTH]
    state["history_item_ids"] = [item for item, _ in kept]
    for position, name in enumerate(names):
        state[f"history_{name}"] = [row[position] for _, row in kept]


def _merge_recent(state: dict[str, Any], events: Sequence[Interaction]) -> None:
    stored = zip(state["recent_ms"], state["recent_item_ids"], state["recent_event_types"], strict=True)
    fresh = [(event.occurred_ms, event.item_id, event.event_type) for event in reversed(events)]
    # Stable: of two events in the same millisecond the fresh one stays in front of the stored one.
    together = sorted([*fresh, *stored], key=lambda entry: -entry[0])[:RECENT_LENGTH]
    state["recent_ms"] = [entry[0] for entry in together]
    state["recent_item_ids"] = [entry[1] for entry in together]
    state["recent_event_types"] = [entry[2] for entry in together]


@dataclass(frozen=True)
class UserStates:
    """A batch of user states, one row a user and moment; serving uses a batch of one."""

    table: pa.Table

    @classmethod
    def from_table(cls, table: pa.Table) -> UserStates:
        """Conform to USER_STATE_SCHEMA (order, types) and replace nulls by zero, "" and empty lists."""
        columns = []
        for field in USER_STATE_SCHEMA:
            column = table[field.name].combine_chunks()
            column = column.cast(field.type) if column.type != field.type else column
            if column.null_count and not pa.types.is_timestamp(field.type):
                column = _fill(column, field.type)
            columns.append(column)
        return cls(pa.Table.from_arrays(columns, schema=USER_STATE_SCHEMA))

    @classmethod
    def from_rows(cls, rows: Sequence[Mapping[str, Any]]) -> UserStates:
        """Build from row mappings, such as those of `merge_live`; missing columns are null."""
        # One conversion for the whole row: half the 160 µs that `Table.from_pylist` needs for its 27 columns.
        array = pa.array([dict(row) for row in rows], type=_ROW)
        return cls(pa.Table.from_batches([pa.RecordBatch.from_struct_array(array)], schema=USER_STATE_SCHEMA))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def user_ids(self) -> list[str]:
        return list(self.table["user_id"].to_pylist())

    def integers(self, name: str) -> npt.NDArray[np.int64]:
        """One int64 for each user."""
        return np.asarray(_one_chunk(self.table[name]).to_numpy(zero_copy_only=False), dtype=np.int64)

    def integers_of(self, names: Sequence[str]) -> npt.NDArray[np.int64]:
        """int64 (n_users, n_names), C-contiguous."""
        return np.ascontiguousarray(np.stack([self.integers(name) for name in names], axis=1))

    def texts(self, name: str) -> pa.StringArray:
        """One string for each user."""
        return _one_chunk(self.table[name])

    def offsets(self, name: str) -> npt.NDArray[np.int64]:
        """Offsets (n_users + 1) into the flat values of a list column, starting at 0."""
        array = _one_chunk(self.table[name])
        raw = array.offsets.to_numpy().astype(np.int64)
        return np.asarray(raw - raw[0])

    def flat(self, name: str) -> pa.Array:
        """Flat values of a list column over all users; cut by `offsets`."""
        array = _one_chunk(self.table[name])
        # A view: `flatten` goes through a compute kernel, twenty times slower for one user.
        start, stop = array.offsets[0].as_py(), array.offsets[-1].as_py()
        return array.values.slice(start, stop - start)

    def flat_integers(self, name: str) -> npt.NDArray[np.int64]:
        return np.asarray(self.flat(name).to_numpy(zero_copy_only=False), dtype=np.int64)

    def flat_integers_of(self, names: Sequence[str]) -> npt.NDArray[np.int64]:
        """Flat values of list columns of the same lengths: int64 (n_names, n)."""
        return np.stack([self.flat_integers(name) for name in names])

    def take(self, rows: npt.NDArray[np.int64]) -> UserStates:
        return UserStates(self.table.take(pa.array(rows)))

    def slice(self, start: int, length: int) -> UserStates:
        return UserStates(self.table.slice(start, length))


@dataclass(frozen=True)
class ItemTable:
    """Item states at one cut: row i is item index i everywhere (matrices, candidates, artefacts).

    `index`: item id → row, in the order of the rows.
    """

    table: pa.Table
    index: dict[str, int]
    _integers: dict[str, npt.NDArray[np.int64]] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @classmethod
    def from_table(cls, table: pa.Table) -> ItemTable:
        """Conform to ITEM_STATE_SCHEMA and sort by item_id, so that the same items get the same rows.

        Nulls become zero and ""; so does a column of texts or counts that an earlier version did not write.
        """
        ordered = table.take(pc.sort_indices(table, sort_keys=[("item_id", "ascending")]))
        columns = []
        for field in ITEM_STATE_SCHEMA:
            is_later = field.name not in ordered.column_names and not pa.types.is_timestamp(field.type)
            column = pa.nulls(len(ordered), field.type) if is_later else ordered[field.name].combine_chunks()
            column = column.cast(field.type) if column.type != field.type else column
            if column.null_count and not pa.types.is_timestamp(field.type):
                column = _fill(column, field.type)
            columns.append(column)
        conformed = pa.Table.from_arrays(columns, schema=ITEM_STATE_SCHEMA)
        return cls(conformed, {item: row for row, item in enumerate(conformed["item_id"].to_pylist())})

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def item_ids(self) -> pa.StringArray:
        return _one_chunk(self.table["item_id"])

    def positions(self, item_ids: pa.Array | Sequence[str]) -> npt.NDArray[np.int64]:
        """Item index of each id; −1 for an item that is not in this table."""
        if isinstance(item_ids, pa.Array | pa.ChunkedArray) and len(item_ids) > 4 * len(self.index):
            found = pc.index_in(item_ids, value_set=self.item_ids)
            return np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False), dtype=np.int64)
        names = item_ids.to_pylist() if isinstance(item_ids, pa.Array | pa.ChunkedArray) else item_ids
        return np.fromiter(map(self.index.get, names, repeat(-1)), dtype=np.int64, count=len(names))

    @cached_property
    def names(self) -> Sequence[str]:
        """The ids again, as texts by item index: hundreds are looked up for every decision's record."""
        return list(self.index)

    @cached_property
    def titles(self) -> pa.StringArray:
        """The titles by item index."""
        return _one_chunk(self.table["title"])

    @cached_property
    def newest_first(self) -> npt.NDArray[np.int64]:
        """Item indexes by `listed_ms`, the latest first, of equals the lower index."""
        return np.argsort(-self.integers("listed_ms"), kind="stable")

    def integers(self, name: str) -> npt.NDArray[np.int64]:
        """One int64 for each item, read-only; decoded once (for a catalogue of a million that takes milliseconds)."""
        found = self._integers.get(name)
        if found is None:
            found = np.asarray(self.table[name].combine_chunks().to_numpy(zero_copy_only=False), dtype=np.int64)
            found.flags.writeable = False
            self._integers[name] = found
        return found

    def codes(self, name: str) -> npt.NDArray[np.int32]:
        """A text column as codes by sorted distinct value; −1 for ""."""
        values = _one_chunk(self.table[name])
        distinct = sorted(set(values.to_pylist()) - {""})
        found = pc.index_in(values, value_set=pa.array(distinct, pa.string()))
        return np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False), dtype=np.int32)


@dataclass(frozen=True)
class Contexts:
    """The moment of each decision in a batch: one entry a user row of the batch."""

    at_ms: npt.NDArray[np.int64]
    placement: Sequence[str]
    device: Sequence[str]
    channel: Sequence[str]
    context_item_ids: Sequence[Sequence[str]]

    @classmethod
    def at(cls, at_ms: int | npt.NDArray[np.int64], n_users: int, placement: str = "home") -> Contexts:
        """The same bare moment for a whole batch: no device, no channel, no context items."""
        moments = np.broadcast_to(np.asarray(at_ms, dtype=np.int64), (n_users,))
        return cls(moments, [placement] * n_users, [""] * n_users, [""] * n_users, [()] * n_users)

    @classmethod
    def joined(cls, parts: Sequence[Contexts]) -> Contexts:
        """The moments of several batches, one behind the other."""
        return cls(
            np.concatenate([part.at_ms for part in parts]),
            [text for part in parts for text in part.placement],
            [text for part in parts for text in part.device],
            [text for part in parts for text in part.channel],
            [items for part in parts for items in part.context_item_ids],
        )

    def __len__(self) -> int:
        return len(self.at_ms)


def _one_chunk(column: pa.ChunkedArray) -> Any:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _fill(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_list(kind):
        return pa.array([[] if value is None else value for value in column.to_pylist()], type=kind)
    return pc.fill_null(column, "" if pa.types.is_string(kind) else 0)
