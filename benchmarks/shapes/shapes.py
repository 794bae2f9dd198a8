"""The table sets, one function each: domains, columns and sizes as far apart as they come. Nothing is judged here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.shapes.behaviour import START_MS, Behaviour, Crowd, Newsroom, follow_news, visit_shop
from benchmarks.shapes.tables import TableSet
from recommender.events import DAY_MS

__all__ = ["SHAPES", "Maker", "day_of"]

Maker = Callable[[np.random.Generator, float], TableSet]  # (rng, share of the full number of people)
Texts = npt.NDArray[np.str_]


def day_of(number: int) -> str:
    """The date of a day, 0 the first."""
    return str(np.datetime64(START_MS + number * DAY_MS, "ms").astype("datetime64[D]"))


def news(rng: np.random.Generator, share: float) -> TableSet:
    room = Newsroom(users=_count(600, share))
    read = follow_news(room, rng)
    events = _events(read, np.full(len(read.user), "view")).assign(session_id=_named("s", read.visit))
    items = pd.DataFrame({"item_id": _named("i", np.arange(len(read.topic))), "title": _titles(read.topic, rng)})
    items = items.assign(tags=_named("topic", read.topic), created_at=_moments(read.born_ms))
    told = "news: 40 new articles a day, of interest for two"
    return TableSet(told, events, items, None, _all(events), day_of(35))


def video(rng: np.random.Generator, share: float) -> TableSet:
    crowd = Crowd(users=_count(500, share), items=800, choices_per_user=40)
    seen = visit_shop(crowd, rng)
    kinds = {"view": 0.72, "like": 0.12, "bookmark": 0.08, "skip": 0.08}
    events = _events(seen, _drawn(kinds, len(seen.user), rng)).assign(session_id=_named("s", seen.visit))
    people = pd.DataFrame({"user_id": _named("u", np.arange(crowd.users))})
    people = people.assign(country=_drawn({"DE": 0.5, "BR": 0.3, "JP": 0.2}, crowd.users, rng))
    chosen = (events["event_type"] != "skip").to_numpy()
    told = "video: views, likes, bookmarks and skips"
    return TableSet(told, events, _described(seen, rng), people, chosen, day_of(53))


def ratings(rng: np.random.Generator, share: float) -> TableSet:
    """As films are rated: whole numbers as ids, times with an offset, CSV; two stars of five are no recommendation."""
    rated = visit_shop(Crowd(users=_count(500, share), choices_per_user=30), rng)
    stars = np.clip(np.rint(3 + rated.liking + rng.normal(0, 0.7, len(rated.user))), 1, 5).astype(np.int64)
    events = _events(rated, np.full(len(rated.user), "rating"))
    local = pd.to_datetime(events["occurred_at"]).dt.tz_localize("UTC").dt.tz_convert("Asia/Kolkata")
    events = events.assign(
        user_id=rated.user + 1, item_id=rated.item + 1, occurred_at=local.map(pd.Timestamp.isoformat)
    )
    events = events.assign(properties=[f'{{"rating": {value}}}' for value in stars])
    items = pd.DataFrame({"item_id": np.arange(len(rated.topic)) + 1})
    told = "ratings: stars in properties, CSV, times at +05:30"
    return TableSet(told, events, items, None, stars >= 3, day_of(53), file_format="csv")


def grocery(rng: np.random.Generator, share: float) -> TableSet:
    crowd = Crowd(users=_count(400, share), items=500, choices_per_user=60, repeat=0.6)
    bought = visit_shop(crowd, rng)
    events = _events(bought, np.full(len(bought.user), "purchase"))
    price = np.round(rng.lognormal(1.0, 0.6, crowd.items), 2)
    events = events.assign(quantity=rng.integers(1, 4, len(events)), price=price[bought.item])
    told = "grocery: purchases, six of ten repeated, JSON lines"
    return TableSet(told, events, _described(bought, rng), None, _all(events), day_of(53), file_format="jsonl")


def bare(rng: np.random.Generator, share: float) -> TableSet:
    crowd = Crowd(users=_count(500, share), items=700, choices_per_user=30)
    seen = visit_shop(crowd, rng)
    events = _events(seen, _drawn({"view": 0.7, "add_to_cart": 0.2, "purchase": 0.1}, len(seen.user), rng))
    events = events.assign(user_id=seen.user + 10_000, item_id=seen.item + 1)
    return TableSet("bare: whole numbers as ids, no items, no users", events, None, None, _all(events), day_of(53))


def half_missing(rng: np.random.Generator, share: float) -> TableSet:
    """Every column of the contract and two more, then half of the optional ones gone, and a third of what is left."""
    crowd = Crowd(users=_count(500, share))
    seen = visit_shop(crowd, rng)
    n, price = len(seen.user), np.round(rng.lognormal(3.0, 0.8, crowd.items), 2)
    events = _events(seen, _drawn({"view": 0.7, "click": 0.1, "add_to_cart": 0.1, "purchase": 0.1}, n, rng))
    events = events.assign(
        event_id=_named("e", np.arange(n)),
        session_id=_named("s", seen.visit),
        quantity=rng.integers(1, 4, n),
        price=price[seen.item],
        channel=_drawn({"web": 0.6, "app": 0.4}, n, rng),
        device=_drawn({"mobile": 0.7, "desktop": 0.3}, n, rng),
        country=_drawn({"NL": 0.6, "FR": 0.4}, n, rng),
        placement=_drawn({"home": 0.5, "search": 0.5}, n, rng),
        position=rng.integers(1, 20, n),
        properties='{"campaign": "spring"}',
    )
    items = _described(seen, rng).assign(
        description=_titles(seen.topic, rng),
        brand=_named("brand", seen.topic * 3 + rng.integers(0, 3, crowd.items)),
        price=price,
        tags=_named("tag", seen.topic // 2),
        available=True,
        created_at=_moments(seen.born_ms),
        colour=_drawn({"red": 0.5, "blue": 0.5}, crowd.items, rng),
    )
    people = pd.DataFrame({"user_id": _named("u", np.arange(crowd.users))}).assign(
        signed_up_at=_moments(np.full(crowd.users, START_MS)),
        country="NL",
        timezone="Europe/Amsterdam",
        plan=_drawn({"free": 0.8, "paid": 0.2}, crowd.users, rng),
    )
    kept = ("user_id", "item_id", "event_type", "occurred_at", "event_id")
    tables = [_thinned(table, kept, rng) for table in (events, items, people)]
    told = "half missing: half of the optional columns gone, a third of the rest empty"
    return TableSet(told, tables[0], tables[1], tables[2], _all(events), day_of(53))


def tiny(rng: np.random.Generator, share: float) -> TableSet:
    seen = visit_shop(Crowd(users=40, items=40, topics=4, days=50, choices_per_user=16), rng)
    events = _events(seen, _drawn({"view": 0.7, "purchase": 0.3}, len(seen.user), rng))
    return TableSet("tiny: 40 people, 40 items", events, None, None, _all(events), day_of(42))


def short(rng: np.random.Generator, share: float) -> TableSet:
    """Four days of history, judged on two: the horizon asked for is longer than there is."""
    crowd = Crowd(users=_count(800, share), items=300, days=6, choices_per_user=16)
    seen = visit_shop(crowd, rng)
    events = _events(seen, _drawn({"view": 0.9, "purchase": 0.1}, len(seen.user), rng))
    told = "short: four days of history"
    return TableSet(told, events, _described(seen, rng), None, _all(events), day_of(4))


def vast(rng: np.random.Generator, share: float) -> TableSet:
    crowd = Crowd(users=_count(500, share), items=30_000, topics=40, touched_items=900)
    seen = visit_shop(crowd, rng)
    events = _events(seen, _drawn({"view": 0.8, "purchase": 0.2}, len(seen.user), rng))
    told = "vast: 30,000 items listed, 900 ever touched"
    return TableSet(told, events, _described(seen, rng), None, _all(events), day_of(53))


def unknown_kinds(rng: np.random.Generator, share: float) -> TableSet:
    """Event types nobody declared, ids and titles in other alphabets, items listed twice, some without a title."""
    seen = visit_shop(Crowd(users=_count(500, share)), rng)
    kinds = {"Pondered!": 0.5, "asked a friend": 0.3, "grokkedDeeply": 0.2}
    events = _events(seen, _drawn(kinds, len(seen.user), rng))
    events = events.assign(user_id="Ü " + events["user_id"], item_id="品" + events["item_id"])
    items = _described(seen, rng)
    items = items.assign(item_id="品" + items["item_id"], title="Ñandú " + items["title"])
    items.loc[rng.random(len(items)) < 0.3, "title"] = ""
    items = pd.concat([items, items.head(40)])
    told = "unknown kinds: undeclared event types, other alphabets, doubled items"
    return TableSet(told, events, items, None, _all(events), day_of(53))


def untidy(rng: np.random.Generator, share: float) -> TableSet:
    """Times in milliseconds since 1970, returns as negative quantities, gaps, JSON that is none, odd column names."""
    seen = visit_shop(Crowd(users=_count(500, share)), rng)
    events = _events(seen, _drawn({"view": 0.7, "purchase": 0.3}, len(seen.user), rng))
    n, chance = len(events), rng.random
    events = events.assign(
        occurred_at=seen.at_ms,
        item_id=events["item_id"].where(chance(n) > 0.05),
        quantity=np.where(chance(n) < 0.03, -1, 1),
        price=np.where(chance(n) < 0.02, -1.0, np.where(chance(n) < 0.2, np.nan, 9.99)),
        position=np.where(chance(n) < 0.5, -1, 3),
        country="",
        properties=np.where(chance(n) < 0.3, "{broken", '{"tags": [1]}'),
    )
    items = _described(seen, rng)
    items = items.assign(
        price=np.inf, tags=pd.Series([["a", "b"]] * len(items), dtype=object), **{'the "shop\'s" own': 1}
    )
    is_kept = ~((events["quantity"] < 0) | (events["price"] < 0)).to_numpy()
    told = "untidy: times as counts, negative amounts, broken JSON, odd names"
    return TableSet(told, events, items.iloc[::2], None, is_kept, day_of(53))


SHAPES: Mapping[str, Maker] = {
    maker.__name__: maker
    for maker in (news, video, ratings, grocery, bare, half_missing, tiny, short, vast, unknown_kinds, untidy)
}


def _events(seen: Behaviour, kinds: Texts) -> pd.DataFrame:
    columns = {"user_id": _named("u", seen.user), "item_id": _named("i", seen.item), "event_type": kinds}
    return pd.DataFrame({**columns, "occurred_at": _moments(seen.at_ms)})


def _described(seen: Behaviour, rng: np.random.Generator) -> pd.DataFrame:
    columns = {"item_id": _named("i", np.arange(len(seen.topic))), "title": _titles(seen.topic, rng)}
    return pd.DataFrame({**columns, "category": _named("c", seen.topic)})


def _titles(topic: npt.NDArray[np.int64], rng: np.random.Generator, words: int = 5, vocabulary: int = 30) -> Texts:
    """Some words of the topic's own."""
    titles = _named("w", topic * vocabulary + rng.integers(0, vocabulary, len(topic)))
    for _ in range(words - 1):
        more = _named(" w", topic * vocabulary + rng.integers(0, vocabulary, len(topic)))
        titles = np.char.add(titles, more)
    return titles


def _thinned(table: pd.DataFrame, kept: tuple[str, ...], rng: np.random.Generator) -> pd.DataFrame:
    """Every second optional column dropped by lot, and a third of the values of the others emptied."""
    optional = [name for name in table.columns if name not in kept]
    dropped = set(rng.permutation(optional)[: len(optional) // 2].tolist())
    thinned = table.drop(columns=sorted(dropped))
    return thinned.assign(
        **{name: thinned[name].where(rng.random(len(table)) > 1 / 3) for name in optional if name not in dropped}
    )


def _drawn(shares: Mapping[str, float], n: int, rng: np.random.Generator) -> Texts:
    return np.asarray(rng.choice(list(shares), size=n, p=list(shares.values())))


def _named(prefix: str, numbers: npt.NDArray[np.int64]) -> Texts:
    return np.char.add(prefix, numbers.astype(str))


def _moments(ms: npt.NDArray[np.int64]) -> npt.NDArray[np.datetime64]:
    return ms.astype("datetime64[ms]")


def _all(events: pd.DataFrame) -> npt.NDArray[np.bool_]:
    return np.ones(len(events), dtype=np.bool_)


def _count(full: int, share: float) -> int:
    return max(round(full * share), 20)
