"""Whether a log can tell anything about a policy: a refusal, with reasons, where it cannot. Nothing is estimated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from recommender.decision.logged.owners import standard_error
from recommender.decision.off_policy.estimators import effective_sample_size, importance_weights

__all__ = ["Support", "SupportConfig", "support_of"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SupportConfig:
    """`tolerance`: mass of the policy that the log may leave uncovered; `errors`: how certain it must be that more is;
    `least_rows`: effective rows below which no interval can be trusted."""

    tolerance: float = 0.01
    errors: float = 4.0
    least_rows: float = 30.0


@dataclass(frozen=True)
class Support:
    """`supported`, the reasons if not, and what was looked at: `ess` effective rows, `greatest_weight`, `covered` the
    mass of the policy that the weighted log stands for (1 where all is covered)."""

    supported: bool
    ess: float
    greatest_weight: float
    covered: float
    reasons: tuple[str, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        return {
            "supported": self.supported,
            "ess": self.ess,
            "greatest_weight": self.greatest_weight,
            "covered": self.covered,
            "reasons": list(self.reasons),
        }


def support_of(
    probabilities: Floats,
    action: Codes,
    propensity: Floats,
    actions: Sequence[str],
    config: SupportConfig | None = None,
    owner: Codes | None = None,
) -> Support:
    """Refuse where the policy puts mass on what the log (almost) never did.

    Were every action possible in every context, E[1{A = a} π(a | x) / p] would be E[π(a | x)] for each a. A log whose
    weighted rows of a stand for significantly less never takes a in some of the contexts where the policy does.
    Rows of one `owner`, int64 (n), are one draw.
    """
    config = config or SupportConfig()
    weights = importance_weights(probabilities, action, propensity)
    ess, reasons = effective_sample_size(weights), []
    for place, name in enumerate(actions):
        asked = float(probabilities[:, place].mean())
        taken = action == place
        if asked <= 0:
            continue
        if not taken.any():
            if asked > config.tolerance / 10:
                reasons.append(f"it takes {name} in {asked:.1%} of cases, the log in none")
            continue
        gap = probabilities[:, place] - np.where(taken, weights, 0.0)
        error = standard_error(gap, owner)
        if gap.mean() > max(config.tolerance, config.errors * error):
            reasons.append(
                f"the log never, or hardly ever, took {name} in {gap.mean():.1%} of all cases, where the policy does"
            )
    if ess < config.least_rows:
        reasons.append(f"the log's {len(action):,} rows are worth {ess:.1f} of the policy's own")
    greatest = float(weights.max()) if len(weights) else 0.0
    return Support(not reasons, ess, greatest, float(weights.mean()), tuple(reasons))
