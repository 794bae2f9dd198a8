"""The verbs of `nextbest agent`, from `check` to `deliver`: words to functions. No work is done here."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from orchestration.cli_output import show, tell
from recommender.agent_settings import SECRET_VARIABLE
from recommender.errors import NextbestError, NotReadyError
from recommender.workspace import Workspace

__all__ = ["add_agent_verbs"]


def add_agent_verbs(verbs: Any) -> None:
    """Add the group of verbs."""
    group = verbs.add_parser("agent", help="AI decisioning: who gets which message, where and when, or none")
    group = group.add_subparsers(required=True, metavar="VERB")
    check = group.add_parser("check", help="read agents' files, and compare them with the data")
    check.add_argument("files", nargs="*", type=Path, metavar="FILE", help="default: all in the workspace's agents/")
    check.add_argument("--json", action="store_true")
    check.set_defaults(action=_check)
    for name, told, action in (
        ("dry-run", "decide for the whole audience, and write nothing", _dry_run),
        ("run", "decide for the whole audience, once for each moment", _run),
        ("learn", "learn from all decisions whose outcomes are known", _learn),
    ):
        verb = group.add_parser(name, help=told)
        verb.add_argument("name", metavar="NAME")
        verb.add_argument("--at", default="", metavar="T", help="the moment (default: now, or where the data end)")
        verb.add_argument("--json", action="store_true")
        if name == "learn":
            verb.add_argument("--anyway", action="store_true", help="serve it though outcomes seem to have ceased")
        verb.set_defaults(
            action=lambda workspace, options, action=action: show(action(workspace, options), options.json)
        )
    _add_readout(group)
    _add_insights(group)
    _add_deliveries(group)


def _add_readout(group: Any) -> None:
    readout = group.add_parser("readout", help="what it brings beside its holdout; 1 when the sample ratio is broken")
    readout.add_argument("name", metavar="NAME")
    readout.add_argument("--control", metavar="ARM", help="default: the holdout, and the first policy")
    readout.add_argument("--peeking", action="store_true", help="judge by the interval that holds at every look")
    readout.add_argument("--confidence", type=float, default=0.95)
    readout.add_argument("--out", type=Path, metavar="DIR", help="for the page and its figures (default: reports/)")
    readout.add_argument("--json", action="store_true")
    readout.set_defaults(action=_readout)


def _add_insights(group: Any) -> None:
    insights = group.add_parser("insights", help="what works for whom, when people respond, when they tire: a page")
    insights.add_argument("name", metavar="NAME")
    insights.add_argument("--at", default="", metavar="T", help="judged by then (default: now, or where the data end)")
    insights.add_argument("--out", type=Path, metavar="PAGE.html", help="default: among its reports")
    insights.add_argument("--json", action="store_true", help="all figures, as beside the page")
    insights.set_defaults(action=_insights)


def _add_deliveries(group: Any) -> None:
    export = group.add_parser("export", help="its messages as a file")
    export.add_argument("name", metavar="NAME")
    export.add_argument("--out", required=True, type=Path, metavar="FILE", help="that ends in .parquet or .csv")
    export.add_argument("--from", dest="start", default="", metavar="T", help="to be sent from then on")
    export.add_argument("--until", default="", metavar="T", help="to be sent before then")
    export.set_defaults(action=_export)
    hand_over = group.add_parser("deliver", help="hand its messages to a webhook, each at least once")
    hand_over.add_argument("name", metavar="NAME")
    hand_over.add_argument("--webhook", required=True, metavar="URL", help=f"signed with {SECRET_VARIABLE}")
    hand_over.add_argument("--shape", default="plain", choices=("plain", "braze", "iterable", "sendgrid"))
    hand_over.add_argument("--wait", type=float, default=60.0, metavar="S", help="for tries that must wait")
    hand_over.add_argument("--ahead", type=float, default=24.0, metavar="H", help="hours before it is to be sent")
    hand_over.add_argument("--json", action="store_true")
    hand_over.set_defaults(action=lambda workspace, options: show(_deliver(workspace, options), options.json))


def _check(workspace: Workspace, options: argparse.Namespace) -> int:
    from orchestration.agent_report import check_agent
    from orchestration.agents import moment_of

    try:
        now_ms: int | None = moment_of(workspace, "")
    except NotReadyError:
        now_ms = None
        tell("There are no marts yet: the files are read, and compared with nothing.")
    files = options.files or sorted(workspace.agents.glob("*.yml"))
    if not files:
        raise NotReadyError(f"no agent in {workspace.agents}.", "one file an agent.", "see docs/agents.md.")
    reports, wrong = [], 0
    for path in files:
        try:
            reports.append(check_agent(workspace, path, now_ms))
        except NextbestError as problem:
            wrong += 1
            tell(f"nextbest: {problem}")
    show({"agents": reports}, options.json)
    return 1 if wrong else 0


def _dry_run(workspace: Workspace, options: argparse.Namespace) -> dict[str, Any]:
    from orchestration.agent_report import run_report
    from orchestration.agents import decide_agent, moment_of, open_agent

    work = open_agent(workspace, options.name)
    return run_report(work.agent, decide_agent(workspace, work, moment_of(workspace, options.at), tell))


def _run(workspace: Workspace, options: argparse.Namespace) -> dict[str, Any]:
    from orchestration.agent_report import run_report
    from orchestration.agents import moment_of, open_agent, run_agent

    work = open_agent(workspace, options.name)
    records, is_new = run_agent(workspace, work, moment_of(workspace, options.at), tell)
    if not is_new:
        tell("This moment was decided before; nothing was changed.")
    return {**run_report(work.agent, records), "is_new": is_new}


def _learn(workspace: Workspace, options: argparse.Namespace) -> dict[str, Any]:
    from orchestration.agent_learning import learn_agent
    from orchestration.agent_outcomes import write_outcomes
    from orchestration.agents import moment_of, open_agent

    work, now_ms = open_agent(workspace, options.name), moment_of(workspace, options.at)
    write_outcomes(workspace, work, now_ms)
    return {"agent": work.agent.name, **learn_agent(workspace, work, now_ms, anyway=options.anyway)}


def _readout(workspace: Workspace, options: argparse.Namespace) -> int:
    from orchestration.agent_readout import write_agent_readout
    from orchestration.agents import open_agent
    from orchestration.cli_experiment import show_readout
    from recommender.experiments.effects import EffectConfig
    from recommender.experiments.readout import ReadoutConfig

    config = ReadoutConfig(options.control, options.peeking, EffectConfig(1.0 - options.confidence))
    report = write_agent_readout(workspace, open_agent(workspace, options.name), config, options.out)
    return show_readout(report, options.json)


def _insights(workspace: Workspace, options: argparse.Namespace) -> None:
    from orchestration.agent_insights import write_insights
    from orchestration.agents import moment_of

    page = write_insights(workspace, options.name, moment_of(workspace, options.at), options.out)
    found = json.loads(page.with_suffix(".json").read_bytes())
    show(found if options.json else {"page": str(page), "sentences": found["sentences"]}, options.json)


def _export(workspace: Workspace, options: argparse.Namespace) -> None:
    from orchestration.agents import moment_of, open_agent
    from orchestration.deliveries import export_messages

    start, until = (moment_of(workspace, told) if told else None for told in (options.start, options.until))
    count = export_messages(workspace, open_agent(workspace, options.name), options.out, start, until)
    tell(f"{count:,} messages → {options.out}")


def _deliver(workspace: Workspace, options: argparse.Namespace) -> dict[str, Any]:
    from orchestration.agents import open_agent
    from orchestration.deliveries import HOUR_MS, Webhook, deliver

    ahead_ms = round(options.ahead * HOUR_MS)
    webhook = Webhook(options.webhook, os.environ.get(SECRET_VARIABLE, ""), options.shape, ahead_ms)
    return {"agent": options.name, **deliver(workspace, open_agent(workspace, options.name), webhook, options.wait)}
