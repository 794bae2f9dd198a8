"""People who answer messages in known ways: by message, hour, taste and fatigue. No message is chosen here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["MESSAGES", "WINDOWS", "Campaign"]

MESSAGES, WINDOWS = ("news", "voucher", "reminder"), ("morning", "evening")

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Campaign:
    """`people` of a seed. Their chance to buy after a decision is a base rate by how often they come, and what
    a message adds:

    - news moves those who like the brand, a voucher the thrifty, a reminder (a little) whoever left a cart;
    - most people answer in the evening, those over 60 in the morning: the other window adds half as much;
    - a third are indifferent: nothing moves them, and only how seldom they come tells it;
    - each message of the last week takes `fatigue` of what the next one adds.

    `strength` scales all that a message adds: at 0 nothing works. `differences` scales how far people are from the
    average in it: at 0 a message in a window adds the same to everybody.
    """

    people: int = 2000
    seed: int = 0
    strength: float = 1.0
    fatigue: float = 0.15
    differences: float = 1.0

    @cached_property
    def audience(self) -> pa.Table:
        """What an agent can see of them: one row a person, with ids, zone, consent and features."""
        rng = np.random.default_rng([self.seed, 1])
        visits = rng.poisson(np.where(rng.random(self.people) < 1 / 3, 0.3, 6.0))
        return pa.table(
            {
                "user_id": [f"p{number:06}" for number in range(self.people)],
                "timezone": np.array(["Europe/Berlin", "America/New_York"])[rng.integers(0, 2, self.people)],
                "consent_email": np.ones(self.people, dtype=bool),
                "visits": visits,
                "age": rng.integers(18, 85, self.people),
                "likes_brand": rng.random(self.people),
                "is_thrifty": rng.random(self.people) < 0.4,
                "left_cart": rng.random(self.people) < 0.3,
                "device": np.array(["phone", "tablet", "desktop"])[rng.integers(0, 3, self.people)],
            }
        )

    @cached_property
    def base(self) -> Floats:
        """float64 (n): the chance to buy without a message."""
        return np.asarray(0.02 + 0.005 * np.minimum(self.audience["visits"].to_numpy(), 10))

    @cached_property
    def added(self) -> Floats:
        """float64 (n, messages, windows): what a message adds to somebody who is not tired of them."""
        seen = self.audience
        moved = np.stack(
            [
                0.10 * seen["likes_brand"].to_numpy(),
                0.14 * seen["is_thrifty"].to_numpy(),
                0.02 + 0.06 * seen["left_cart"].to_numpy(),
            ],
            axis=1,
        )
        moved[seen["visits"].to_numpy() <= 1] = 0.0
        mornings = seen["age"].to_numpy() > 60
        by_window = np.stack([np.where(mornings, 1.0, 0.5), np.where(mornings, 0.5, 1.0)], axis=1)
        added = self.strength * moved[:, :, None] * by_window[:, None, :]
        return np.asarray(self.differences * added + (1.0 - self.differences) * added.mean(axis=0))

    def chances(self, message: Ints, window: Ints, recent: Ints) -> Floats:
        """float64 (n): the chance to buy after these messages, int64 (n), −1 for none; `recent` int64 (n) messages of
        the week before.
        """
        rows = np.arange(self.people)
        added = self.added[rows, message, window] * np.maximum(0.0, 1.0 - self.fatigue * recent)
        return np.asarray(self.base + np.where(message >= 0, added, 0.0))

    def buys(self, chances: Floats, day: int) -> npt.NDArray[np.bool_]:
        """Who buys, by numbers of the seed and the day alone: two policies are compared with the same luck."""
        return np.asarray(np.random.default_rng([self.seed, 2, day]).random(self.people) < chances)
