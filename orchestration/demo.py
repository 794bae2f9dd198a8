"""`nextbest demo`: the whole ring on a simulated shop, told as it happens. Every part in it is the real one."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from monitoring.retraining import LedgerEntry, read_ledger
from orchestration.agent_insights import PAGE as INSIGHTS_PAGE
from orchestration.agents import open_agent, run_agent
from orchestration.alerts import SLACK_VARIABLE, ledger_path
from orchestration.demo_agent import DEMO_AGENT, DEMO_AGENT_FILE
from orchestration.letterbox import Letterbox
from orchestration.processes import OwnedProcess, free_port
from orchestration.progress import console, following
from orchestration.resources import Ring
from orchestration.ring import anchor_clock, simulate_tables
from orchestration.runs import RunOutcome, execute
from orchestration.settings import WorkspaceSettings, save_settings
from orchestration.slack_receiver import SlackReceiver, print_message
from orchestration.tables import to_iso
from orchestration.ui import start_ui
from orchestration.visitors import Traffic, VisitorConfig, browse
from recommender.errors import NextbestError
from recommender.events import DAY_MS
from recommender.simulation import Shop, Visit
from recommender.workspace import Workspace, write_bytes_atomically

__all__ = ["DemoConfig", "run_demo"]


@dataclass(frozen=True)
class DemoConfig:
    """Size of the story; large enough for the gate to have evidence, small enough for two cores and a coffee."""

    users: int = 1_500
    items: int = 300
    days: int = 49
    seed: int = 7
    visitors_a_day: int = 225  # as many as came on a day of the simulated past
    first_days: int = 7  # a whole window: what people do changes with what they are shown
    calm_days: int = 2
    shifted_days: int = 4
    shifted_share: float = 0.7
    sensor_patience_seconds: int = 300


@dataclass
class Story:
    """What the demo has started and found so far; `close` ends everything that was started."""

    workspace: Workspace
    config: DemoConfig
    shop: Shop
    ring: Ring
    started: float = field(default_factory=time.monotonic)
    figures: dict[str, Any] = field(default_factory=dict)
    closers: list[Any] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    letterbox: Letterbox = field(init=False)  # from the day the agent is there
    slack: SlackReceiver = field(default_factory=lambda: SlackReceiver(on_message=print_message))
    now_ms: int = 0

    def __post_init__(self) -> None:
        self.now_ms = self.shop.config.end_ms

    def close(self) -> None:
        for closer in reversed(self.closers):
            closer()
        self.closers.clear()


def run_demo(workspace: Workspace, once: bool, config: DemoConfig | None = None) -> int:
    """Play the story in a fresh folder under the workspace; stay up until Ctrl-C unless `once`."""
    config = config or DemoConfig()
    space = Workspace(workspace.root / "demo")
    shutil.rmtree(space.root, ignore_errors=True)
    story = _open_shop(space, config)
    try:
        _open_slack(story)
        _first_turn(story)
        _calm_days(story)
        _taste_shift(story)
        _agents_account(story)
        _summary(story)
        if not once:
            console.print("\nEverything stays up until [bold]Ctrl-C[/].")
            threading.Event().wait()
    except KeyboardInterrupt:
        console.print("\nclosing the shop")
    finally:
        story.close()
    return 0


def _open_shop(space: Workspace, config: DemoConfig) -> Story:
    _chapter("1", f"A simulated shop opens, and the last {config.days} days of its past are landed")
    tables = space.root / "shop"
    made = simulate_tables(config.users, config.items, config.days, config.seed, str(tables))
    save_settings(space, WorkspaceSettings("simulated", str(tables)))
    return Story(space, config, made.shop, Ring(home=str(space.root)))


def _first_turn(story: Story) -> None:
    _chapter("2", "The ring turns once: validate, build features, train, pass the gate")
    outcome = _turn(story, "ring")
    story.figures["first verdict"] = outcome.metadata["champion"]["verdict"]
    _chapter("3", "The decision service opens, and answers")
    _open_service(story)
    _show_a_slate(story)
    story.figures["seconds to the first recommendation"] = round(time.monotonic() - story.started, 1)


def _calm_days(story: Story) -> None:
    _chapter("4", "People browse through the real HTTP service, an agent writes to them; Dagster's UI comes up")
    _hire_agent(story)
    _open_dagster(story)
    _visitors(story, story.config.first_days, "first days")
    _chapter(
        "5",
        "Their decisions become training rows. What they do has changed with what they are shown: drift, of our doing",
    )
    outcome = _turn(story, "ring")
    story.figures["decisions that became training rows"] = outcome.metadata["training_set"]["served_slates"]
    story.figures["drift after the first week"] = outcome.metadata["drift_report"]["verdict"]
    _agent_turn(story)
    traffic = _visitors(story, story.config.calm_days, "calm days")
    story.figures["clicks a slate, calm days"] = round(traffic.clicks_per_slate, 3)
    outcome = _turn(story, "refresh")
    story.figures["drift on calm days that follow"] = outcome.metadata["drift_report"]["verdict"]
    _agent_turn(story)


def _taste_shift(story: Story) -> None:
    config = story.config
    _chapter("6", f"Tastes shift: {config.shifted_share:.0%} of the people now want other things")
    story.shop = story.shop.shift_tastes(config.seed + 1, config.shifted_share)
    before, known = _champion(story), len(_ledger(story))
    traffic = _visitors(story, config.shifted_days, "after the shift")
    story.figures["clicks a slate, after the shift"] = round(traffic.clicks_per_slate, 3)
    outcome = _turn(story, "refresh")
    story.figures["drift after the shift"] = outcome.metadata["drift_report"]["verdict"]
    _chapter("7", "The sensor sees it and asks for one retraining; the gate decides; Slack is told")
    story.figures["retraining"] = _await_retraining(story, known)
    after = _champion(story)
    story.figures["champion"] = f"{after} (before: {before})" if after != before else f"{after} (kept)"
    story.figures["Slack messages"] = len(story.slack.messages)


def _agents_account(story: Story) -> None:
    _chapter("8", "The agent's account: what it decided, what that brought beside its holdout, what works for whom")
    outcome = _agent_turn(story)
    decided, mail = outcome.metadata["agent_messages"], story.letterbox.mail
    table = Table(title=f"one morning of {DEMO_AGENT}: {decided['people']:,} people", show_header=False)
    for name in ("arms", "actions", "windows", "why nothing"):
        counts = sorted(decided[name].items(), key=lambda one: -one[1])
        table.add_row(name, ", ".join(f"{what} {count:,}" for what, count in counts))
    console.print(table)
    for told in json.loads(_agent_page(story, INSIGHTS_PAGE).with_suffix(".json").read_text())["sentences"]:
        console.print(f"  {told}")
    story.figures["messages, opened, visits they brought"] = f"{mail.sent:,}, {mail.opened:,}, {mail.visits:,}"
    story.figures["what the agent brought"] = outcome.metadata["agent_readout"]["sentence"]
    story.figures["what works for whom"] = str(_agent_page(story, INSIGHTS_PAGE))


def _agent_page(story: Story, name: str) -> Path:
    return story.workspace.agent_reports(DEMO_AGENT) / name


def _turn(story: Story, job: str) -> RunOutcome:
    with following(job) as listen:
        outcome = execute(story.ring, job, listen)
    _ensure_success(story, job, outcome)
    anchor_clock(story.workspace)
    return outcome


def _ensure_success(story: Story, job: str, outcome: RunOutcome) -> None:
    if not outcome.is_success:
        raise NextbestError(
            f"the job {job} failed: {'; '.join(outcome.failures + outcome.failed_checks)}",
            "a turn of the ring that ends well.",
            f"read the run {outcome.run_id}: `NEXTBEST_HOME={story.workspace.root} nextbest dev`.",
        )


def _open_service(story: Story) -> None:
    from services.keys import create_key
    from services.server import start_background

    keys = {role: create_key(story.workspace, role) for role in ("read", "write")}
    handle = start_background(story.workspace, free_port())
    story.closers.append(handle.stop)
    handle.wait_ready()
    story.figures["service"] = handle.url
    story.keys = keys


def _show_a_slate(story: Story) -> None:
    import httpx

    visit = story.shop.live_visitors(story.config.visitors_a_day, story.shop.config.end_ms, story.config.seed)[0]
    answered = httpx.post(
        f"{story.figures['service']}/v1/recommend",
        headers={"Authorization": f"Bearer {story.keys['read']}"},
        json={"user_id": visit.user_id, "placement": "home", "k": 5},
        timeout=10,
    )
    answer = answered.raise_for_status().json()
    table = Table(title=f"for {visit.user_id}, decision {answer['decision_id']}")
    for column in ("rank", "item", "title", "source", "propensity"):
        table.add_column(column)
    for item in answer["items"]:
        row = (item["rank"], item["item_id"], item["title"], item["source"], f"{item['propensity']:.3f}")
        table.add_row(*map(str, row))
    console.print(table)


def _open_slack(story: Story) -> None:
    story.slack.start()
    story.closers.append(story.slack.stop)
    os.environ[SLACK_VARIABLE] = story.slack.url


def _open_dagster(story: Story) -> None:
    port = free_port()
    process: OwnedProcess = start_ui(story.workspace, "127.0.0.1", port)
    story.closers.append(process.stop)
    process.wait_until_ready(f"http://127.0.0.1:{port}/server_info", 180)
    story.figures["dagster"] = f"http://127.0.0.1:{port}/asset-groups"


def _hire_agent(story: Story) -> None:
    """Write its file. Who gets nothing, ever, is settled by the hash of a person's id."""
    path = story.workspace.agents / f"{DEMO_AGENT}.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes_atomically(path, DEMO_AGENT_FILE.encode())
    story.letterbox = Letterbox(story.figures["service"], story.keys["write"])


def _agent_turn(story: Story) -> RunOutcome:
    """The agent learns from all decisions whose outcomes are known, decides on the day that begins, and is read out."""
    ring = Ring(home=story.ring.home, at=to_iso(story.now_ms))
    with following("agent") as listen:
        outcome = execute(ring, "agents", listen, agent=DEMO_AGENT)
    _ensure_success(story, "agents", outcome)
    learnt, readout = outcome.metadata["agent_policy"], outcome.metadata["agent_readout"]
    for told in (learnt.get("messages"), learnt.get("timing"), readout.get("sentence")):
        console.print(f"  [dim]agent:[/] {told}")
    return outcome


def _visitors(story: Story, days: int, title: str) -> Traffic:
    """Days on which the agent writes in the morning, and people come by: on their own, or because of a message."""
    traffic, before = Traffic(), replace(story.letterbox.mail)
    seed = story.config.seed + story.now_ms % 97
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TextColumn("days"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        for day in bar.track(range(days), description=title):
            called = _letters(story, seed + day)
            config = VisitorConfig(story.now_ms, story.config.visitors_a_day, seed=seed + day)
            traffic += browse(story.shop, story.figures["service"], story.keys, config, called)
            story.now_ms += DAY_MS
    mail = story.letterbox.mail
    console.print(
        f"  {title}: {traffic.slates:,} slates, {traffic.clicks:,} clicks, {traffic.purchases:,} purchases, "
        f"{traffic.degraded} degraded, {traffic.failed} failed; {mail.sent - before.sent:,} messages brought "
        f"{mail.visits - before.visits:,} visits"
    )
    return traffic


def _letters(story: Story, seed: int) -> list[Visit]:
    """What the agent decides for the day, and who comes because of it."""
    work = open_agent(story.workspace, DEMO_AGENT)
    decisions, _ = run_agent(story.workspace, work, story.now_ms)
    return story.letterbox.receive(story.shop, decisions, seed)


def _await_retraining(story: Story, known: int) -> str:
    """Follow the causes that rose since, until the run that the sensor asked for has settled them."""
    deadline = time.monotonic() + story.config.sensor_patience_seconds
    risen = _ledger(story)[known:]
    if not risen:
        return "no new cause: the evidence was not enough, or the level had been high before"
    with console.status("waiting for the sensor"):
        while time.monotonic() < deadline:
            risen = _ledger(story)[known:]
            if all(entry.outcome for entry in risen):
                kinds = ", ".join(entry.cause.kind for entry in risen)
                return f"run {(risen[0].run_id or '?')[:8]} because of {kinds}: {risen[0].outcome}"
            time.sleep(1)
    return f"not settled within {story.config.sensor_patience_seconds} s"


def _ledger(story: Story) -> tuple[LedgerEntry, ...]:
    return read_ledger(ledger_path(story.workspace)).entries


def _champion(story: Story) -> str:
    from services.model_store import aliases

    return aliases(story.workspace)["champion"]


def _summary(story: Story) -> None:
    story.figures["reports"] = str(story.workspace.reports)
    story.figures["seconds in all"] = round(time.monotonic() - story.started, 1)
    table = Table(title="The ring has turned", show_header=False)
    for name, figure in story.figures.items():
        table.add_row(name, str(figure))
    console.print(table)


def _chapter(number: str, text: str) -> None:
    console.print(f"\n[bold cyan]{number}[/] [bold]{text}[/]")
