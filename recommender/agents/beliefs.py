"""What is believed of a few options without looking at the person: a mean and an error each. No person is read here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recommender.decision.policies.linear import chances_of_greatest

__all__ = ["Beliefs"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Beliefs:
    """Normal beliefs about the value of each named option; without any, nothing is known."""

    names: tuple[str, ...] = ()
    means: tuple[float, ...] = ()
    errors: tuple[float, ...] = ()

    @classmethod
    def of(cls, names: Sequence[str], option: Ints, reward: Floats, propensity: Floats) -> Beliefs:
        """From one row a decision, weighted by 1 / propensity. The prior is one decision's worth of the mean of all,
        so an option never tried is uncertain and not bad.
        """
        weight = 1.0 / propensity
        overall = float(np.average(reward, weights=weight)) if len(reward) else 0.0
        spread = float(np.sqrt(np.average((reward - overall) ** 2, weights=weight))) if len(reward) else 0.0
        sums, squares, earned = (
            np.bincount(option, weights=part, minlength=len(names)) for part in (weight, weight**2, weight * reward)
        )
        worth = np.divide(sums**2, squares, out=np.zeros(len(names)), where=squares > 0)  # effective number of rows
        plain = np.divide(earned, sums, out=np.full(len(names), overall), where=sums > 0)
        means = (worth * plain + overall) / (worth + 1.0)
        errors = spread / np.sqrt(worth + 1.0)
        return cls(tuple(names), tuple(means.tolist()), tuple(errors.tolist()))

    def chances(self, names: Sequence[str]) -> Floats:
        """float64 (k): for each of these options the probability that it is the best (Thompson 1933); one that nothing
        is known of is believed as good as the mean of the known ones, with the greatest of their errors.
        """
        if not self.names or not max(self.errors):
            return np.full(len(names), 1.0 / len(names))
        place = {name: at for at, name in enumerate(self.names)}
        means = [self.means[place[name]] if name in place else float(np.mean(self.means)) for name in names]
        errors = [self.errors[place[name]] if name in place else max(self.errors) for name in names]
        return np.asarray(chances_of_greatest(np.array([means]), np.array([errors]))[0])

    def as_json(self) -> dict[str, Any]:
        return {"names": list(self.names), "means": list(self.means), "errors": list(self.errors)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Beliefs:
        return cls(tuple(content["names"]), tuple(content["means"]), tuple(content["errors"]))
