"""What an experiment says: the sample ratio first, then each arm against the control, in figures and in one sentence.

No page is drawn here (`report.experiment_page`), and no file is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import stats

from recommender.errors import InputError
from recommender.experiments.effects import Comparison, EffectConfig, compare, holm
from recommender.experiments.experiment_table import ExperimentColumns, ExperimentTable, read_experiment
from recommender.experiments.sample_ratio import SampleRatioConfig, check_sample_ratio
from recommender.experiments.segment_lifts import segment_lifts
from recommender.experiments.tails import is_lopsided, redrawn_pvalue

__all__ = ["ReadoutConfig", "read_out"]

Floats = npt.NDArray[np.float64]
CONTROLS = ("holdout", "control", "business_as_usual")
POWER = 0.8


@dataclass(frozen=True)
class ReadoutConfig:
    """`control`: an arm (default holdout, control, business_as_usual, else the first by name); `peeking`: judge by the
    interval that holds at every look; `effects` and `sample_ratio`: their levels."""

    control: str | None = None
    peeking: bool = False
    effects: EffectConfig = field(default_factory=EffectConfig)
    sample_ratio: SampleRatioConfig = field(default_factory=SampleRatioConfig)


def read_out(
    table: pa.Table,
    columns: ExperimentColumns,
    shares: Mapping[str, float] | None = None,
    config: ReadoutConfig = ReadoutConfig(),
) -> dict[str, Any]:
    """The readout as plain values: `verdict` (better, worse, not_enough_evidence, refused), `sentence`, `sample_ratio`,
    and unless refused `arms`, `comparisons`, `days`, `segments`, `cautions`.

    `shares` are those of the assignment. InputError: the table cannot be used (`read_experiment`).
    """
    made = read_experiment(table, columns)
    counts = dict(zip(made.arms, np.bincount(made.arm, minlength=len(made.arms)).tolist(), strict=True))
    ratio = check_sample_ratio(counts, shares, config.sample_ratio)
    control = _control(made.arms, config.control)
    report: dict[str, Any] = {
        "verdict": "refused",
        "sentence": ratio.sentence,
        "outcome": columns.outcome,
        "denominator": columns.denominator,
        "covariate": columns.covariate,
        "control": made.arms[control],
        "people": len(made.arm),
        "confidence": 1.0 - config.effects.alpha,
        "basis": "every look" if config.peeking else "one look",
        "sample_ratio": ratio.as_json(),
        "arms": {},
        "comparisons": [],
        "days": [],
        "segments": {},
        "cautions": [],
    }
    return report if not ratio.passed else report | _read(made, control, columns, config)


def _control(arms: tuple[str, ...], named: str | None) -> int:
    if named is not None and named not in arms:
        raise InputError(f"control {named!r}.", f"one of {', '.join(arms)}.", "Name an arm of the table.")
    return arms.index(named or next((name for name in CONTROLS if name in arms), arms[0]))


def _read(made: ExperimentTable, control: int, columns: ExperimentColumns, config: ReadoutConfig) -> dict[str, Any]:
    treated = [place for place in range(len(made.arms)) if place != control]
    moments, alpha = made.moments, config.effects.alpha
    if (moments.count < 2).any() or (moments.mean[:, 1] <= 0).any():
        raise InputError("an arm of one person, or whose denominators are 0.", "two or more.", "Wait for people.")
    compared = compare(moments[control], moments[treated])
    comparisons = _comparisons(made, control, treated, compared, config)
    verdict, sentence = _verdict(comparisons, columns, config)
    raw = moments.mean[:, 0] / moments.mean[:, 1]
    return {
        "verdict": verdict,
        "sentence": sentence,
        "arms": {
            name: {"people": int(moments.count[place]), "value": float(raw[place])}
            for place, name in enumerate(made.arms)
        },
        "comparisons": comparisons,
        "days": _days(made, control, treated, config.effects),
        "segments": {
            made.arms[place]: segment_lifts(made, control, place, alpha) for place in treated if made.segments
        },
        "cautions": _cautions(comparisons),
    }


def _comparisons(
    made: ExperimentTable, control: int, treated: list[int], compared: Comparison, config: ReadoutConfig
) -> list[dict[str, Any]]:
    adjusted, levels = holm(compared.pvalue, config.effects.alpha)
    figures = {
        "control_value": compared.control,
        "value": compared.treated,
        "difference": compared.difference,
        "p": compared.pvalue,
        "p_holm": adjusted,
        "error": compared.error,
        "variance_saved": compared.saved,
        "detectable": compared.error * (stats.norm.isf(config.effects.alpha / 2) + stats.norm.ppf(POWER)),
    }
    figures["low"], figures["high"] = compared.interval(levels)
    figures["always_low"], figures["always_high"] = compared.always_valid(config.effects, len(treated))
    figures["lift"], figures["lift_low"], figures["lift_high"] = compared.lift(levels)
    kept = ("always_low", "always_high") if config.peeking else ("low", "high")
    asked = compared.always_valid_level(config.effects, len(treated)) if config.peeking else levels
    found = []
    for at, place in enumerate(treated):
        own: dict[str, Any] = {name: _plain(values[at]) for name, values in figures.items()}
        low, high = (own[name] for name in kept)
        lopsided = is_lopsided(made.values, made.arm, control, place)
        own["p_redrawn"] = redrawn_pvalue(made.values, made.arm, control, place) if lopsided else None
        chance = lopsided and own["p_redrawn"] > asked[at]
        own["proven"] = "no" if chance else "better" if (low or 0) > 0 else "worse" if (high or 0) < 0 else "no"
        found.append({"arm": made.arms[place], "control": made.arms[control], **own})
    return found


def _days(made: ExperimentTable, control: int, treated: list[int], config: EffectConfig) -> list[dict[str, Any]]:
    """Each day's reading of all that had happened by its end, as somebody who looked on that day would have had it."""
    if made.by_day is None:
        return []
    compared = compare(made.by_day[:, [control]], made.by_day[:, treated])
    low, high = compared.interval(config.alpha)
    always_low, always_high = compared.always_valid(config, len(treated))
    figures = {
        "people": compared.people,
        "difference": compared.difference,
        "low": low,
        "high": high,
        "always_low": always_low,
        "always_high": always_high,
    }
    return [
        {
            "day": label,
            "arms": {
                made.arms[place]: {name: _plain(values[day, at]) for name, values in figures.items()}
                for at, place in enumerate(treated)
            },
        }
        for day, label in enumerate(made.days)
    ]


def _verdict(comparisons: list[dict[str, Any]], columns: ExperimentColumns, config: ReadoutConfig) -> tuple[str, str]:
    best = max(comparisons, key=lambda own: own["difference"])
    proven = {own["proven"] for own in comparisons}
    verdict = "better" if "better" in proven else "worse" if proven == {"worse"} else "not_enough_evidence"
    told = [own for own in comparisons if own["proven"] != "no"] or [best]
    told.sort(key=lambda own: -own["difference"])
    sentence = "; ".join(_told(own, columns, config) for own in told)
    others = [own["arm"] for own in comparisons if own["proven"] == "no" and own not in told]
    if others:
        sentence += f"; of {', '.join(others)} nothing is proven"
    return verdict, sentence + "."


def _told(own: Mapping[str, Any], columns: ExperimentColumns, config: ReadoutConfig) -> str:
    what = f"{columns.outcome} per {columns.denominator or 'person'}"
    ends = ("always_low", "always_high") if config.peeking else ("low", "high")
    low, high = (_short(own[name]) for name in ends)
    span = f"{1 - config.effects.alpha:.0%} from {low} to {high}" + (", however often one looks" * config.peeking)
    if own["proven"] == "no":
        return (
            f"Not enough evidence: {own['arm']} and {own['control']} differ by {_short(own['difference'])} {what} "
            f"({span}); with so many people {_short(own['detectable'])} would be seen four times in five"
        )
    word = "more" if own["difference"] > 0 else "less"
    lift = "" if own["lift"] is None else f", {own['lift']:+.1%}"
    return f"{own['arm']} brings {_short(abs(own['difference']))} {word} {what} than {own['control']} ({span}{lift})"


def _cautions(comparisons: list[dict[str, Any]]) -> list[str]:
    return [
        f"A few people decide the figures of {own['arm']} and {own['control']}, and the interval is less sure than it "
        f"says. Assigned anew by chance, the same people differ as much in {own['p_redrawn']:.1%} of the draws, and "
        "the verdict asks for that as well. More people in the smaller arm will help."
        for own in comparisons
        if own["p_redrawn"] is not None
    ]


def _plain(value: np.float64) -> float | None:
    return float(value) if np.isfinite(value) else None


def _short(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"
