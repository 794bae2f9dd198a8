"""Measures that describe a whole mart in one row, for the suites to judge. Nothing is judged here.

Everything is a vectorised pass over projected columns; no mart is held whole in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recommender.errors import InputError, NotReadyError
from recommender.events import DAY_MS, DECISION_SCHEMA, EVENT_SCHEMA, strength_of
from recommender.states import HISTORY_LENGTH, ITEM_STATE_SCHEMA, RECENT_LENGTH, USER_STATE_SCHEMA
from recommender.workspace import Workspace

__all__ = ["Marts", "Measures", "baseline_of", "measure"]

Measures = dict[str, float | None]  # None: does not apply

_TEXT = pa.string()
SCHEMAS: dict[str, pa.Schema] = {
    "events": EVENT_SCHEMA,
    "items": pa.schema(
        [("item_id", _TEXT), ("title", _TEXT), ("price_micros", pa.int64()), ("is_available", pa.bool_())]
    ),
    "users": pa.schema([("user_id", _TEXT)]),
    "decisions": DECISION_SCHEMA,
    "user_states": USER_STATE_SCHEMA,
    "item_states": ITEM_STATE_SCHEMA,
}
KEYS = {
    "events": ("event_id",), "items": ("item_id",), "users": ("user_id",), "decisions": ("decision_id",),
    "user_states": ("user_id", "as_of"), "item_states": ("item_id", "as_of"),
}  # fmt: skip
REQUIRED = {
    **KEYS,
    "events": ("event_id", "user_id", "event_type", "occurred_at", "recorded_at"),
    "decisions": ("decision_id", "decided_at"),
}
_USUAL_SHARE = 0.01  # a type of event below this share of the history may come and go
_USUAL_COUNT = 100  # a type with this many events a fortnight is not absent for one by chance
_PAUSED = 0.25  # of the usual volume: below it the shop paused, or a live journal replaced a history
_ROUNDING = 1e-9  # propensities are products of float64
_VANISHED_TO = 0.05  # ... and one above it has vanished when it falls below this part of its former count


@dataclass(frozen=True)
class Marts:
    """The marts of a workspace, read by column."""

    workspace: Workspace

    def rows(self, name: str) -> int:
        return int(pq.read_metadata(self._path(name)).num_rows)

    def schema(self, name: str) -> pa.Schema:
        return pq.read_schema(self._path(name))

    def read(self, name: str, *columns: str) -> pa.Table:
        return pq.read_table(self._path(name), columns=list(columns))

    def has(self, name: str) -> bool:
        return self.workspace.mart(name).exists()

    def _path(self, name: str) -> str:
        path = self.workspace.mart(name)
        if not path.exists():
            raise NotReadyError(f"no mart `{name}` at {path}.", "the Parquet that dbt writes.", "run the data step.")
        return str(path)


def measure(marts: Marts, table: str, as_of_ms: int, baseline: Mapping[str, Any] | None) -> Measures:
    """Every measure of one table; `baseline` is `baseline_of` the last good run.

    Raises NotReadyError for a mart that is not there, InputError for one that lacks columns.
    """
    lacking = sorted(set(SCHEMAS[table].names) - set(marts.schema(table).names))
    if lacking:
        raise InputError(
            f"the mart `{table}` without {', '.join(lacking)}.",
            "its contracted columns.",
            "rebuild the marts with dbt.",
        )
    return {**_common(marts, table, baseline), **_SPECIAL[table](marts, as_of_ms, baseline)}


def baseline_of(marts: Marts, table: str) -> dict[str, Any]:
    """What later runs compare a table with, JSON-able."""
    kept: dict[str, Any] = {"rows": marts.rows(table)}
    if table in ("events", "items"):
        kept["median_price"] = _median_price(marts, table)
    if table == "events":
        kept["types"] = _type_counts(marts)
        kept["known_item_share"] = _naming(marts)["known_item_share"]
    return kept


def _common(marts: Marts, table: str, baseline: Mapping[str, Any] | None) -> Measures:
    rows, found = marts.rows(table), marts.schema(table)
    required = marts.read(table, *REQUIRED[table])
    before = (baseline or {}).get("rows")
    return {
        "rows": rows,
        "mistyped_columns": sum(not _same(found.field(field.name).type, field.type) for field in SCHEMAS[table]),
        "missing_required": sum(column.null_count for column in required.columns),
        "duplicate_keys": rows - required.select(KEYS[table]).group_by(list(KEYS[table])).aggregate([]).num_rows,
        "rows_to_baseline": rows / before if before else None,
    }


def _same(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Equal but for the names of list entries and the width of string offsets."""
    if pa.types.is_list(wanted) and (pa.types.is_list(found) or pa.types.is_large_list(found)):
        return _same(found.value_type, wanted.value_type)
    if pa.types.is_string(wanted):
        return bool(pa.types.is_string(found) or pa.types.is_large_string(found))
    return bool(found == wanted)


def _events(marts: Marts, as_of_ms: int, baseline: Mapping[str, Any] | None) -> Measures:
    times = marts.read("events", "occurred_at", "recorded_at")
    occurred, recorded = (_ms(times[name]) for name in times.column_names)
    types = _type_counts(marts)
    total = sum(types.values())
    naming = _naming(marts)
    dead = marts.rows("dead_letters") if marts.has("dead_letters") else 0
    repeated = _dropped_duplicates(marts)
    days = np.unique(occurred // DAY_MS)
    return {
        "future_rows": int(((recorded >= as_of_ms) | (occurred >= as_of_ms)).sum()),
        "newest_age_days": (as_of_ms - int(recorded.max())) / DAY_MS if len(recorded) else None,
        "largest_gap_days": int(np.diff(days).max()) if len(days) > 1 else 0,
        "occurred_after_recorded_share": _share(int((occurred > recorded).sum()), len(times)),
        "positive_share": _share(sum(n for t, n in types.items() if strength_of(t) > 0), total),
        "vanished_types": _vanished(types, (baseline or {}).get("types")),
        "silent_types": _silent(marts, recorded, as_of_ms),
        "duplicate_share": _share(repeated, repeated + len(times)),
        "dead_letter_share": _share(dead, dead + len(times)),
        **naming,
        "known_to_baseline": _ratio(naming["known_item_share"], (baseline or {}).get("known_item_share")),
        **_prices(marts, baseline),
    }


def _dropped_duplicates(marts: Marts) -> int:
    """Events that the funnel of `source_counts` dropped because they were there already."""
    if not marts.has("source_counts"):
        return 0
    steps = marts.read("source_counts", "step", "table_name", "dropped_count")
    repeated = pc.and_(pc.match_substring(steps["step"], "duplicate"), pc.equal(steps["table_name"], "events"))
    return int(pc.sum(steps["dropped_count"].filter(repeated)).as_py() or 0)


def _type_counts(marts: Marts) -> dict[str, int]:
    counted = pc.value_counts(marts.read("events", "event_type")["event_type"].drop_null())
    return {entry["values"]: entry["counts"] for entry in counted.to_pylist()}


def _vanished(types: Mapping[str, int], before: Mapping[str, int] | None) -> float | None:
    if not before:
        return None
    usual = _USUAL_SHARE * sum(before.values())
    return sum(types.get(name, 0) < _VANISHED_TO * count for name, count in before.items() if count >= usual)


def _silent(marts: Marts, recorded: npt.NDArray[np.int64], as_of_ms: int) -> float | None:
    """Positive types, usual in the four weeks before the last two and absent since; None when the shop paused.

    Impressions and skips may stop rightly: where nextbest decides, they arrive as decisions.
    """
    kinds = marts.read("events", "event_type")["event_type"].combine_chunks().dictionary_encode()
    codes = np.asarray(pc.fill_null(kinds.indices, len(kinds.dictionary)).to_numpy(), dtype=np.int64)
    fortnight = (as_of_ms - 1 - recorded) // (14 * DAY_MS)  # 0: the last fourteen days
    now = np.bincount(codes[fortnight == 0], minlength=len(kinds.dictionary) + 1)[:-1]
    usual = np.bincount(codes[(fortnight == 1) | (fortnight == 2)], minlength=len(kinds.dictionary) + 1)[:-1] / 2
    positive = np.array([strength_of(name) > 0 for name in kinds.dictionary.to_pylist()], dtype=bool)
    now, usual = now[positive], usual[positive]
    return int(((usual >= _USUAL_COUNT) & (now == 0)).sum()) if now.sum() >= _PAUSED * usual.sum() else None


def _naming(marts: Marts) -> Measures:
    """How many events name an item, and how many of those name one that the catalogue describes.

    The mart `items` lists every item that events name; those that no catalogue knows have nothing but an id.
    """
    named = marts.read("events", "item_id")["item_id"]
    items = marts.read("items", *(name for name in marts.schema("items").names if name != "created_at"))
    described = np.zeros(items.num_rows, dtype=bool)
    for name in set(items.column_names) - {"item_id"}:
        described |= items[name].is_valid().to_numpy()
    known = items["item_id"].filter(pa.array(described)).combine_chunks()
    present = named.drop_null()
    found = pc.sum(pc.is_in(present, value_set=known)).as_py() or 0
    return {
        "item_named_share": _share(len(present), len(named)),
        "known_item_share": _share(found, len(present)) if len(known) else None,
    }


def _prices(marts: Marts, baseline: Mapping[str, Any] | None) -> Measures:
    """Median price paid against the catalogue's price of the same items, and against the previous run."""
    paid = marts.read("events", "item_id", "price_micros").drop_null()
    items = marts.read("items", "item_id", "price_micros").drop_null()
    place = pc.index_in(paid["item_id"], value_set=items["item_id"].combine_chunks())
    priced = place.is_valid()
    listed = items["price_micros"].take(place.filter(priced).combine_chunks()).to_numpy().astype(np.float64)
    actual = paid["price_micros"].filter(priced).to_numpy().astype(np.float64)
    both = (listed > 0) & (actual > 0)
    return {
        "price_to_catalogue": float(np.median(actual[both] / listed[both])) if both.any() else None,
        "price_to_baseline": _ratio(_median_price(marts, "events"), (baseline or {}).get("median_price")),
    }


def _items(marts: Marts, as_of_ms: int, baseline: Mapping[str, Any] | None) -> Measures:
    available = marts.read("items", "is_available")["is_available"]
    for_sale = len(available) - (pc.sum(pc.equal(available, False)).as_py() or 0)  # null: unknown, so for sale
    return {
        "available_share": _share(for_sale, len(available)),
        "price_to_baseline": _ratio(_median_price(marts, "items"), (baseline or {}).get("median_price")),
    }


def _median_price(marts: Marts, table: str) -> float | None:
    prices = marts.read(table, "price_micros")["price_micros"].drop_null().to_numpy()
    return float(np.median(prices[prices > 0])) if (prices > 0).any() else None


def _decisions(marts: Marts, as_of_ms: int, baseline: Mapping[str, Any] | None) -> Measures:
    slates = ("slate_item_ids", "slate_scores", "slate_sources", "slate_propensities")
    candidates = ("candidate_item_ids", "candidate_scores", "candidate_sources")
    table = marts.read("decisions", "decided_at", *slates, *candidates)
    propensities = pc.list_flatten(table["slate_propensities"]).to_numpy()
    return {
        "future_rows": int((_ms(table["decided_at"]) >= as_of_ms).sum()),
        "empty_slate_share": _share(int((_lengths(table["slate_item_ids"]) == 0).sum()), table.num_rows),
        "broken_propensities": int((~((propensities > 0) & (propensities <= 1 + _ROUNDING))).sum()),
        "uneven_lists": _uneven(table, slates) + _uneven(table, candidates),
    }


def _user_states(marts: Marts, as_of_ms: int, baseline: Mapping[str, Any] | None) -> Measures:
    history = tuple(name for name in USER_STATE_SCHEMA.names if name.startswith("history_"))
    recent = tuple(name for name in USER_STATE_SCHEMA.names if name.startswith("recent_"))
    lists = marts.read("user_states", "hour_counts", *history, *recent)
    counts = marts.read("user_states", "as_of", "as_of_ms", "last_ms", "event_count", "purchase_count", "created_at")
    cuts, stated, last, events, purchases, created = (_ms(column) for column in counts.columns)
    long = (_lengths(lists[history[0]]) > HISTORY_LENGTH) | (_lengths(lists[recent[0]]) > RECENT_LENGTH)
    not_hourly = int((_lengths(lists["hour_counts"]) != 24).sum())
    return {
        "misplaced_cuts": int(((cuts != stated) | (created < cuts)).sum()),
        "serving_rows": int((cuts == as_of_ms).sum()),
        "events_after_cut": int((last >= cuts).sum()),
        "uneven_lists": _uneven(lists, history) + _uneven(lists, recent) + not_hourly,
        "long_lists": int(long.sum()),
        "impossible_counts": int((purchases > events).sum()),
    }


def _item_states(marts: Marts, as_of_ms: int, baseline: Mapping[str, Any] | None) -> Measures:
    windows = ("event_count_1d", "event_count_7d", "event_count_28d", "event_count")
    bought = ("purchase_count_7d", "purchase_count_28d", "purchase_count", "event_count")
    table = marts.read("item_states", "as_of", "created_at", "last_ms", *windows, *bought[:-1])
    value = {name: _ms(table[name]) for name in table.column_names}
    pairs = [*pairwise(windows), *pairwise(bought)]
    return {
        "misplaced_cuts": int((value["created_at"] < value["as_of"]).sum()),
        "serving_rows": int((value["as_of"] == as_of_ms).sum()),
        "events_after_cut": int((value["last_ms"] >= value["as_of"]).sum()),
        "impossible_counts": sum(int((value[part] > value[whole]).sum()) for part, whole in pairs),
    }


_SPECIAL: dict[str, Callable[[Marts, int, Mapping[str, Any] | None], Measures]] = {
    "events": _events,
    "items": _items,
    "users": lambda marts, as_of_ms, baseline: {},
    "decisions": _decisions,
    "user_states": _user_states,
    "item_states": _item_states,
}


def _ms(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Times as milliseconds, integers as they are; nulls become 0."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("ms", tz=column.type.tz), safe=False).cast(pa.int64())
    return np.asarray(pc.fill_null(column, 0).to_numpy(), dtype=np.int64)


def _lengths(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    return np.asarray(pc.fill_null(pc.list_value_length(column), 0).to_numpy(), dtype=np.int64)


def _uneven(table: pa.Table, names: tuple[str, ...]) -> int:
    """Rows whose parallel lists differ in length."""
    first = _lengths(table[names[0]])
    uneven = np.zeros(len(first), dtype=bool)
    for name in names[1:]:
        uneven |= _lengths(table[name]) != first
    return int(uneven.sum())


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _ratio(now: float | None, before: float | None) -> float | None:
    return now / before if now and before else None
