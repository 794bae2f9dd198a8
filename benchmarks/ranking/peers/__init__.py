"""The systems beside which the platform is measured, and the parameters each may choose from. Nothing is fitted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from benchmarks.ranking.peers import implicit_models, next_basket, rectools_models, sequential, simple
from benchmarks.ranking.protocol import Scorer

__all__ = ["PEERS", "Peer"]

Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class Peer:
    """A name, a function of a History and parameters that gives a Scorer, and the parameters to choose from."""

    name: str
    fit: Callable[..., Scorer]
    choices: Sequence[Parameters] = ({},)


def _grid(**values: Sequence[Any]) -> list[Parameters]:
    return [dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())]


_TIFU = _grid(
    neighbours=[100, 300], group=[1, 3, 7, 30], within=[0.8, 0.9, 1.0], between=[0.5, 0.7, 0.9], own_share=[0.7]
)
_TIFU += _grid(neighbours=[100, 300, 900], group=[7], within=[0.9], between=[0.7, 0.9], own_share=[0.1, 0.3, 0.5, 0.9])
_UP_CF = _grid(recency=[1, 5, 25, 10_000], asymmetry=[0.0, 0.25, 0.5, 0.75, 1.0], locality=[1, 5, 10, 50, 200])
# The grids hold the papers' own values (TIFU-KNN: 300, 7, .9, .7, .7) and their neighbourhood.
PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer("popularity, last 28 days", simple.fit_popularity),
        Peer("own frequency + popularity", simple.fit_own_frequency),
        Peer(
            "implicit ALS 64",
            implicit_models.fit_als,
            _grid(factors=[64], regularization=[0.1, 1.0, 10.0, 100.0], alpha=[0.1, 1.0, 10.0, 40.0]),
        ),
        Peer(
            "implicit BPR 64",
            implicit_models.fit_bpr,
            _grid(factors=[64], learning_rate=[0.01, 0.05], regularization=[0.003, 0.03, 0.3], iterations=[100]),
        ),
        Peer("implicit item-kNN TF-IDF", implicit_models.fit_tfidf, _grid(neighbours=[2, 5, 20, 100, 500])),
        Peer("implicit item-kNN cosine", implicit_models.fit_cosine, _grid(neighbours=[2, 5, 20, 100, 500])),
        Peer("RecTools EASE", rectools_models.fit_ease, _grid(regularization=[30.0, 100.0, 300.0, 1000.0, 3000.0])),
        Peer("RecTools PureSVD", rectools_models.fit_pure_svd, _grid(factors=[4, 8, 16, 32, 64, 128, 256])),
        Peer("TIFU-KNN", next_basket.fit_tifu_knn, _TIFU),
        Peer("UP-CF", next_basket.fit_up_cf, _UP_CF),
        Peer(
            "Markov chain of baskets",
            sequential.fit_markov,
            _grid(last=[1, 5, 20], decay=[0.7, 0.9], shrinkage=[0.0, 10.0]),
        ),
        Peer(
            "V-SKNN of baskets",
            sequential.fit_vsknn,
            _grid(last=[1, 3, 10, 30], neighbours=[100, 500, 2500], idf=[0.0, 1.0]),
        ),
    )
}
