"""The benchmark's own next-basket and sequential methods on a shop small enough for pen and paper."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.ranking.datasets import Purchases
from benchmarks.ranking.peers import PEERS
from benchmarks.ranking.peers.next_basket import fit_tifu_knn, fit_up_cf, temporal_frequency, user_popularity
from benchmarks.ranking.peers.sequential import fit_markov, fit_vsknn, transitions
from benchmarks.ranking.peers.simple import fit_own_frequency, fit_popularity
from benchmarks.ranking.protocol import History, Truth, judge, listed

# ann: {tea} {tea, jam} {jam} {tea}, the latest last; bob: {jam} {oil}; cid: {tea, oil}
BASKETS = {
    "ann": [["tea"], ["tea", "jam"], ["jam"], ["tea"]],
    "bob": [["jam"], ["oil"]],
    "cid": [["tea", "oil"]],
}
ANN, BOB, CID = 0, 1, 2
JAM, OIL, TEA = 0, 1, 2


@pytest.fixture
def history() -> History:
    lines = [
        (user, item, f"{user}{day}", pd.Timestamp("2024-01-01") + pd.Timedelta(days=day))
        for user, baskets in BASKETS.items()
        for day, basket in enumerate(baskets)
        for item in basket
    ]
    return History.before(Purchases.of(pd.DataFrame(lines, columns=["user", "item", "basket", "at"])), "2024-01-20")


def by_item(history: History, values: np.ndarray) -> dict[int, float]:
    """Item code → value."""
    return dict(zip(history.items.tolist(), np.asarray(values).ravel().tolist(), strict=True))


def test_popularity_and_own_frequency(history: History) -> None:
    popular = by_item(history, fit_popularity(history)(np.array([BOB])))
    assert popular == {JAM: 3, OIL: 2, TEA: 4}
    own = by_item(history, fit_own_frequency(history)(np.array([ANN])))
    assert own == pytest.approx({JAM: 2 + 3 / 8, OIL: 0 + 2 / 8, TEA: 3 + 4 / 8})


def test_temporal_frequency_averages_baskets_in_groups_and_groups_in_users(history: History) -> None:
    vectors = temporal_frequency(history, group=3, within=0.5, between=0.1).toarray()
    # ann, from the latest: group 0 = {tea} {jam} {tea, jam}, group 1 = {tea}
    tea = (0.5**0 + 0.5**2) / 3 * 0.1**0 / 2 + 0.5**0 / 1 * 0.1**1 / 2
    jam = (0.5**1 + 0.5**2) / 3 * 0.1**0 / 2
    assert by_item(history, vectors[ANN]) == pytest.approx({JAM: jam, OIL: 0, TEA: tea})
    assert by_item(history, vectors[BOB]) == pytest.approx({JAM: 0.5 / 2, OIL: 1 / 2, TEA: 0})


def test_tifu_knn_mixes_the_own_vector_with_the_nearest_other_users(history: History) -> None:
    one = {"group": 3, "within": 1.0, "between": 1.0}
    scores = fit_tifu_knn(history, neighbours=1, own_share=0.7, **one)(np.array([BOB]))
    # bob (½ jam, ½ oil) is ½² + ½² + 1² = 1.5 from cid (oil, tea: ½² + ½² + 1²) and nearer to ann (1/3 jam, 5/6 tea)
    ann = {JAM: (1 + 1) / 3 / 2, OIL: 0.0, TEA: (1 + 1) / 3 / 2 + 1 / 1 / 2}
    assert (1 / 2 - ann[JAM]) ** 2 + (1 / 2) ** 2 + ann[TEA] ** 2 < 1.5
    bob = {JAM: 1 / 2, OIL: 1 / 2, TEA: 0.0}
    assert by_item(history, scores) == pytest.approx({item: 0.7 * bob[item] + 0.3 * ann[item] for item in bob})


def test_user_popularity_is_a_share_of_the_last_baskets(history: History) -> None:
    assert by_item(history, user_popularity(history, 2).toarray()[ANN]) == {JAM: 1 / 2, OIL: 0, TEA: 1 / 2}
    assert by_item(history, user_popularity(history, 2).toarray()[CID]) == {JAM: 0, OIL: 1, TEA: 1}  # has one basket
    assert by_item(history, user_popularity(history, 100).toarray()[ANN]) == {JAM: 2 / 4, OIL: 0, TEA: 3 / 4}


def test_up_cf_sums_popularities_by_asymmetric_similarity(history: History) -> None:
    scores = fit_up_cf(history, recency=100, asymmetry=0.25, locality=2)(np.array([ANN]))
    # ann has 2 items, bob 2, cid 2; each shares one with ann
    other = (1 / (2**0.25 * 2**0.75)) ** 2
    expected = {JAM: 2 / 4 + other * 1 / 2, OIL: other * (1 / 2 + 1), TEA: 3 / 4 + other * 1}
    assert by_item(history, scores) == pytest.approx(expected)


def test_transitions_are_shares_of_baskets_that_had_a_successor(history: History) -> None:
    step = transitions(history, shrinkage=0.0).toarray()
    place = {int(code): column for column, code in enumerate(history.items)}
    # jam: ann's second basket (then jam), her third (then tea), bob's first (then oil)
    assert step[place[JAM], [place[JAM], place[OIL], place[TEA]]].tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3])
    # tea: ann's first (then tea and jam) and second (then jam); cid's only basket and ann's latest had no successor
    assert step[place[TEA], [place[JAM], place[TEA]]].tolist() == pytest.approx([2 / 2, 1 / 2])
    shrunk = transitions(history, shrinkage=2.0).toarray()
    assert shrunk[place[TEA], place[JAM]] == pytest.approx(2 / (2 + 2))


def test_the_markov_chain_steps_from_each_of_the_last_baskets(history: History) -> None:
    scores = fit_markov(history, last=2, decay=0.5, shrinkage=0.0)(np.array([ANN]))
    from_tea, from_jam = {JAM: 1.0, OIL: 0.0, TEA: 1 / 2}, {JAM: 1 / 3, OIL: 1 / 3, TEA: 1 / 3}
    expected = {item: from_tea[item] + 0.5 * from_jam[item] for item in from_tea}
    assert by_item(history, scores) == pytest.approx(expected)


def test_vsknn_lets_the_nearest_baskets_vote(history: History) -> None:
    scores = fit_vsknn(history, last=2, neighbours=100, idf=0.0)(np.array([BOB]))
    # bob: oil weighs 1, jam ½. Baskets with jam: {tea, jam}, {jam}, bob's {jam}; with oil: {oil}, {tea, oil}
    alone, pair = 1.0, 1 / np.sqrt(2)
    expected = {JAM: 0.5 * (pair + alone + alone), OIL: alone + pair, TEA: 0.5 * pair + pair}
    assert by_item(history, scores) == pytest.approx(expected)


def test_a_basket_too_far_does_not_vote(history: History) -> None:
    scores = fit_vsknn(history, last=2, neighbours=1, idf=0.0)(np.array([BOB]))
    assert by_item(history, scores) == pytest.approx({JAM: 0, OIL: 1, TEA: 0})  # {oil} alone is nearest


@pytest.mark.parametrize("name", sorted(PEERS))
def test_every_peer_learns_who_buys_what(name: str) -> None:
    """Two tastes that never mix: each peer's lists must find a user's own side, and the same ones each time."""
    if name.startswith("RecTools"):
        pytest.importorskip("rectools", reason="the benchmark's extra is not installed (`make bench` does)")
    rng = np.random.default_rng(5)
    lines = [
        (f"u{user}", f"{'ab'[user % 2]}{item}", f"u{user}-{day}", pd.Timestamp("2024-01-01") + pd.Timedelta(days=day))
        for user in range(60)
        for day in range(0, 40, 4)
        for item in rng.choice(30, 4, replace=False)
    ]
    purchases = Purchases.of(pd.DataFrame(lines, columns=["user", "item", "basket", "at"]))
    history, truth = History.before(purchases, "2024-02-01"), Truth.after(purchases, "2024-02-01", 20, "repeat")
    peer = PEERS[name]
    choice = dict(peer.choices[0])
    choice.update({"factors": 4} if "factors" in choice else {})  # 64 remember every purchase of so small a shop
    first = listed(history, peer.fit(history, **choice), truth.users, ["repeat"])["repeat"]
    assert (first == listed(history, peer.fit(history, **choice), truth.users, ["repeat"])["repeat"]).all()
    blind = listed(history, fit_popularity(history), truth.users, ["repeat"])["repeat"]
    gained, base = judge(first, truth)["R@20"].mean(), judge(blind, truth)["R@20"].mean()
    assert gained > 1.3 * base or name.startswith("popularity")
