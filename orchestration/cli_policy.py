"""`nextbest policy fit | probabilities | evaluate`: words to functions. No work is done here."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from orchestration.cli_output import show, tell
from recommender.workspace import Workspace

__all__ = ["add_policy_verbs"]


def add_policy_verbs(verbs: Any) -> None:
    """Add the group of verbs."""
    group = verbs.add_parser("policy", help="decision policies on logged data").add_subparsers(
        required=True, metavar="VERB"
    )
    fit = group.add_parser("fit", help="the best single action, or a personal choice where one is proven better")
    _add_log(fit)
    fit.add_argument("--out", required=True, metavar="DIR", type=Path)
    fit.add_argument(
        "--kind",
        default="personal",
        choices=(
            "personal",
            "uniform",
            "fixed",
            "epsilon_greedy",
            "softmax",
            "linucb",
            "lints",
            "treets",
            "thompson",
            "vowpal",
        ),
    )
    fit.add_argument(
        "--floor", type=_share, help="probability that is spread over all actions (default: the kind's own)"
    )
    fit.set_defaults(action=lambda workspace, options: _fit(options))
    chances = group.add_parser("probabilities", help="what a policy would do in each context")
    chances.add_argument("--policy", required=True, metavar="DIR", type=Path)
    chances.add_argument("--contexts", required=True, metavar="C.parquet", type=Path)
    chances.add_argument("--out", required=True, metavar="P.parquet", type=Path)
    chances.set_defaults(action=_probabilities)
    judge = group.add_parser("evaluate", help="what a policy would have earned on a log, and whether to promote it")
    _add_log(judge)
    judge.add_argument("--probabilities", required=True, metavar="P.parquet", type=Path)
    judge.add_argument("--clip", type=_weight, default=float("inf"), help="greatest weight of a row")
    judge.add_argument(
        "--switch", type=_weight, default=float("inf"), help="weight above which DR trusts its model alone"
    )
    judge.add_argument("--interval", default="bootstrap", choices=("bootstrap", "percentile", "normal", "bernstein"))
    judge.add_argument("--page", type=Path, metavar="FILE.html", help="draw the figures as well")
    judge.set_defaults(action=lambda workspace, options: _evaluate(options))


def _add_log(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--log", required=True, metavar="L.parquet", type=Path)
    parser.add_argument("--reward", default="reward", metavar="NAME", help="the column to earn (default reward)")
    parser.add_argument(
        "--features", nargs="+", metavar="NAME", help="default: every column that was known before the action"
    )
    parser.add_argument("--propensity", choices=("uniform",), help="every action was equally likely (none is logged)")
    parser.add_argument("--seed", type=_seed, default=7)
    parser.add_argument("--json", action="store_true")


def _share(word: str) -> float:
    """A number from 0 to 1."""
    if not 0.0 <= float(word) <= 1.0:
        raise argparse.ArgumentTypeError(f"found {word}, expected a share from 0 to 1")
    return float(word)


def _weight(word: str) -> float:
    """A number above 0; infinity bounds nothing."""
    if not float(word) > 0.0:
        raise argparse.ArgumentTypeError(f"found {word}, expected a weight above 0")
    return float(word)


def _seed(word: str) -> int:
    """What numpy, XGBoost and Vowpal Wabbit all take as a seed."""
    if not 0 <= int(word) < 2**31 - 2**10:
        raise argparse.ArgumentTypeError(f"found {word}, expected a whole number from 0 to 2,147,482,623")
    return int(word)


def _features(options: argparse.Namespace) -> tuple[str, ...] | None:
    """Names apart by spaces or by commas."""
    if options.features is None:
        return None
    return tuple(name.strip() for part in options.features for name in part.split(",") if name.strip())


def _fit(options: argparse.Namespace) -> None:
    from orchestration.policies import fit_to_log
    from recommender.decision.policies.fitting import PolicyConfig

    config = PolicyConfig(options.kind, options.floor)
    features = _features(options)
    report = fit_to_log(
        options.log, options.out, options.reward, features, options.propensity, config, options.seed, tell
    )
    show(report, options.json)


def _probabilities(workspace: Workspace, options: argparse.Namespace) -> None:
    from orchestration.policies import write_probabilities

    rows = write_probabilities(options.policy, options.contexts, options.out, tell)
    tell(f"{rows:,} contexts → {options.out}")


def _evaluate(options: argparse.Namespace) -> int:
    from orchestration.policies import evaluate_probabilities
    from recommender.decision.off_policy.estimators import EstimatorConfig
    from recommender.decision.off_policy.intervals import IntervalConfig

    report = evaluate_probabilities(
        options.log,
        options.probabilities,
        options.reward,
        _features(options),
        options.propensity,
        EstimatorConfig(options.clip, options.switch),
        IntervalConfig(options.interval),
        options.seed,
        options.page,
    )
    show(report, options.json)
    if not report["support"]["supported"]:
        tell(f"nextbest: {report['sentence']}")
        return 1
    return 0
