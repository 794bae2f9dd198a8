"""Cold start against the truth of a simulated shop: items uploaded a minute ago, people three events old. Real marts,
real training."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from real_dbt import Warehouse

from recommender.cuts import CutInputs
from recommender.events import DAY_MS, Interaction
from recommender.model.past_slates import retrospective_slates
from recommender.model.ranker import fit_ranker
from recommender.model.scorer import RankingModel
from recommender.retrieval.candidates import UserBatch
from recommender.retrieval.retriever import fit_retriever
from recommender.simulation import Shop, SimulationConfig, simulate, write_tables
from recommender.states import Contexts, ItemTable, UserStates, empty_state, merge_live

pytestmark = pytest.mark.slow
SHOP = SimulationConfig(users=400, items=300, days=49)
SEED = 5
DISCOUNT = 1 / np.log2(np.arange(2, 12))


@dataclass(frozen=True)
class ColdShop:
    """A trained model of a shop in which some items that were long on sale came without an event, a minute ago."""

    shop: Shop
    now: CutInputs
    model: RankingModel
    is_cold: np.ndarray
    is_warm: np.ndarray

    def liking(self, people: np.ndarray) -> np.ndarray:
        """The truth: people × items of the table."""
        items = np.array([Shop.item_index(name) for name in self.now.items.item_ids.to_pylist()])
        return self.shop.preference(people[:, None], items[None, :], self.now.as_of_ms)


def without_a_past(shop: Shop, tables: Path, folder: Path) -> np.ndarray:
    """Land the tables with the events of some items taken out, and those listed a minute before the end."""
    end_ms, rng = SHOP.end_ms, np.random.default_rng(SEED)
    shelf = shop.catalogue
    settled = np.flatnonzero((shelf.arrives_ms < end_ms - 28 * DAY_MS) & (shelf.retires_ms > end_ms))
    cold = pa.array([Shop.item_id(int(item)) for item in np.sort(rng.choice(settled, 24, replace=False))])
    folder.mkdir()
    for table in ("events", "items", "users"):
        found = pq.read_table(tables / f"{table}.parquet")
        if table == "events":
            found = found.filter(pc.invert(pc.is_in(found["item_id"], value_set=cold)))
        if table == "items":
            kind = found.schema.field("created_at").type
            minute_ago = pa.scalar(datetime.fromtimestamp(end_ms / 1000 - 60, UTC)).cast(pa.timestamp("us", "UTC"))
            listed = pc.if_else(pc.is_in(found["item_id"], value_set=cold), minute_ago.cast(kind), found["created_at"])
            found = found.set_column(found.schema.get_field_index("created_at"), "created_at", listed)
        pq.write_table(found, folder / f"{table}.parquet")
    return np.array(cold.to_pylist())


@pytest.fixture(scope="module")
def cold_shop(tmp_path_factory: pytest.TempPathFactory) -> ColdShop:
    root = tmp_path_factory.mktemp("cold")
    simulation = simulate(SHOP, SEED)
    write_tables(simulation, root / "tables")
    cold = without_a_past(simulation.shop, root / "tables", root / "landed")
    as_of = datetime.fromtimestamp(SHOP.end_ms / 1000, UTC).replace(tzinfo=None).isoformat()
    marts = Warehouse.fed_from(root / "landed", root / "home", as_of=as_of, cut_count=5).build()
    cuts = list(cuts_of(marts))
    ranker = fit_ranker(retrospective_slates(cuts[:-1], marts.mart("events")))
    now = cuts[-1]
    names = np.array(now.items.item_ids.to_pylist())
    is_warm = (now.items.integers("event_count") > 0) & (now.items.integers("is_available") > 0)
    return ColdShop(simulation.shop, now, RankingModel(ranker, fit_retriever(now)), np.isin(names, cold), is_warm)


def cuts_of(marts: Warehouse) -> list[CutInputs]:
    tables = {name: marts.mart(name) for name in ("user_states", "item_states", "item_pairs", "item_segments")}
    found = []
    for moment in pc.unique(tables["user_states"]["as_of"]).sort():
        users, items, *others = (table.filter(pc.equal(table["as_of"], moment)) for table in tables.values())
        as_of_ms = moment.cast(pa.int64()).as_py()
        found.append(CutInputs(as_of_ms, UserStates.from_table(users), ItemTable.from_table(items), *others))
    return found


def test_an_item_uploaded_a_minute_ago_finds_its_audience(cold_shop: ColdShop) -> None:
    """NDCG of an item's audience: everybody in the order of their score for it, gains are how much each likes it."""
    now = cold_shop.now
    people = np.array([Shop.user_index(name) for name in now.users.user_ids])
    batch = UserBatch.read(now.users, Contexts.at(now.as_of_ms, len(people)), now.items)
    _, _, scores = cold_shop.model.score_batch(batch, np.arange(len(now.items)))
    scores, liking = scores.reshape(len(people), -1), cold_shop.liking(people)
    first = len(people) // 10
    discount = 1 / np.log2(np.arange(2, first + 2))

    def audience(item: int) -> float:
        order = np.argsort(-scores[:, item], kind="stable")[:first]
        best = np.sort(liking[:, item])[::-1][:first]
        return float(liking[order, item] @ discount / (best @ discount))

    def chance(item: int) -> float:
        best = np.sort(liking[:, item])[::-1][:first]
        return float(liking[:, item].mean() * discount.sum() / (best @ discount))

    cold, warm = (
        np.mean([audience(item) - chance(item) for item in np.flatnonzero(chosen)])
        for chosen in (cold_shop.is_cold, cold_shop.is_warm)
    )
    assert cold >= 0.6 * warm > 0  # beyond chance, which is the stricter reading of the two


def test_new_items_are_listed_and_for_people_who_like_them(cold_shop: ColdShop) -> None:
    now = cold_shop.now
    people = np.array([Shop.user_index(name) for name in now.users.user_ids])
    batch = UserBatch.read(now.users, Contexts.at(now.as_of_ms, len(people)), now.items)
    candidates, _, scores = cold_shop.model.score_batch(batch)
    user, item = candidates.user_row, candidates.item_index
    order = np.lexsort((-scores, user))
    listed = order[np.arange(len(order)) - np.searchsorted(user[order], user[order]) < 20]
    shown = listed[cold_shop.is_cold[item[listed]]]
    liking = cold_shop.liking(people)
    assert len(shown) >= 0.02 * len(listed)  # they are 8 % of the catalogue; without rehearsals it was .1 %
    assert liking[user[shown], item[shown]].mean() > 2 * liking[:, cold_shop.is_cold].mean()


def test_three_events_of_a_stranger_beat_popularity(cold_shop: ColdShop) -> None:
    now, rng = cold_shop.now, np.random.default_rng(SEED)
    people = rng.choice(SHOP.users, 200, replace=False)
    is_available = now.items.integers("is_available") > 0
    liking = np.where(is_available, cold_shop.liking(people), 0.0)
    names, states, seen = now.items.item_ids.to_pylist(), [], []
    for place, own in enumerate(liking):
        looked = rng.choice(len(names), 3, replace=False, p=own / own.sum())
        events = [
            Interaction(f"{place}-{step}", f"new-{place}", "view", now.as_of_ms + step * 30_000, names[item])
            for step, item in enumerate(looked)
        ]
        states.append(merge_live(empty_state(f"new-{place}"), events))
        seen.append(looked)
    batch = UserBatch.read(UserStates.from_rows(states), Contexts.at(now.as_of_ms + 90_000, len(people)), now.items)
    candidates, _, scores = cold_shop.model.score_batch(batch)
    popular = np.argsort(-np.where(is_available, now.items.integers("popularity_micros"), -1), kind="stable")
    gained = {"ours": 0.0, "popular": 0.0}
    for place, own in enumerate(liking):
        mine = slice(*candidates.offsets[place : place + 2])
        ranked = candidates.item_index[mine][np.argsort(-scores[mine], kind="stable")]
        best = np.sort(np.delete(own, seen[place]))[::-1][:10] @ DISCOUNT
        for name, items in (("ours", ranked), ("popular", popular)):
            gained[name] += float(own[items[~np.isin(items, seen[place])][:10]] @ DISCOUNT / best)
    assert gained["ours"] > 1.05 * gained["popular"]
