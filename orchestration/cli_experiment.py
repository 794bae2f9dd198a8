"""`nextbest experiment assign | readout`: words to functions. No work is done here."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from orchestration.cli_output import tell
from recommender.errors import InputError
from recommender.workspace import Workspace

__all__ = ["add_experiment_verbs", "show_readout"]


def add_experiment_verbs(verbs: Any) -> None:
    """Add the group of verbs to the command's sub-parsers."""
    group = verbs.add_parser("experiment", help="who is in which arm, and what an experiment says").add_subparsers(
        required=True, metavar="VERB"
    )
    assign = group.add_parser("assign", help="an arm for each person, by a hash of the salt and the id")
    assign.add_argument("--salt", required=True, help="the experiment's name; the same salt gives the same arms")
    assign.add_argument("--shares", required=True, metavar="holdout=.1,agent=.9")
    assign.add_argument("--users", required=True, metavar="U.parquet", type=Path, help="with a column user_id")
    assign.add_argument("--out", required=True, metavar="A.parquet", type=Path)
    assign.set_defaults(action=_assign)
    _add_readout(group)


def _add_readout(group: Any) -> None:
    readout = group.add_parser("readout", help="each arm against the control; 1 when the sample ratio is broken")
    readout.add_argument("name", nargs="?", metavar="NAME", help="of nextbest.yml, or `canary`, read from the marts")
    readout.add_argument("--table", metavar="T.parquet", type=Path, help="or any table of people and outcomes")
    readout.add_argument("--arm", default="arm", metavar="COLUMN")
    readout.add_argument("--outcome", default="outcome", metavar="COLUMN", help="0 for people who did nothing")
    readout.add_argument("--user", default="user_id", metavar="COLUMN", help="a person's rows are added up")
    readout.add_argument("--per", metavar="COLUMN", help="read a ratio: outcome per this")
    readout.add_argument("--covariate", metavar="COLUMN", help="the person's value from before the experiment (CUPED)")
    readout.add_argument("--segments", default="", metavar="A,B")
    readout.add_argument("--day", metavar="COLUMN", help="when a row happened: the readout of each day")
    readout.add_argument("--control", metavar="ARM")
    readout.add_argument("--shares", metavar="holdout=.1,agent=.9", help="as assigned; default: the nearest round ones")
    readout.add_argument("--peeking", action="store_true", help="judge by the interval that holds at every look")
    readout.add_argument("--planned", type=float, default=10_000.0, metavar="N", help="people of all arms at the end")
    readout.add_argument("--confidence", type=float, default=0.95)
    readout.add_argument("--json", action="store_true")
    readout.add_argument("--out", type=Path, metavar="OUT", help="draw the figures as well; of NAME a folder")
    readout.set_defaults(action=_readout)


def _assign(workspace: Workspace, options: argparse.Namespace) -> None:
    from orchestration.experiments import assign_people, read_shares

    counts = assign_people(options.users, options.salt, read_shares(options.shares), options.out)
    tell(", ".join(f"{arm} {count:,}" for arm, count in counts.items()) + f" → {options.out}")


def _readout(workspace: Workspace, options: argparse.Namespace) -> int:
    from orchestration.experiments import read_shares, write_readout
    from recommender.experiments.effects import EffectConfig
    from recommender.experiments.experiment_table import ExperimentColumns
    from recommender.experiments.readout import ReadoutConfig

    segments = tuple(name.strip() for name in options.segments.split(",") if name.strip())
    config = ReadoutConfig(options.control, options.peeking, EffectConfig(1.0 - options.confidence, options.planned))
    if (options.name is None) == (options.table is None):
        raise InputError("a name and a table, or neither.", "one of both.", "Name an experiment, or write --table T.")
    if options.name is not None:
        from orchestration.served_readout import write_served_readout

        return show_readout(write_served_readout(workspace, options.name, config, options.out), options.json)
    columns = ExperimentColumns(
        options.arm, options.outcome, options.user, options.per, options.covariate, segments, options.day
    )
    shares = read_shares(options.shares) if options.shares else None
    return show_readout(write_readout(options.table, columns, shares, config, options.out), options.json)


def show_readout(report: dict[str, Any], as_json: bool) -> int:
    """Print a readout; 1 where its arms are broken."""
    if as_json:
        print(json.dumps(report, indent=1))
    refused = [own["sentence"] for own in (report, report.get("policies", {})) if own.get("verdict") == "refused"]
    for sentence in refused:
        tell(f"nextbest: {sentence}")
    if not as_json and report["verdict"] != "refused":
        print(_lines(report))
    return 1 if refused else 0


def _lines(report: dict[str, Any]) -> str:
    lines = _read(report)
    if also := report.get("beside_baseline"):
        lines.append(also["sentence"])
    if (also := report.get("policies")) and also["verdict"] != "refused":
        lines += _read(also)
    page = [f"page: {report['page']}"] if "page" in report else []
    return "\n".join([*lines, *report["cautions"], *page])


def _read(report: dict[str, Any]) -> list[str]:
    lines = [report["sentence"], report["sample_ratio"]["sentence"]]
    for own in report["comparisons"]:
        if own["always_low"] is not None:
            lines.append(f"{own['arm']}, at every look: {own['always_low']:.3g} to {own['always_high']:.3g}")
    return lines
