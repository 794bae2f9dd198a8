"""How much more a message earns from a person than none, learnt from people with and without. Who is left alone for
it is `suppression`'s."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recommender.decision.logged.bandit_log import BanditLog
from recommender.decision.logged.contexts import ContextEncoder
from recommender.decision.policies.design import Standard, row_products
from recommender.decision.policies.evidence import Moments, fit_evidence, without

__all__ = ["GainModel", "fit_gains"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MOST_PAIRED = 12  # columns whose products are looked at: 78 products


@dataclass(frozen=True)
class GainModel:
    """The gain is linear in the columns and their products: `weights` float64 (1, d + pairs + 1) over `design`.
    `evidence`: twice the logarithm of how much likelier the rows are with gains that differ than with one for all.
    """

    encoder: ContextEncoder
    standard: Standard
    paired: Ints
    products: Standard
    weights: Floats
    evidence: float = 0.0

    def gains(self, features: pa.Table) -> Floats:
        """float64 (n): in units of the goal's value; each row by itself."""
        contexts, _ = self.encoder.transform(features)
        return self.of_contexts(contexts)

    def of_contexts(self, contexts: npt.NDArray[np.float32]) -> Floats:
        return np.asarray(row_products(self.design(contexts), self.weights)[:, 0])

    def design(self, contexts: npt.NDArray[np.float32]) -> Floats:
        """float64 (n, d + pairs + 1): standardised columns, their standardised products, 1."""
        plain = self.standard.design(contexts)[:, :-1]
        return np.column_stack([plain, self.products.design(_products(plain, self.paired))])

    def as_json(self) -> dict[str, Any]:
        return {
            "encoder": self.encoder.as_json(),
            "standard": self.standard.as_json(),
            "paired": self.paired.tolist(),
            "products": self.products.as_json(),
            "weights": self.weights.tolist(),
            "evidence": self.evidence,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> GainModel:
        return cls(
            ContextEncoder.from_json(content["encoder"]),
            Standard.from_json(content["standard"]),
            np.asarray(content["paired"], dtype=np.int64),
            Standard.from_json(content["products"]),
            np.asarray(content["weights"], dtype=np.float64),
            float(content["evidence"]),
        )


def fit_gains(log: BanditLog) -> GainModel:
    """`log`: action 1 is a message, 0 none; every row has the propensity of what happened.

    First the level: what people earn who are written to, by columns and products. Then the gain by (A − p) times a
    constant, the level and the columns (Nie and Wager 2021: right whatever people earn without). The level is there
    because who earns little with a message cannot gain much by it, and far more people are written to than held out.
    How far the level and the columns are believed is told by the evidence.
    """
    encoder = ContextEncoder.fit(log.contexts)
    contexts, _ = encoder.transform(log.contexts)
    standard = Standard.of(contexts)
    sent = log.action == 1
    plain = standard.design(contexts)[:, :-1]
    paired = _paired(plain[sent], log.reward[sent])
    products = Standard.of(_products(plain, paired).astype(np.float32))
    shape = GainModel(encoder, standard, paired, products, np.zeros((1, 0)))
    level = _level(shape, contexts[sent], log.reward[sent], plain.shape[1])
    told = row_products(shape.design(contexts), level[None, :])[:, 0]
    centre, scale = float(told.mean()), float(told.std()) or 1.0
    (constant, of_level, *of_columns), evidence = _gain(plain, (told - centre) / scale, log)
    weights = of_level / scale * level
    weights[: plain.shape[1]] += of_columns
    weights[-1] += constant - of_level * centre / scale
    return GainModel(encoder, standard, paired, products, weights[None, :], evidence)


def _level(shape: GainModel, contexts: npt.NDArray[np.float32], reward: Floats, width: int) -> Floats:
    """float64 (d + pairs + 1): weights of what people earn who are written to."""
    pairs = len(shape.products.centre)
    moments = Moments.of(lambda rows: shape.design(contexts[rows]), reward)
    groups = [part for part in (np.arange(width), width + np.arange(pairs)) if len(part)]
    return fit_evidence(moments, groups).mean


def _gain(plain: Floats, level: Floats, log: BanditLog) -> tuple[list[float], float]:
    """The constant, the weight of the level and those of the d columns; and the evidence that the latter are not 0."""
    width = plain.shape[1]
    message = np.where(log.action == 1, log.propensity, 1.0 - log.propensity)
    centred = log.action - message

    def design(rows: slice) -> Floats:
        base = np.column_stack([np.ones(len(level[rows])), level[rows], plain[rows]])
        return np.column_stack([base, centred[rows, None] * base])

    half = width + 2
    groups = [2 + np.arange(width), np.array([half + 1]), half + 2 + np.arange(width)]
    moments = Moments.of(design, log.reward)
    found = fit_evidence(moments, groups)
    return found.mean[half:].tolist(), without(moments, groups, found, 1, 2)


def _paired(plain: Floats, reward: Floats) -> Ints:
    """int64 (≤ MOST_PAIRED): the columns that go with the reward most, in order of place."""
    related = np.abs(plain.T @ (reward - reward.mean()))
    return np.sort(np.argsort(-related, kind="stable")[:MOST_PAIRED])


def _products(plain: Floats, paired: Ints) -> npt.NDArray[np.float32]:
    """float32 (n, pairs): every product of two of the paired columns, squares too."""
    first, second = np.triu_indices(len(paired))
    return (plain[:, paired[first]] * plain[:, paired[second]]).astype(np.float32)
