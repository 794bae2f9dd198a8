"""The simulated shop: what people do follows from the preferences it declares, and nothing else moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recommender.errors import InputError
from recommender.events import DAY_MS, EVENT_STRENGTHS
from recommender.simulation import Shop, Simulation, SimulationConfig, simulate, write_tables
from recommender.simulation.behaviour import SESSION_MS, day_visits
from recommender.simulation.words import CATEGORIES, STYLES

CONFIG = SimulationConfig(users=1_500, items=240, days=28, retiring_share=0.4)
CATEGORY = [words.name for words in CATEGORIES]


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate(CONFIG, seed=3)


@pytest.fixture(scope="module")
def events(simulation: Simulation) -> pd.DataFrame:
    """Events with indices, milliseconds and the true preference of each at the moment of its visit."""
    frame = simulation.events.to_pandas()
    frame["user"] = frame["user_id"].str[1:].astype(int)
    frame["item"] = frame["item_id"].str[1:].astype(int)
    frame["at_ms"] = simulation.events["occurred_at"].cast(pa.int64()).to_numpy()
    return frame


@pytest.fixture(scope="module")
def shown(simulation: Simulation, events: pd.DataFrame) -> pd.DataFrame:
    """Impressions with their true preference, and whether a click followed."""
    frame = events[events["event_type"] == "impression"].copy()
    frame["liking"] = simulation.shop.preference(
        frame["user"].to_numpy(), frame["item"].to_numpy(), frame["at_ms"].to_numpy()
    )
    clicks = events[events["event_type"] == "click"].set_index(["session_id", "item_id"]).index
    assert not clicks.has_duplicates
    frame["clicked"] = pd.MultiIndex.from_frame(frame[["session_id", "item_id"]]).isin(clicks)
    assert frame["clicked"].sum() == len(clicks), "every click answers an impression of its session"
    return frame


def assert_rate(clicked: npt.NDArray[np.bool_], expected: npt.NDArray[np.float64]) -> None:
    """The number of clicks lies within four standard deviations of the sum of their probabilities."""
    deviation = np.sqrt((expected * (1 - expected)).sum())
    assert abs(clicked.sum() - expected.sum()) < 4 * deviation


def ms(year: int, month: int, day: int, hour: int = 0) -> int:
    return round(datetime(year, month, day, hour, tzinfo=UTC).timestamp() * 1000)


# what is recorded


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    config = SimulationConfig(users=80, items=60, days=6)
    for folder, seed in (("one", 1), ("again", 1), ("two", 2)):
        write_tables(simulate(config, seed), tmp_path / folder)
    for name in ("events.parquet", "items.parquet", "users.parquet"):
        one, again, two = ((tmp_path / folder / name).read_bytes() for folder in ("one", "again", "two"))
        assert one == again
        assert one != two


def test_tables_are_written_whole_with_progress_and_nothing_else_is_touched(
    simulation: Simulation, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    reports: list[tuple[int, int]] = []
    write_tables(simulation, tmp_path, lambda done, total: reports.append((done, total)))
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == ["events.parquet", "items.parquet", "mine.txt", "users.parquet"]
    assert pq.read_table(tmp_path / "events.parquet").equals(simulation.events)
    total = simulation.events.num_rows + CONFIG.items + CONFIG.users
    assert reports[-1] == (total, total)


def test_events_have_the_canonical_columns_in_order_of_time(simulation: Simulation, events: pd.DataFrame) -> None:
    assert simulation.events.column_names == [
        *("event_id", "user_id", "item_id", "event_type", "occurred_at", "session_id", "quantity", "price"),
        *("channel", "device", "country", "placement", "decision_id", "position", "properties"),
    ]
    assert events["event_id"].is_unique
    assert events["at_ms"].is_monotonic_increasing
    assert set(events["event_type"]) == {"impression", "skip", "click", "view", "add_to_cart", "purchase"}
    assert set(events["event_type"]) <= set(EVENT_STRENGTHS)
    assert events["at_ms"].between(CONFIG.start_ms, CONFIG.end_ms - 1).all()


def test_a_session_is_one_person_on_one_device_for_less_than_a_quarter_of_an_hour(events: pd.DataFrame) -> None:
    sessions = events.groupby("session_id")
    assert (sessions[["user_id", "device", "channel"]].nunique() == 1).all(axis=None)
    assert (sessions["at_ms"].max() - sessions["at_ms"].min()).max() < SESSION_MS


def test_every_step_of_the_funnel_follows_the_one_before(events: pd.DataFrame) -> None:
    steps = ["view", "add_to_cart", "purchase"]
    keys = ["session_id", "item_id", "position"]
    at = {step: events[events["event_type"] == step].groupby(keys, dropna=False)["at_ms"].min() for step in steps}
    for earlier, later in pairwise(steps):
        assert 0 < len(at[later]) < len(at[earlier])
        assert (at[earlier].reindex(at[later].index) < at[later]).all()


def test_prices_are_the_catalogues_and_belong_to_carts_and_purchases(
    simulation: Simulation, events: pd.DataFrame
) -> None:
    bought = events["event_type"].isin(["add_to_cart", "purchase"])
    assert events.loc[~bought, ["price", "quantity"]].isna().all(axis=None)
    assert (events.loc[bought, "price"] == simulation.shop.catalogue.price[events.loc[bought, "item"]]).all()
    assert (events.loc[bought, "quantity"] >= 1).all()


def test_nobody_comes_before_they_signed_up(simulation: Simulation, events: pd.DataFrame) -> None:
    signed_up = simulation.shop.people.signed_up_ms[events["user"]]
    assert (events["at_ms"] >= signed_up).all()
    assert (signed_up > CONFIG.start_ms).any()


# what is true


def test_items_are_shown_and_looked_up_only_while_on_the_shelf(simulation: Simulation, events: pd.DataFrame) -> None:
    shelf = simulation.shop.catalogue
    arrives, retires = shelf.arrives_ms[events["item"]], shelf.retires_ms[events["item"]]
    assert (arrives <= events["at_ms"]).all()
    assert (events["at_ms"] < retires + SESSION_MS).all()  # a last visit may begin before midnight
    shown = events[events["event_type"] == "impression"]
    assert (shown["at_ms"] < shelf.retires_ms[shown["item"]]).all()
    assert ((shelf.arrives_ms > CONFIG.start_ms) & (shelf.arrives_ms < CONFIG.end_ms)).sum() > 20
    assert (shelf.retires_ms < CONFIG.end_ms).sum() > 20
    gone = simulation.shop.preference(0, np.arange(CONFIG.items), CONFIG.end_ms) == 0
    assert (gone == (shelf.retires_ms <= CONFIG.end_ms)).all()
    assert (simulation.items["available"].to_numpy() == ~gone).all()


def test_click_rates_are_the_true_preferences(shown: pd.DataFrame) -> None:
    first = shown[shown["position"] == 1]  # always looked at
    fifths = pd.qcut(first["liking"], 5, labels=False)
    rates = []
    for fifth in range(5):
        part = first[fifths == fifth]
        assert_rate(part["clicked"].to_numpy(), part["liking"].to_numpy(np.float64))
        rates.append(part["clicked"].mean())
    assert rates == sorted(rates)
    assert rates[4] > 5 * rates[0]


def test_items_further_down_are_looked_at_less(shown: pd.DataFrame) -> None:
    for position in range(1, CONFIG.slate_length + 1):
        part = shown[shown["position"] == position]
        looked = 1 / (1 + CONFIG.position_bias * (position - 1))
        assert_rate(part["clicked"].to_numpy(), looked * part["liking"].to_numpy(np.float64))


def test_slates_have_positions_without_gaps_and_no_item_twice(shown: pd.DataFrame) -> None:
    slates = shown.groupby("session_id")
    assert (slates["position"].max() == slates.size()).all()
    assert (slates["item_id"].nunique() == slates.size()).all()


def test_the_past_policy_covers_the_shelves_but_prefers_the_popular(
    shown: pd.DataFrame, simulation: Simulation
) -> None:
    counts = np.bincount(shown["item"], minlength=CONFIG.items)
    whole_time = (simulation.shop.catalogue.arrives_ms == CONFIG.start_ms) & (
        simulation.shop.catalogue.retires_ms > CONFIG.end_ms
    )
    assert (counts[whole_time] > 0).all()
    assert counts.max() > 2 * np.median(counts[whole_time])


def test_preferences_do_not_depend_on_who_else_is_asked(simulation: Simulation) -> None:
    user, item = np.arange(40)[:, None], np.arange(60)
    together = simulation.shop.preference(user, item, ms(2025, 1, 9))
    alone = [[simulation.shop.preference(u, np.array([i]), ms(2025, 1, 9))[0] for i in (0, 7, 59)] for u in (0, 39)]
    assert together.dtype == np.float32
    assert together.shape == (40, 60)
    assert together[[0, 39]][:, [0, 7, 59]].tolist() == np.array(alone).tolist()
    assert ((together >= 0) & (together < 1)).all()


@pytest.mark.parametrize(("category", "high", "low"), [("garden", 5, 11), ("knitwear", 1, 7), ("toys", 12, 6)])
def test_categories_have_their_season(simulation: Simulation, category: str, high: int, low: int) -> None:
    shop = simulation.shop
    items = np.flatnonzero((shop.catalogue.category == CATEGORY.index(category)) & (shop.catalogue.retires_ms > 2**61))
    users = np.arange(400)[:, None]
    means = {month: shop.preference(users, items, ms(2026, month, 15)).mean() for month in (high, low)}
    assert means[high] > 1.5 * means[low]


def test_weekends_are_for_the_garden(simulation: Simulation) -> None:
    items = np.flatnonzero(simulation.shop.catalogue.category == CATEGORY.index("garden"))
    late = np.maximum(simulation.shop.catalogue.arrives_ms[items], 0) <= ms(2025, 1, 3)
    friday, saturday = (
        simulation.shop.preference(np.arange(1_000)[:, None], items[late], ms(2025, 1, day, 1)).mean() for day in (3, 4)
    )
    assert saturday > 1.2 * friday


def test_weekdays_differ_in_visits(simulation: Simulation) -> None:
    people, rng = simulation.shop.people, np.random.default_rng(0)
    late = CONFIG.end_ms  # everybody has signed up; 2025-01-29 is a Wednesday
    sizes = [
        np.mean([len(day_visits(people, late + day * DAY_MS, 1.0, rng).user) for _ in range(30)]) for day in (2, 5)
    ]
    friday, monday = sizes
    assert friday / monday == pytest.approx(1.05 / 0.9, rel=0.08)


def test_people_keep_their_hours(simulation: Simulation, events: pd.DataFrame) -> None:
    hours = events.drop_duplicates("session_id")
    distance = np.abs(hours["at_ms"] % DAY_MS / 3_600_000 - simulation.shop.people.peak_hour[hours["user"]])
    assert np.minimum(distance, 24 - distance).median() < 2


def test_staples_are_needed_in_cycles_and_bought_again(simulation: Simulation, events: pd.DataFrame) -> None:
    shop, shelf = simulation.shop, simulation.shop.catalogue
    lasting = (shelf.arrives_ms == CONFIG.start_ms) & (shelf.retires_ms > CONFIG.end_ms + 30 * DAY_MS)
    user = int(np.flatnonzero(lasting[shop.people.staples[:, 0]])[0])
    staple = shop.people.staples[user, 0]
    cycle = CATEGORIES[shelf.category[staple]].cycle_days
    moments = CONFIG.start_ms + np.arange(0, cycle * 24) * 3_600_000
    over_time = shop.preference(user, staple, moments)
    odds = over_time / (1 - over_time)
    assert odds.max() > 8 * odds.min()
    bought = events[events["event_type"] == "purchase"]
    is_staple = (shop.people.staples[bought["user"]] == bought["item"].to_numpy()[:, None]).any(axis=1)
    times = bought.groupby(["user", "item"])["session_id"].transform("nunique")
    assert times[is_staple].mean() > times[~is_staple].mean() + 0.1


def test_those_who_mind_prices_click_cheaper_items(simulation: Simulation, events: pd.DataFrame) -> None:
    clicks = events[events["event_type"] == "click"]
    sensitivity = simulation.shop.people.sensitivity[clicks["user"]]
    relative = simulation.shop.catalogue.relative_price[clicks["item"]]
    low, high = np.quantile(sensitivity, [0.25, 0.75])
    assert relative[sensitivity > high].mean() < relative[sensitivity < low].mean() - 0.1


def test_texts_tell_category_and_style(simulation: Simulation) -> None:
    for item in simulation.items.to_pylist():
        words = CATEGORIES[CATEGORY.index(item["category"])]
        first, second = item["tags"].split(",")
        assert any(item["title"].endswith(noun) for noun in words.nouns)
        assert any(word in item["title"] for word in STYLES[first])
        assert words.sentence in item["description"]
        assert any(word.lower() in item["description"] for word in STYLES[second])
        assert item["price"] > 0


# what comes after


@pytest.fixture
def visits(simulation: Simulation) -> Iterator[list[tuple[str, int]]]:
    found = simulation.shop.live_visitors(400, CONFIG.end_ms, seed=1)
    return [(visit.user_id, visit.at_ms) for visit in found]


def test_live_visitors_come_in_time_order_within_their_day(simulation: Simulation) -> None:
    visits = simulation.shop.live_visitors(400, CONFIG.end_ms, seed=1)
    assert [visit.at_ms for visit in visits] == sorted(visit.at_ms for visit in visits)
    assert all(CONFIG.end_ms <= visit.at_ms < CONFIG.end_ms + DAY_MS for visit in visits)
    assert 300 < len(visits) < 500
    assert {visit.device for visit in visits} == {"mobile", "desktop", "tablet"}
    assert {visit.channel for visit in visits} == {"web", "app", "email"}
    assert visits == simulation.shop.live_visitors(400, CONFIG.end_ms, seed=1)
    assert visits != simulation.shop.live_visitors(400, CONFIG.end_ms, seed=2)


def test_the_oracle_knows_best(simulation: Simulation, visits: list[tuple[str, int]]) -> None:
    shop, rng = simulation.shop, np.random.default_rng(4)
    everything = np.arange(CONFIG.items)
    clicks = {"oracle": 0, "chance": 0}
    for user_id, at_ms in visits:
        liking = shop.preference(shop.user_index(user_id), everything, at_ms)
        best = shop.oracle_slate(user_id, 8, at_ms)
        assert np.allclose([liking[shop.item_index(item)] for item in best], np.sort(liking)[::-1][:8])
        chance = [shop.item_id(int(index)) for index in rng.choice(np.flatnonzero(liking), 8, replace=False)]
        for name, slate in (("oracle", best), ("chance", chance)):
            clicks[name] += sum(act.event_type == "click" for act in shop.respond(user_id, slate, at_ms, rng))
    assert clicks["oracle"] > 3 * clicks["chance"] > 0


def test_responses_name_the_slate_in_time_order(simulation: Simulation, visits: list[tuple[str, int]]) -> None:
    user_id, at_ms = visits[0]
    slate = simulation.shop.oracle_slate(user_id, 6, at_ms)
    responses = [
        response
        for seed in range(40)
        for response in simulation.shop.respond(user_id, slate, at_ms, np.random.default_rng(seed))
    ]
    assert {response.event_type for response in responses} >= {"impression", "click", "view", "add_to_cart"}
    assert all(slate[response.position - 1] == response.item_id for response in responses)
    again = simulation.shop.respond(user_id, slate, at_ms, np.random.default_rng(0))
    assert responses[: len(again)] == again
    assert [act.at_ms for act in again] == sorted(act.at_ms for act in again)
    assert [act.item_id for act in again if act.event_type == "impression"] == slate
    assert {act.at_ms for act in again if act.event_type == "impression"} == {at_ms}


def test_an_empty_slate_gets_no_response(simulation: Simulation) -> None:
    assert simulation.shop.respond("u0000001", [], CONFIG.end_ms, np.random.default_rng(0)) == []


def test_a_shop_can_be_built_again_from_config_and_seed(simulation: Simulation) -> None:
    again = Shop.build(CONFIG, 3).shift_tastes(8, 0.5)
    shifted = simulation.shop.shift_tastes(8, 0.5)
    users, items = np.arange(200)[:, None], np.arange(CONFIG.items)
    at = CONFIG.end_ms
    assert (again.preference(users, items, at) == shifted.preference(users, items, at)).all()


def test_shifted_tastes_move_a_share_of_the_people_to_other_categories(simulation: Simulation) -> None:
    shop = simulation.shop
    before = shop.people.affinity.copy()
    shifted = shop.shift_tastes(8, 0.4)
    moved = (shifted.people.affinity != shop.people.affinity).any(axis=1)
    assert moved.mean() == pytest.approx(0.4, abs=0.06)
    favourite, favourite_after = (tastes.people.affinity[moved].argmax(axis=1) for tastes in (shop, shifted))
    assert (favourite != favourite_after).all()
    assert (shifted.people.sensitivity[moved] > shop.people.sensitivity[moved]).all()
    assert (shifted.people.sensitivity[~moved] == shop.people.sensitivity[~moved]).all()
    assert (shop.people.affinity == before).all(), "the shop it came from stays as it was"
    assert shop.shift_tastes(8, 0.0).people.affinity.tolist() == before.tolist()


def test_yesterdays_best_slate_disappoints_after_the_shift(simulation: Simulation) -> None:
    shop, shifted = simulation.shop, simulation.shop.shift_tastes(8, 1.0)
    at, ratios = CONFIG.end_ms, []
    for user in range(60):
        old = np.array([shop.item_index(item) for item in shop.oracle_slate(shop.user_id(user), 8, at)])
        new = np.array([shop.item_index(item) for item in shifted.oracle_slate(shop.user_id(user), 8, at)])
        ratios.append(shifted.preference(user, old, at).sum() / shifted.preference(user, new, at).sum())
    assert np.mean(ratios) < 0.6


@pytest.mark.parametrize("wrong", [{"users": 0}, {"items": 5}, {"days": 0}, {"start_ms": 1}])
def test_a_shop_that_cannot_be_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError):
        replace(CONFIG, **wrong)
