"""`nextbest doctor`: why events do not count, in sentences. It only reads: marts, and the journal since.

Each finding names what was found, how often, and what to do; the figures come from `event_health`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from orchestration.event_health import LATE_DAYS, add_up, health_of, read_health
from orchestration.nearest_ids import nearest_ids
from recommender.events import EVENT_STRENGTHS
from recommender.workspace import Workspace
from services.dead_letters import waiting_reasons
from services.event_names import EVENT_TYPES
from services.journal_export import unlanded_events
from services.keys import list_keys

__all__ = ["Finding", "diagnose"]

_MOST_UNLANDED = 1_000_000  # events read from the journal: about 1 GB of rows
_EXAMPLES = 5  # unlisted ids that are compared with the catalogue
_SHARE = 0.05  # of a kind of event, from which on a field that is left out is worth a word
_SILENT_DAYS = 7
_REASONS = 10  # of dead letters; names and types in them are the sender's, so there may be as many as letters
# Of Segment's specifications, without a weight of their own: kept, and known to everybody.
_ORDINARY = frozenset({"page", "screen", "group", "identify"})
_COUNTING = ("view", "click", "add_to_cart", "purchase", "like", "bookmark", "rating")
Row = dict[str, Any]


@dataclass(frozen=True)
class Finding:
    """One reason why events do not count, or count for less."""

    subject: str
    sentence: str
    count: int
    remedy: str


def diagnose(workspace: Workspace) -> dict[str, Any]:
    """All findings, the most frequent first within their subject, and what they rest on."""
    marts = read_health(workspace)
    fresh = unlanded_events(workspace, _MOST_UNLANDED)
    listed = _listed(workspace)
    parts = [health_of(fresh, listed)] if fresh.num_rows else []
    health = add_up([*parts, *([] if marts is None else [marts])]) if parts or marts is not None else None
    rows = [] if health is None else health.to_pylist()
    findings = [
        *_events(workspace, rows, fresh, listed),
        *_letters(workspace),
        *_decisions(workspace),
        *_keys(workspace),
    ]
    return {
        "events": sum(row["event_count"] for row in rows),
        "not landed yet": fresh.num_rows,
        "last event by kind": {row["event_type"]: row["last_occurred_at"] for row in _by_type(rows)},
        "findings": [asdict(finding) for finding in findings],
    }


def _listed(workspace: Workspace) -> pa.Array:
    """The ids of the catalogue: all items, without those that only events name."""
    if not workspace.mart("items").exists():
        return pa.array([], pa.string())
    items = pq.read_table(workspace.mart("items"), columns=["item_id"])["item_id"].combine_chunks()
    unlisted = workspace.mart("unlisted_items")
    if not unlisted.exists():
        return items
    return items.filter(pc.invert(pc.is_in(items, value_set=_ids(unlisted))))


def _ids(path: Any) -> pa.Array:
    return pq.read_table(path, columns=["item_id"])["item_id"].combine_chunks()


def _events(workspace: Workspace, rows: list[Row], fresh: pa.Table, listed: pa.Array) -> Iterator[Finding]:
    if not rows:
        yield Finding("events", "There are no events.", 0, "Send some to /v1/batch, or land a source: `nextbest run`.")
        return
    kinds = _by_type(rows)
    yield from _catalogue(workspace, kinds, fresh, listed)
    yield from _names(kinds)
    yield from _people(kinds)
    yield from _left_out(rows)
    yield from _times(kinds)


def _catalogue(workspace: Workspace, kinds: list[Row], fresh: pa.Table, listed: pa.Array) -> Iterator[Finding]:
    if not len(listed):
        named = sum(row["named_count"] for row in kinds)
        told = f"{named:,} events name items, and there is no catalogue: titles, prices and filters are missing."
        yield Finding("catalogue", told, named, "Add `items` to the source, or send rows to /v1/items.")
        return
    missing = sorted((row for row in kinds if row["unlisted_count"]), key=lambda row: -row["unlisted_count"])
    if not missing:
        return
    counts = _unlisted_counts(workspace, fresh, listed)
    nearest = nearest_ids(list(counts), listed)
    shown = [
        f"{item_id} ({count:,}×{f', nearest: {nearest[item_id]}' if item_id in nearest else ', nothing is near'})"
        for item_id, count in counts.items()
    ]
    remedy = f"Send these ids as the catalogue has them, or add them to it. The most frequent: {', '.join(shown)}."
    for row in missing:
        named = f"{row['unlisted_count']:,} of {row['event_count']:,} `{row['event_type']}` events"
        told = f"{named} name items that are not in the catalogue."
        yield Finding("catalogue", told, row["unlisted_count"], remedy)


def _unlisted_counts(workspace: Workspace, fresh: pa.Table, listed: pa.Array) -> dict[str, int]:
    """The most frequent ids without a row in the catalogue, landed or not."""
    new = fresh["item_id"].drop_null()
    parts = [pa.table({"item_id": new.filter(pc.invert(pc.is_in(new, value_set=listed)))})]
    parts = [parts[0].append_column("event_count", pa.array([1] * parts[0].num_rows, pa.int64()))]
    if workspace.mart("unlisted_items").exists():
        parts.append(pq.read_table(workspace.mart("unlisted_items"), columns=["item_id", "event_count"]))
    counted = pa.concat_tables(parts).group_by("item_id").aggregate([("event_count", "sum")])
    first = counted.sort_by([("event_count_sum", "descending"), ("item_id", "ascending")])[:_EXAMPLES]
    return {row["item_id"]: row["event_count_sum"] for row in first.to_pylist()}


def _names(kinds: list[Row]) -> Iterator[Finding]:
    meant_by = {**EVENT_TYPES, **{name: name for name in EVENT_STRENGTHS}}
    for row in kinds:
        name = row["event_type"]
        if name in EVENT_STRENGTHS or name in _ORDINARY or name.startswith("email_"):
            continue
        near = difflib.get_close_matches(name, meant_by, 1, cutoff=0.75)
        if near:
            told = f"{row['event_count']:,} events are called `{name}`, which is nobody's name and near to `{near[0]}`."
            remedy = f"Send them as `{near[0]}` if that is meant: it counts as `{meant_by[near[0]]}`."
            yield Finding("names", told, row["event_count"], remedy)
        elif row["named_count"] == 0:
            told = f"{row['event_count']:,} `{name}` events are kept, but name no item: they say nothing about a taste."
            yield Finding("names", told, row["event_count"], "Add product_id where they are about one item.")


def _people(kinds: list[Row]) -> Iterator[Finding]:
    nameless = sum(row["anonymous_count"] for row in kinds)
    if nameless:
        told = f"{nameless:,} of {_total(kinds):,} events belong to people who were never identified."
        remedy = "Send `identify` with userId and anonymousId when somebody signs in: the earlier events follow."
        yield Finding("people", told, nameless, remedy)


def _left_out(rows: list[Row]) -> Iterator[Finding]:
    """Fields that would make an event count for more, where a share of them is missing."""
    recorded = _by_type([row for row in rows if row["origin"] == "journal"])
    kinds = {row["event_type"]: row for row in _by_type(rows)}
    own = {row["event_type"]: row for row in recorded}
    looks: list[tuple[dict[str, Row], str, str, str, str]] = [
        (kinds, "purchase", "unpriced_count", "price", "Without it revenue and price affinity are unknown."),
        (kinds, "purchase", "uncounted_count", "quantity", "Without it one piece is assumed."),
        (own, "impression", "undecided_count", "decision_id", "Without it what was shown teaches nothing."),
        (own, "click", "undecided_count", "decision_id", "Without it a click is no outcome of what was shown."),
        (own, "impression", "unplaced_count", "placement", "Without it placements cannot be told apart."),
    ]
    for table, name, column, field, why in looks:
        row = table.get(name)
        if row is not None and row[column] > _SHARE * row["event_count"]:
            told = f"{row[column]:,} of {row['event_count']:,} `{name}` events carry no {field}."
            yield Finding("fields", told, row[column], f"Send properties.{field}. {why}")


def _times(kinds: list[Row]) -> Iterator[Finding]:
    for row in kinds:
        if row["late_count"]:
            named = f"{row['late_count']:,} `{row['event_type']}` events"
            told = f"{named} came more than {LATE_DAYS} days after they happened."
            remedy = "They count from the moment they came. If that is wrong, look at the clocks: send sentAt."
            yield Finding("times", told, row["late_count"], remedy)
    newest = max(row["last_occurred_at"] for row in kinds)
    for row in kinds:
        silent = newest - row["last_occurred_at"]
        if row["event_type"] in _COUNTING and silent.days >= _SILENT_DAYS and _was_frequent(row, silent):
            told = f"No `{row['event_type']}` event for {silent.days} days; {row['event_count']:,} came before."
            yield Finding("times", told, row["event_count"], "Look whether the client still sends them.")


def _was_frequent(row: Row, silent: Any) -> bool:
    """Whether ten times the usual gap has passed."""
    usual = (row["last_occurred_at"] - row["first_occurred_at"]) / max(row["event_count"] - 1, 1)
    return bool(silent > 10 * usual)


def _letters(workspace: Workspace) -> Iterator[Finding]:
    reasons = list(waiting_reasons(workspace).items())
    remedy = "`nextbest dead-letters list`; corrected ones can be replayed."
    for reason, count in reasons[:_REASONS]:
        yield Finding("dead letters", f"{_dead_letters(count)}: {reason}.", count, remedy)
    if rarer := reasons[_REASONS:]:
        count = sum(count for _, count in rarer)
        told = f"{_dead_letters(count)} for {len(rarer):,} rarer reasons."
        yield Finding("dead letters", told, count, "`nextbest dead-letters list --json` has them all.")


def _dead_letters(count: int) -> str:
    return f"{count:,} dead letter{'' if count == 1 else 's'}"


def _decisions(workspace: Workspace) -> Iterator[Finding]:
    if not (workspace.mart("decisions").exists() and workspace.journal_events.exists()):
        return
    made = pq.read_table(workspace.mart("decisions"), columns=["decision_id"])["decision_id"]
    if not len(made):
        return
    named = pq.read_table(workspace.journal_events, columns=["decision_id"])["decision_id"].drop_null()
    without = len(made) - pc.sum(pc.is_in(made, value_set=pc.unique(named))).as_py()
    if without > (1 - _SHARE) * len(made):
        told = f"{without:,} of {len(made):,} decisions are named by no event: nothing is learned from what was shown."
        remedy = "Send the answer's decision_id in the properties of `Product List Viewed`, clicks and orders."
        yield Finding("decisions", told, without, remedy)


def _keys(workspace: Workspace) -> Iterator[Finding]:
    roles = {str(key["role"]) for key in list_keys(workspace) if not key.get("revoked_at")}
    if roles and not roles & {"write", "admin"}:
        told = "Keys exist, but none may write: every event is answered 401."
        yield Finding("keys", told, 0, "`nextbest keys create --role write`.")


def _by_type(rows: list[Row]) -> list[Row]:
    """Rows of all origins as one for each kind, in order of their names."""
    kinds: dict[str, Row] = {}
    merged: dict[str, Callable[[Any, Any], Any]] = {"first_occurred_at": min, "last_occurred_at": max}
    for row in rows:
        seen = kinds.get(row["event_type"])
        if seen is None:
            kinds[row["event_type"]] = dict(row)
            continue
        for name, value in row.items():
            if isinstance(value, int | datetime):
                seen[name] = merged.get(name, lambda a, b: a + b)(seen[name], value)
    return [kinds[name] for name in sorted(kinds)]


def _total(kinds: list[Row]) -> int:
    return sum(row["event_count"] for row in kinds)
