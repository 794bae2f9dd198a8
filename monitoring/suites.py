"""What is expected of the marts, with the reason for each limit: the suites as data. Nothing is measured or run here.

A suite has two halves. Measures describe a whole table in one row (volume, freshness, shares, comparison with
the previous run): row-level expectations pass on an empty batch and ignore nulls, and alone stopped only 6 of
16 poisoned batches. Row expectations then look at a sample of rows, and show examples in the Data Docs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from recommender.states import HISTORY_LENGTH, RECENT_LENGTH

__all__ = ["ROW_EXPECTATIONS", "SUITES", "Limit", "Limits", "suite"]


@dataclass(frozen=True)
class Limit:
    """An accepted range, both ends included; None leaves an end open. `reason` is shown to people."""

    low: float | None
    high: float | None
    reason: str


@dataclass(frozen=True)
class Limits:
    """Limits by measure. Wide on purpose: they stop what would spoil training, not what is merely unusual."""

    rows: Limit = Limit(1, None, "an empty table teaches nothing and passes every row-level test")
    missing_required: Limit = Limit(0, 0, "ids, types and times carry everything else")
    mistyped_columns: Limit = Limit(0, 0, "every reader relies on the mart's types")
    duplicate_keys: Limit = Limit(0, 0, "a repeated row counts twice in every feature")
    rows_to_baseline: Limit = Limit(0.5, None, "history only grows; half of it gone is a broken load")
    future_rows: Limit = Limit(0, 0, "what lies at or after the cut leaks into training")
    newest_age_days: Limit = Limit(
        0, 14, "older data describe another season; online_retail closes 12 days for Christmas"
    )
    largest_gap_days: Limit = Limit(
        0, 366, "no shop rests a year; a lone timestamp in 1970 or 2099 moves the cut with it"
    )
    occurred_after_recorded_share: Limit = Limit(
        0, 0.01, "an event cannot be known before it happens; clocks skew a little"
    )
    item_named_share: Limit = Limit(0.05, None, "page views need no item, but without items nothing can be ranked")
    known_item_share: Limit = Limit(
        0.02, None, "a catalogue may describe a few items only; ids that hardly ever match are another system's"
    )
    known_to_baseline: Limit = Limit(0.5, None, "items may retire from a catalogue, not half of what people touch")
    positive_share: Limit = Limit(
        0.0005, None, "labels: even banner logs see 5 clicks in 10,000; purchase-only shops have 1"
    )
    vanished_types: Limit = Limit(0, 0, "a kind of event that held 1 % of the history is gone from it")
    silent_types: Limit = Limit(0, 0, "a usual kind of event absent for two weeks means broken tracking")
    price_to_catalogue: Limit = Limit(0.1, 10, "discounts and units vary, a factor of ten is another currency unit")
    price_to_baseline: Limit = Limit(0.1, 10, "the median price of a whole history does not move tenfold between runs")
    dead_letter_share: Limit = Limit(None, 0.2, "rows that do not parse: a fifth lost is a changed format, not noise")
    duplicate_share: Limit = Limit(
        None, 0.6, "a load delivered twice repeats half its ids; more means that ids collide"
    )
    available_share: Limit = Limit(0.001, None, "nothing can be recommended when nothing is for sale")
    empty_slate_share: Limit = Limit(0, 0.5, "a filter may leave nothing to show, not for every other request")
    broken_propensities: Limit = Limit(0, 0, "off-policy estimates divide by them: each lies in (0, 1]")
    uneven_lists: Limit = Limit(0, 0, "lists of one row run in parallel")
    long_lists: Limit = Limit(0, 0, f"states keep {HISTORY_LENGTH} items and {RECENT_LENGTH} recent events at most")
    events_after_cut: Limit = Limit(0, 0, "a state that knows an event after its cut leaks")
    misplaced_cuts: Limit = Limit(0, 0, "as_of_ms repeats as_of, and no row is created before its cut")
    serving_rows: Limit = Limit(1, None, "the online store is filled from the serving cut")
    impossible_counts: Limit = Limit(0, 0, "a part (a window, a kind of event) never exceeds the whole")


# Table → its measures. A measure that does not apply (no prices, no previous run) is left out of the run.
SUITES: dict[str, tuple[str, ...]] = {
    "events": (
        "rows", "mistyped_columns", "missing_required", "duplicate_keys", "rows_to_baseline", "future_rows",
        "newest_age_days", "largest_gap_days", "occurred_after_recorded_share", "item_named_share",
        "known_item_share", "known_to_baseline", "positive_share", "vanished_types", "silent_types",
        "price_to_catalogue", "price_to_baseline", "dead_letter_share", "duplicate_share",
    ),
    "items": (
        "rows", "mistyped_columns", "missing_required", "duplicate_keys", "rows_to_baseline", "available_share",
        "price_to_baseline",
    ),
    "users": ("mistyped_columns", "missing_required", "duplicate_keys", "rows_to_baseline"),
    "decisions": (
        "mistyped_columns", "missing_required", "duplicate_keys", "rows_to_baseline", "future_rows",
        "empty_slate_share", "broken_propensities", "uneven_lists",
    ),
    "user_states": (
        "rows", "mistyped_columns", "missing_required", "duplicate_keys", "misplaced_cuts", "serving_rows",
        "events_after_cut", "uneven_lists", "long_lists", "impossible_counts",
    ),
    "item_states": (
        "rows", "mistyped_columns", "missing_required", "duplicate_keys", "misplaced_cuts", "serving_rows",
        "events_after_cut", "impossible_counts",
    ),
}  # fmt: skip

_ID: dict[str, Any] = {"min_value": 1, "max_value": 512}
_AMOUNT: dict[str, Any] = {"min_value": 0, "max_value": 10**15}  # micros: a thousand million of the currency
_COUNT: dict[str, Any] = {"min_value": 0}

# Table → (Great Expectations class, column, arguments), on a sample of rows; nulls are the measures' business.
ROW_EXPECTATIONS: dict[str, tuple[tuple[str, str, dict[str, Any]], ...]] = {
    "events": (
        ("ExpectColumnValueLengthsToBeBetween", "event_id", _ID),
        ("ExpectColumnValueLengthsToBeBetween", "user_id", _ID),
        ("ExpectColumnValueLengthsToBeBetween", "item_id", _ID),
        ("ExpectColumnValuesToMatchRegex", "event_type", {"regex": r"^(?!.*[A-Z])[^\W_][\w.:-]{0,63}$"}),
        ("ExpectColumnValuesToBeBetween", "price_micros", _AMOUNT),
        ("ExpectColumnValuesToBeBetween", "position", _COUNT),
    ),
    "items": (
        ("ExpectColumnValueLengthsToBeBetween", "item_id", _ID),
        ("ExpectColumnValuesToBeBetween", "price_micros", _AMOUNT),
    ),
    "users": (("ExpectColumnValueLengthsToBeBetween", "user_id", _ID),),
    "decisions": (
        ("ExpectColumnValueLengthsToBeBetween", "decision_id", _ID),
        ("ExpectColumnValueLengthsToBeBetween", "placement", _ID),
    ),
    "user_states": (
        ("ExpectColumnValueLengthsToBeBetween", "user_id", _ID),
        ("ExpectColumnValuesToBeBetween", "event_count", _COUNT),
        ("ExpectColumnValuesToBeBetween", "spend_micros", _COUNT),
    ),
    "item_states": (
        ("ExpectColumnValueLengthsToBeBetween", "item_id", _ID),
        ("ExpectColumnValuesToBeBetween", "price_micros", _AMOUNT),
        ("ExpectColumnValuesToBeInSet", "is_available", {"value_set": [0, 1]}),
        ("ExpectColumnValuesToBeBetween", "popularity_micros", _COUNT),
    ),
}


def suite(table: str, limits: Limits) -> dict[str, Limit]:
    """Measure → limit of one table."""
    return {measure: getattr(limits, measure) for measure in SUITES[table]}
