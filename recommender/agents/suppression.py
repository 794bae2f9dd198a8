"""Who is left alone: a bound on the gain of a message, told from the people known so far. Gains are not learnt here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["AFFORDED", "Suppression"]

Floats = npt.NDArray[np.float64]

AFFORDED = 0.005  # of the goal's value: what leaving people alone is expected to cost
STILL_SENT = 0.05  # of those left alone get their message: enough to notice that they have come to be moved


@dataclass(frozen=True)
class Suppression:
    """Whoever gains less than `gain` is left alone, and of those who gain just that much the share `tied`. A bound and
    not a rank, so that nobody's share depends on who else is decided on.
    """

    gain: float
    tied: float = 0.0

    @classmethod
    def affordable(cls, gains: Floats, share: float, earned: float) -> Suppression | None:
        """The bound below which lie as many people, at most `share`, as can be left alone for AFFORDED of what people
        earn on average: `earned`, in units of the gains. None where that is nobody.
        """
        ordered = np.sort(gains)
        lost = np.cumsum(np.maximum(ordered, 0.0)) / len(gains)
        least = min(int((lost <= AFFORDED * earned).sum()), round(share * len(gains)))
        return cls.of(gains, least / len(gains)) if least else None

    @classmethod
    def of(cls, gains: Floats, share: float) -> Suppression:
        """The bound below which `share` of these people lie; gains float64 (n), one for each person."""
        least = round(share * len(gains))
        gain = float(np.sort(gains)[max(least - 1, 0)])
        below, tied = int((gains < gain).sum()), int((gains == gain).sum())
        return cls(gain, (least - below) / tied)

    def send_shares(self, gains: Floats, exploration: float) -> Floats:
        """float64 (n): the probability of being written to; those left alone keep a rest of it, within the budget."""
        left = np.where(gains < self.gain, 1.0, np.where(gains == self.gain, self.tied, 0.0))
        return np.asarray((1.0 - left) + left * min(STILL_SENT, exploration))

    def as_json(self) -> dict[str, float]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, float]) -> Suppression:
        return cls(content["gain"], content["tied"])
