"""Whether arms have the people that their shares promise; before this holds no outcome may be read. None is read here.

A broken ratio means that who is counted depends on the arm (a lost log, a bounce, a filter): no interval mends that
(Fabijan et al., "Diagnosing Sample Ratio Mismatch in Online Controlled Experiments", KDD 2019).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np
from scipy.stats import binomtest, chisquare

from recommender.errors import InputError

__all__ = ["SampleRatioCheck", "SampleRatioConfig", "check_sample_ratio", "likeliest_shares"]


EXACT_BELOW = 1_000


@dataclass(frozen=True)
class SampleRatioConfig:
    """`alpha`: sound experiments that are refused, one in two thousand; every readout asks, so it is small."""

    alpha: float = 0.0005


@dataclass(frozen=True)
class SampleRatioCheck:
    """People by arm beside the expected ones; `passed` says whether outcomes may be read."""

    counts: dict[str, int]
    expected: dict[str, float]
    declared: bool
    pvalue: float
    alpha: float
    passed: bool
    sentence: str

    def as_json(self) -> dict[str, Any]:
        """Plain values, as the readout holds them."""
        return asdict(self)


def check_sample_ratio(
    counts: Mapping[str, int],
    shares: Mapping[str, float] | None = None,
    config: SampleRatioConfig = SampleRatioConfig(),
) -> SampleRatioCheck:
    """Compare people by arm with the shares that were intended.

    χ²; the exact binomial test of two arms below 1,000 people. An arm that has a share and nobody in it counts. Without
    `shares` the likeliest round ones are taken for the intended, and the sentence says so.
    """
    counts = {**dict.fromkeys(shares or (), 0), **counts}
    if len(counts) < 2:
        raise InputError(f"{len(counts)} arm(s).", "two arms or more.", "Hand over all arms of the experiment.")
    intended = likeliest_shares(counts) if shares is None else _declared(counts, shares)
    total = sum(counts.values())
    pvalue = _pvalue(counts, intended)
    passed = pvalue >= config.alpha
    expected = {arm: total * share for arm, share in intended.items()}
    sentence = _sentence(counts, intended, shares is not None, pvalue, passed)
    return SampleRatioCheck(dict(counts), expected, shares is not None, pvalue, config.alpha, passed, sentence)


def likeliest_shares(counts: Mapping[str, int]) -> dict[str, float]:
    """The round shares (equal ones; whole fives of a hundred; single hundredths below five and above ninety-five) under
    which these counts are likeliest. Up to four arms; of more, only equal ones are tried.
    """
    arms = len(counts)
    found = np.fromiter(counts.values(), np.float64, arms)
    candidates: list[Sequence[float]] = [[1.0 / arms] * arms]
    if arms == 2:
        rounds = sorted({*range(1, 5), *range(5, 100, 5), *range(96, 100)})
        candidates += [(share / 100, 1.0 - share / 100) for share in rounds]
        candidates += [(1 / 3, 2 / 3), (2 / 3, 1 / 3)]
    elif arms <= 4:
        for parts in product((*range(1, 5), *range(5, 100, 5)), repeat=arms - 1):
            if sum(parts) < 100:
                candidates.append([*(part / 100 for part in parts), 1.0 - sum(parts) / 100])
    likelihood = [float(found @ np.log(shares)) for shares in candidates]
    best = candidates[int(np.argmax(likelihood))]
    return {arm: float(share) for arm, share in zip(counts, best, strict=True)}


def _declared(counts: Mapping[str, int], shares: Mapping[str, float]) -> dict[str, float]:
    if set(counts) - set(shares) or any(share <= 0 for share in shares.values()):
        raise InputError(
            f"shares of {sorted(shares)}, people in {sorted(counts)}.",
            "a share above 0 for each arm.",
            "Name each arm once: --shares holdout=.1,agent=.9.",
        )
    total = sum(shares.values())
    return {arm: shares[arm] / total for arm in counts}


def _pvalue(counts: Mapping[str, int], intended: Mapping[str, float]) -> float:
    found, total = np.fromiter(counts.values(), np.int64, len(counts)), sum(counts.values())
    shares = np.array([intended[arm] for arm in counts])
    if len(counts) == 2 and total < EXACT_BELOW:
        return float(binomtest(int(found[0]), total, float(shares[0])).pvalue)
    return float(chisquare(found, total * shares).pvalue)


def _sentence(
    counts: Mapping[str, int], intended: Mapping[str, float], declared: bool, pvalue: float, passed: bool
) -> str:
    total = sum(counts.values())
    told = ", ".join(f"{arm} {count:,} ({count / total:.1%})" for arm, count in counts.items())
    wanted = ", ".join(f"{arm} {share:.4g}" for arm, share in intended.items())
    source = "intended" if declared else "not told (--shares); the nearest round ones were taken"
    if passed:
        return f"People by arm: {told}; shares {source}: {wanted}. They agree (p = {pvalue:.2g})."
    return (
        f"No outcome is read: people by arm are {told}; shares {source}: {wanted}. They do not agree "
        f"(p = {pvalue:.1g}), so who is counted depends on the arm. Look for people lost or filtered after "
        "the assignment" + ("." if declared else ", or tell the shares that were meant.")
    )
