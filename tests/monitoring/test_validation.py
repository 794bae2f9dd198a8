"""The gate before training: a clean shop passes, and each way of poisoning it is stopped with a sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from monitoring.gx import Batch, Check, run_checks
from monitoring.validation import Failure, ValidationResult, validate
from recommender.errors import InputError, IntegrityError, NotReadyError
from recommender.events import DAY_MS, DEAD_LETTER_SCHEMA, DECISION_SCHEMA, EVENT_SCHEMA
from recommender.simulation import SimulationConfig, simulate
from recommender.workspace import Workspace

pytestmark = pytest.mark.slow  # importing Great Expectations takes 4 to 9 s

CONFIG = SimulationConfig(users=300, items=80, days=42)
AS_OF = CONFIG.end_ms
Marts = dict[str, pa.Table]


def micros(prices: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.cast(pc.round(pc.multiply(prices.cast(pa.float64()), 1e6)), pa.int64())


@pytest.fixture(scope="module")
def shop() -> Marts:
    """The simulated shop in the columns of the marts."""
    made = simulate(CONFIG, seed=3)
    whole = made.events.slice(made.events.num_rows % 10)  # so that tenths of it are whole numbers
    events = whole.append_column("price_micros", micros(whole["price"]))
    events = events.append_column("recorded_at", events["occurred_at"])
    events = events.append_column("origin", pa.array(["tables"] * events.num_rows))
    items = made.items.append_column("price_micros", micros(made.items["price"]))
    items = items.append_column("is_available", items["available"].cast(pa.bool_()))
    kept = ["item_id", "title", "description", "category", "brand", "tags", "price_micros", "is_available"]
    return {
        "events": events.select(EVENT_SCHEMA.names).cast(EVENT_SCHEMA),
        "items": items.select(kept),
        "users": made.users,
        "decisions": DECISION_SCHEMA.empty_table(),
        "dead_letters": DEAD_LETTER_SCHEMA.empty_table(),
    }


def written(marts: Marts, root: Path) -> Workspace:
    workspace = Workspace(root)
    workspace.marts.mkdir(parents=True, exist_ok=True)
    for name, table in marts.items():
        pq.write_table(table, workspace.mart(name))
    return workspace


@pytest.fixture(scope="module")
def validated(shop: Marts, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, ValidationResult]:
    """A workspace after one good run: what later runs are compared with."""
    workspace = written(shop, tmp_path_factory.mktemp("validated"))
    return workspace, validate(workspace, AS_OF)


def test_a_clean_shop_passes_every_expectation(validated, shop):
    _, result = validated
    assert result.failures == ()
    assert result.success
    assert result.rows["events"] == shop["events"].num_rows
    assert result.expectations > 30


def test_the_measures_are_what_one_counts_by_hand(validated, shop):
    _, result = validated
    measured, types = result.measures["events"], shop["events"]["event_type"].to_pylist()
    silent = sum(name in ("impression", "skip", "dislike", "remove_from_cart", "refund") for name in types)
    assert measured["positive_share"] == (len(types) - silent) / len(types)
    newest = pc.max(shop["events"]["recorded_at"]).cast(pa.int64()).as_py()
    assert measured["newest_age_days"] == (AS_OF - newest) / DAY_MS
    assert measured["known_item_share"] == 1.0
    assert measured["vanished_types"] is None  # nothing to compare with on the first run


def test_the_data_docs_list_every_check_and_load_nothing(validated):
    _, result = validated
    index = result.docs_path.read_text(encoding="utf-8")
    assert f"all {result.expectations} checks passed" in index
    assert index.count("<tr") == result.expectations + 1  # and the heading
    pages = list(result.docs_path.parent.rglob("*.html"))
    linked = {result.docs_path.parent / link for link in re.findall(r'href="([^"]+)"', index)}
    assert linked <= set(pages)
    assert len(linked) == 4 + 3  # measures of four tables, rows of the three that have any
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert "<script" not in text
        assert not re.search(r"""<(?:link|img)[^>]+https?:|url\(["']?https?:""", text)


def test_the_same_shop_a_week_later_passes_against_its_own_baseline(validated, shop, tmp_path):
    workspace = copied(validated, tmp_path)
    result = validate(workspace, AS_OF + 7 * DAY_MS)
    assert result.failures == ()
    assert result.measures["events"]["rows_to_baseline"] == 1.0
    assert result.measures["events"]["vanished_types"] == 0


def copied(validated: tuple[Workspace, ValidationResult], root: Path) -> Workspace:
    import shutil

    source, _ = validated
    shutil.copytree(source.marts, root / "marts")
    shutil.copytree(source.monitoring, root / "monitoring")
    return Workspace(root)


def with_column(table: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.set_column(place, table.schema.field(place), values)


def later(table: pa.Table, ms: int, share: float = 1.0) -> pa.Table:
    """Both times of the last `share` of the events moved by `ms`."""
    moved = np.zeros(table.num_rows, np.int64)
    moved[int(table.num_rows * (1 - share)) :] = ms
    for name in ("occurred_at", "recorded_at"):
        times = pc.add(table[name].cast(pa.int64()), pa.array(moved)).cast(pa.timestamp("ms"))
        table = with_column(table, name, times)
    return table


def no_items(marts: Marts) -> Marts:
    events = marts["events"]
    return {**marts, "events": with_column(events, "item_id", pa.nulls(events.num_rows, pa.string()))}


def unknown_items(marts: Marts) -> Marts:
    """Six of ten events name items that no catalogue knows; the mart `items` lists those with an id alone."""
    events, items = marts["events"], marts["items"]
    strange = np.arange(events.num_rows) % 10 < 6
    renamed = pc.if_else(pa.array(strange), pc.binary_join_element_wise("x", events["item_id"], "-"), events["item_id"])
    extra = pa.table({"item_id": pc.unique(renamed.filter(pa.array(strange)))})
    listed = pa.concat_tables([items, extra], promote_options="default")
    return {**marts, "events": with_column(events, "item_id", renamed), "items": listed}


def events(change: Callable[[pa.Table], pa.Table]) -> Callable[[Marts], Marts]:
    return lambda marts: {**marts, "events": change(marts["events"])}


def all_but(event_type: str) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.filter(pc.not_equal(table["event_type"], event_type))


def lately_without(event_type: str) -> Callable[[pa.Table], pa.Table]:
    """The last two weeks have none of a type."""

    def change(table: pa.Table) -> pa.Table:
        recent = pc.greater_equal(table["recorded_at"].cast(pa.int64()), AS_OF - 14 * DAY_MS)
        return table.filter(pc.invert(pc.and_(recent, pc.equal(table["event_type"], event_type))))

    return change


def without(table: pa.Table, name: str, count: int) -> pa.Table:
    kept = pc.if_else(pa.array(np.arange(table.num_rows) >= count), table[name], None)
    return with_column(table, name, kept)


def sold_out(marts: Marts) -> Marts:
    nothing = pa.array([False] * marts["items"].num_rows)
    return {**marts, "items": with_column(marts["items"], "is_available", nothing)}


def dead(marts: Marts) -> Marts:
    count = marts["events"].num_rows
    letters = {name: ["not a date"] * count for name in DEAD_LETTER_SCHEMA.names}
    return {**marts, "dead_letters": pa.table(letters, schema=DEAD_LETTER_SCHEMA)}


def prices(table: str) -> Callable[[Marts], Marts]:
    def dearer(marts: Marts) -> Marts:
        return {
            **marts,
            table: with_column(marts[table], "price_micros", pc.multiply(marts[table]["price_micros"], 1_000)),
        }

    return dearer


POISONS: dict[str, tuple[Callable[[Marts], Marts], str]] = {
    "an empty table": (events(lambda table: table.slice(0, 0)), "events: rows is 0, expected at least 1"),
    "more than half the rows gone": (
        events(lambda table: table.slice(table.num_rows * 3 // 5)),
        "events: rows_to_baseline is 0.4, expected at least 0.5",
    ),
    "timestamps in the future": (events(lambda table: later(table, 3 * DAY_MS, share=0.01)), "events: future_rows is "),
    "one timestamp in 1970": (
        events(lambda table: pa.concat_tables([later(table.slice(0, 1), -50 * 365 * DAY_MS), table.slice(1)])),
        "events: largest_gap_days is 18,2",
    ),
    "no item named": (no_items, "events: item_named_share is 0, expected at least 0.05"),
    "repeated event ids": (
        events(lambda table: pa.concat_tables([table, table.slice(0, 25)])),
        "events: duplicate_keys is 25, expected 0",
    ),
    "missing users": (events(lambda table: without(table, "user_id", 9)), "events: missing_required is 9, expected 0"),
    "prices paid a thousandfold": (prices("events"), "events: price_to_catalogue is 1,000, expected 0.1 to 10"),
    "catalogue prices a thousandfold": (prices("items"), "items: price_to_baseline is 1,000, expected 0.1 to 10"),
    "one type of event vanished": (events(all_but("click")), "events: vanished_types is 1, expected 0"),
    "one type of event fell silent": (events(lately_without("click")), "events: silent_types is 1, expected 0"),
    "nothing but impressions": (
        events(lambda table: with_column(table, "event_type", pa.array(["impression"] * table.num_rows))),
        "events: positive_share is 0, expected at least 0.0005",
    ),
    "event types that are sentences": (
        events(lambda table: with_column(table, "event_type", pa.array(["Clicked on it"] * table.num_rows))),
        "events: event_type is outside in 100 % of the sampled rows, for example ['Clicked on it'",
    ),
    "items that the catalogue does not know": (
        unknown_items,
        "events: known_to_baseline is 0.4, expected at least 0.5",
    ),
    "stale data": (events(lambda table: later(table, -20 * DAY_MS)), "events: newest_age_days is 20."),
    "half the rows unreadable": (dead, "events: dead_letter_share is 0.5, expected at most 0.2"),
    "nothing for sale": (sold_out, "items: available_share is 0, expected at least 0.001"),
    "negative prices": (
        events(lambda table: with_column(table, "price_micros", pc.negate(table["price_micros"]))),
        "events: price_micros is outside in",
    ),
    "times in another unit": (
        events(lambda table: table.set_column(4, "occurred_at", table["occurred_at"].cast(pa.timestamp("us")))),
        "events: mistyped_columns is 1, expected 0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", POISONS)
def test_poison_is_stopped_with_a_sentence(name, validated, shop, tmp_path):
    poison, sentence = POISONS[name]
    workspace = copied(validated, tmp_path)
    before = (workspace.monitoring / "validation_landed.json").read_bytes()
    written(poison(shop), tmp_path)
    result = validate(workspace, AS_OF, (sentence.partition(":")[0],))
    told = [str(failure) for failure in result.failures]
    assert not result.success
    assert any(line.startswith(sentence) for line in told), told
    assert all(line.endswith(")") for line in told)  # each tells its reason
    assert f"{len(told)} of {result.expectations} checks failed" in result.docs_path.read_text(encoding="utf-8")
    assert (workspace.monitoring / "validation_landed.json").read_bytes() == before  # poison is no baseline


def test_a_smaller_shop_at_an_earlier_cut_is_no_shrink(validated, shop, tmp_path):
    workspace = copied(validated, tmp_path)
    cut = AS_OF - 28 * DAY_MS
    known = pc.less(shop["events"]["recorded_at"].cast(pa.int64()), cut)
    written({**shop, "events": shop["events"].filter(known)}, tmp_path)
    assert validate(workspace, cut).success
    assert json.loads((workspace.monitoring / "validation_landed.json").read_bytes())["as_of_ms"] == cut


def test_impressions_may_stop_because_they_become_decisions(validated, shop, tmp_path):
    workspace = copied(validated, tmp_path)
    shown = shop["events"].filter(pc.equal(shop["events"]["event_type"], "impression")).num_rows
    written(events(lately_without("impression"))(shop), tmp_path)
    assert shown > shop["events"].num_rows / 2  # by far the most frequent type
    assert validate(workspace, AS_OF, ("events",)).measures["events"]["silent_types"] == 0


def test_a_tiny_purchase_only_shop_without_catalogue_prices_or_users_passes(shop, tmp_path):
    bought = shop["events"].filter(pc.equal(shop["events"]["event_type"], "purchase")).slice(0, 12)
    items = pa.table({"item_id": pc.unique(bought["item_id"])})
    bare = {
        name: pa.nulls(items.num_rows, shop["items"].schema.field(name).type)
        for name in shop["items"].column_names
        if name != "item_id"
    }
    for name, column in bare.items():
        items = items.append_column(name, column)
    workspace = written({**shop, "events": bought, "items": items, "users": shop["users"].slice(0, 0)}, tmp_path)
    newest = pc.max(bought["recorded_at"]).cast(pa.int64()).as_py()
    assert validate(workspace, newest + 1).failures == ()


def test_a_catalogue_that_never_knew_most_items_passes_and_one_of_other_ids_does_not(shop, tmp_path):
    few = written(unknown_items(shop), tmp_path / "few")  # it knows 40 % of what events name, and always did
    assert validate(few, AS_OF, ("events",)).success
    foreign = with_column(shop["events"], "item_id", pc.binary_join_element_wise("x", shop["events"]["item_id"], "-"))
    told = validate(written({**shop, "events": foreign}, tmp_path / "foreign"), AS_OF, ("events",)).failures
    assert [str(failure).partition(",")[0] for failure in told] == ["events: known_item_share is 0"]


def decision(number: int, **changes: object) -> dict[str, object]:
    slate = {"slate_item_ids": ["a", "b"], "slate_scores": [2.0, 1.0], "slate_sources": ["popular"] * 2}
    scored = {"candidate_item_ids": ["a", "b"], "candidate_scores": [2.0, 1.0], "candidate_sources": ["popular"] * 2}
    made = {"decision_id": f"d{number}", "decided_at": np.datetime64(AS_OF - 1, "ms").item(), "placement": "home"}
    return {**made, **slate, **scored, "slate_propensities": [1.0, 0.5], **changes}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, ""),
        ({"slate_propensities": [1.0, 0.0]}, "decisions: broken_propensities is 4, expected 0"),
        ({"slate_propensities": [1.0, float("nan")]}, "decisions: broken_propensities is 4, expected 0"),
        ({"slate_scores": [2.0]}, "decisions: uneven_lists is 4, expected 0"),
        ({"decided_at": np.datetime64(AS_OF, "ms").item()}, "decisions: future_rows is 4, expected 0"),
        ({"decision_id": "d0"}, "decisions: duplicate_keys is 3, expected 0"),
    ],
)
def test_decisions_are_fit_to_learn_from(changes, sentence, shop, tmp_path):
    rows = [decision(number, **changes) for number in range(4)]
    workspace = written({**shop, "decisions": pa.Table.from_pylist(rows, schema=DECISION_SCHEMA)}, tmp_path)
    told = [str(failure) for failure in validate(workspace, AS_OF, ("decisions",)).failures]
    assert [line[: len(sentence)] for line in told] == ([sentence] if sentence else [])


def test_marts_that_are_missing_or_lack_columns_are_named(shop, tmp_path):
    with pytest.raises(NotReadyError, match="no mart `events`"):
        validate(Workspace(tmp_path / "nothing"), AS_OF)
    workspace = written({**shop, "events": shop["events"].drop_columns(["recorded_at"])}, tmp_path)
    with pytest.raises(InputError, match="without recorded_at"):
        validate(workspace, AS_OF)


def test_an_expectation_that_stumbles_is_an_error_and_not_bad_data(tmp_path):
    import pandas as pd

    checks = [Check("ExpectColumnValuesToBeBetween", {"column": "absent", "min_value": 1}, "a column nobody wrote")]
    with pytest.raises(IntegrityError, match="absent"):
        run_checks([Batch("events.rows", pd.DataFrame({"present": [1]}), checks)], tmp_path / "docs")


def test_a_failure_reads_as_a_sentence():
    failure = Failure("events", "rows", "0", "at least 1", "an empty table teaches nothing")
    assert str(failure) == "events: rows is 0, expected at least 1 (an empty table teaches nothing)"
