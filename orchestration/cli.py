"""The `nextbest` command: words to functions, sentences to stderr, figures to stdout. No work is done here.

Frameworks take seconds to import, so every command imports what it needs when it is called.
"""

from __future__ import annotations

import argparse
import signal
import sqlite3
import sys
from collections.abc import Sequence
from typing import Any

from orchestration.cli_agent import add_agent_verbs
from orchestration.cli_erase import add_erase_verb
from orchestration.cli_events import add_event_verbs
from orchestration.cli_experiment import add_experiment_verbs
from orchestration.cli_output import show
from orchestration.cli_policy import add_policy_verbs
from orchestration.cli_release import add_release_verbs
from orchestration.outages import outage
from recommender.errors import NextbestError
from recommender.workspace import Workspace

__all__ = ["main"]

Verbs = Any  # argparse gives the type of its sub-parsers no public name


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Exit code 0: done; 1: a sentence on stderr says what to do; 2: unusable words; 130: Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        result = options.action(Workspace.from_environment(), options)
    except NextbestError as problem:
        print(f"nextbest: {problem}", file=sys.stderr)
        return 1
    except (sqlite3.OperationalError, OSError) as problem:
        if (told := outage(problem)) is None:
            raise
        print(f"nextbest: {told}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return int(result or 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nextbest", description="Recommendations and AI decisioning on your warehouse."
    )
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (
        _add_demo,
        _add_run,
        _add_tune,
        _add_study,
        _add_servers,
        _add_keys,
        _add_placements,
        add_release_verbs,
        add_event_verbs,
        add_erase_verb,
        add_policy_verbs,
        add_agent_verbs,
        add_experiment_verbs,
        _add_status,
        _add_explain,
        _add_export,
        _add_backtest,
        _add_simulate,
    ):
        add(verbs)
    return parser


def _add_demo(verbs: Verbs) -> None:
    demo = verbs.add_parser("demo", help="the whole ring on a simulated shop")
    demo.add_argument("--once", action="store_true", help="end after the summary")
    demo.set_defaults(action=_demo)


def _add_run(verbs: Verbs) -> None:
    run = verbs.add_parser("run", help="land a source and materialise everything up to a promoted bundle")
    _add_source(run)
    run.add_argument("--until", default="", metavar="T", help="pretend that the source ends at T (exclusive, UTC)")
    run.add_argument("--json", action="store_true", help="print the outcome as JSON")
    run.set_defaults(action=_run)


def _add_tune(verbs: Verbs) -> None:
    tune = verbs.add_parser("tune", help="search the ranker's parameters; later trainings use what was confirmed")
    tune.add_argument("--trials", type=int, default=30)
    tune.add_argument("--seed", type=int, default=7)
    tune.add_argument("--json", action="store_true")
    tune.set_defaults(action=_tune)


def _add_servers(verbs: Verbs) -> None:
    serve = verbs.add_parser("serve", help="the decision service on the champion")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=3001)
    serve.add_argument("--workers", type=int, default=2)
    serve.set_defaults(action=_serve)
    dev = verbs.add_parser("dev", help="the Dagster UI with schedules and sensors")
    dev.add_argument("--host", default="127.0.0.1")
    dev.add_argument("--port", type=int, default=3000)
    dev.set_defaults(action=_dev)


def _add_keys(verbs: Verbs) -> None:
    from orchestration.cli_keys import add_keys

    add_keys(verbs)


def _add_placements(verbs: Verbs) -> None:
    placements = verbs.add_parser("placements", help="what nextbest.yml makes of the placements")
    placed = placements.add_subparsers(required=True, metavar="VERB")
    for name, told in (("check", "read the file and compare it with the catalogue"), ("list", "print what holds")):
        verb = placed.add_parser(name, help=told)
        verb.add_argument("--json", action="store_true")
        verb.set_defaults(action=_placements_check if name == "check" else _placements_list)


def _add_status(verbs: Verbs) -> None:
    status = verbs.add_parser("status", help="champion, metrics, freshness, drift, last runs")
    status.add_argument("--json", action="store_true")
    status.set_defaults(action=_status)


def _add_explain(verbs: Verbs) -> None:
    explain = verbs.add_parser("explain", help="why an item is, or is not, in a person's slate")
    explain.add_argument("--user", required=True, metavar="ID")
    explain.add_argument("--item", metavar="ID", help="this item only, shown or not; without it the whole slate")
    explain.add_argument("--placement", default="home")
    explain.add_argument("--k", type=int)
    explain.add_argument("--json", action="store_true")
    explain.set_defaults(action=_explain)


def _add_export(verbs: Verbs) -> None:
    export = verbs.add_parser("export", help="what was recorded, as Parquet")
    export.add_argument("table", choices=("events", "decisions"))
    export.add_argument("--out", required=True, metavar="FILE.parquet")
    export.set_defaults(action=_export)


def _add_backtest(verbs: Verbs) -> None:
    backtest = verbs.add_parser("backtest", help="the lists that would have been served at past cuts")
    _add_source(backtest, required=True)
    backtest.add_argument("--cut", required=True, action="append", metavar="T", help="repeat for several cuts")
    backtest.add_argument("--horizon", default="7d", help="days after the cut that count as the answer (default 7d)")
    backtest.add_argument("--k", type=int, default=20)
    backtest.add_argument("--novel", action="store_true", help="leave out what a user already had")
    backtest.add_argument("--out", required=True, metavar="FILE.parquet")
    backtest.add_argument("--json", action="store_true")
    backtest.set_defaults(action=_backtest)


def _add_simulate(verbs: Verbs) -> None:
    simulate = verbs.add_parser("simulate", help="canonical tables of a simulated shop")
    simulate.add_argument("--users", type=int, default=2000)
    simulate.add_argument("--items", type=int, default=600)
    simulate.add_argument("--days", type=int, default=90)
    simulate.add_argument("--seed", type=int, default=7)
    simulate.add_argument("--out", required=True, metavar="DIR")
    simulate.set_defaults(action=_simulate)


def _add_source(parser: argparse.ArgumentParser, required: bool = False) -> None:
    parser.add_argument("--source", required=required, help="online_retail, complete_journey, tables or simulated")
    parser.add_argument("--path", required=required, metavar="DIR", help="the folder that holds the source's files")


def _end_as_by_ctrl_c() -> None:
    """Take SIGTERM like Ctrl-C, and Ctrl-C even where a shell started us with it ignored: what was started must end."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _demo(workspace: Workspace, options: argparse.Namespace) -> int:
    from orchestration.demo import run_demo

    _end_as_by_ctrl_c()
    return run_demo(workspace, once=options.once)


def _run(workspace: Workspace, options: argparse.Namespace) -> int:
    from orchestration.ring import run_ring

    report = run_ring(workspace, options.source, options.path, options.until)
    show(report, options.json)
    return 0 if report["succeeded"] else 1


def _add_study(verbs: Verbs) -> None:
    study = verbs.add_parser("study", help="what each part of the latest challenger is worth, and what age costs")
    study.add_argument("--rounds", type=int, default=60, help="most boosting rounds of each refit (default 60)")
    study.add_argument("--rows", type=int, default=150_000, help="about so many rows to learn from (default 150000)")
    study.add_argument("--json", action="store_true")
    study.set_defaults(action=_study)


def _study(workspace: Workspace, options: argparse.Namespace) -> int:
    from orchestration.ring import run_study

    report = run_study(workspace, options.rounds, options.rows)
    show(report, options.json)
    return 0 if report["succeeded"] else 1


def _tune(workspace: Workspace, options: argparse.Namespace) -> int:
    from orchestration.ring import run_tuning

    report = run_tuning(workspace, options.trials, options.seed)
    show(report, options.json)
    return 0 if report["succeeded"] else 1


def _serve(workspace: Workspace, options: argparse.Namespace) -> int:
    from services.server import serve

    return serve(workspace, options.host, options.port, options.workers)


def _dev(workspace: Workspace, options: argparse.Namespace) -> int:
    from orchestration.ui import serve_ui

    _end_as_by_ctrl_c()
    return serve_ui(workspace, options.host, options.port)


def _placements_check(workspace: Workspace, options: argparse.Namespace) -> int:
    from orchestration.placements import check_placements

    report = check_placements(workspace)
    show(report, options.json)
    return 1 if report["warnings"] else 0


def _placements_list(workspace: Workspace, options: argparse.Namespace) -> None:
    from recommender.configuration import read_configuration

    show(read_configuration(workspace.configuration).as_json(), options.json)


def _status(workspace: Workspace, options: argparse.Namespace) -> None:
    from orchestration.status import read_status

    show(read_status(workspace), options.json)


def _explain(workspace: Workspace, options: argparse.Namespace) -> None:
    from services.explanation import explain

    report = explain(workspace, options.user, options.item, options.placement, options.k)
    if not options.json:
        report["items"] = [{item["item_id"]: item["sentences"]} for item in report["items"]]
    show(report, options.json)


def _export(workspace: Workspace, options: argparse.Namespace) -> None:
    from pathlib import Path

    from services.journal_export import export_table

    rows = export_table(workspace, options.table, Path(options.out))
    print(f"{rows:,} {options.table} → {options.out}", file=sys.stderr)


def _backtest(workspace: Workspace, options: argparse.Namespace) -> None:
    from orchestration.backtest import backtest

    report = backtest(
        workspace, options.source, options.path, options.cut, options.horizon, options.k, options.novel, options.out
    )
    show(report, options.json)


def _simulate(workspace: Workspace, options: argparse.Namespace) -> None:
    from orchestration.ring import simulate_tables

    simulate_tables(options.users, options.items, options.days, options.seed, options.out)
