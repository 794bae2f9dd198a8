"""Agents in the ring: one partition an agent; each learns, decides, hands its messages over and is read out."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from monitoring.slack_messages import agent_not_taught, agent_stopped, messages_refused
from orchestration.agent_audit import audit_agent, audit_since
from orchestration.agent_facts import (
    due_agents,
    due_learning,
    message_facts,
    policy_facts,
    readout_facts,
    readout_pictures,
    sample_ratio_told,
)
from orchestration.agent_insights import write_insights
from orchestration.agent_learning import learn_agent
from orchestration.agent_outcomes import write_outcomes
from orchestration.agent_readout import write_agent_readout
from orchestration.agents import moment_of, open_agent, run_agent
from orchestration.alerts import now_ms, slack_of
from orchestration.defs.model import picture
from orchestration.deliveries import Webhook, deliver
from orchestration.resources import Ring
from orchestration.tables import to_iso
from recommender.agent_settings import SECRET_VARIABLE
from recommender.configuration import read_configuration
from recommender.errors import InputError, NotReadyError
from recommender.report.agent_figures import run_figure

__all__ = ["AGENTS", "agent_assets", "agent_sensors"]

# Files come and go while Dagster is up; the sensor below keeps these names.
AGENTS = dg.DynamicPartitionsDefinition(name="agents")
DELIVERY_SECONDS = 120.0
UNFINISHED = [dg.DagsterRunStatus[name] for name in ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")]

GUARDRAILS, EXPLORATION, SAMPLE_RATIO, TAKEN = "guardrails", "exploration", "sample_ratio", "taken_by_the_receiver"
EARLIER, SOUND = "earlier_guardrails", "what_was_learnt_is_sound"


@dg.asset(
    group_name="decision",
    partitions_def=AGENTS,
    kinds={"parquet"},
    deps=["events", "users", "user_states"],
    check_specs=[dg.AssetCheckSpec(SOUND, asset="agent_policy", description="What was learnt may decide for people.")],
)
def agent_policy(context: dg.AssetExecutionContext, ring: Ring) -> Iterator[Any]:
    """What the agent has learnt from every decision whose window has closed, and what each of them earned."""
    space, name = ring.workspace, context.partition_key
    work, at_ms = open_agent(space, name), moment_of(space, ring.at)
    outcomes = write_outcomes(space, work, at_ms)
    found = learn_agent(space, work, at_ms)
    refused = found["refused"]
    if refused and not found["again"]:  # once, not at every try
        slack_of(space).send(agent_not_taught(name, refused, context.run.run_id))
    yield dg.MaterializeResult(metadata=policy_facts(found, outcomes))
    # Never blocking: the last good model decides on.
    yield dg.AssetCheckResult(
        passed=not refused,
        check_name=SOUND,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{refused}; {found['version']} goes on" if refused else "it was tried on people of the audience",
    )


@dg.asset(
    group_name="decision",
    partitions_def=AGENTS,
    kinds={"parquet"},
    deps=[agent_policy],
    check_specs=[
        dg.AssetCheckSpec(
            GUARDRAILS, asset="agent_messages", blocking=True, description="Nothing forbidden was decided."
        ),
        dg.AssetCheckSpec(EXPLORATION, asset="agent_messages", description="Exploration keeps to its budget."),
        dg.AssetCheckSpec(EARLIER, asset="agent_messages", description="Runs and decisions in the moment keep caps."),
    ],
)
def agent_messages(context: dg.AssetExecutionContext, ring: Ring) -> Iterator[Any]:
    """Who of the whole audience gets which message, where and when, or none; once for each moment."""
    space, name = ring.workspace, context.partition_key
    work = open_agent(space, name)
    records, is_new = run_agent(space, work, moment_of(space, ring.at), context.log.info)
    facts, report = message_facts(work.agent, records, is_new)
    yield dg.MaterializeResult(metadata={**facts, "picture": picture(run_figure(report))})
    audit = audit_agent(space, work, records)
    if audit is None:
        told = "an earlier moment, whose audience is not there any more"
        yield from (
            dg.AssetCheckResult(passed=True, check_name=one, description=told)
            for one in (GUARDRAILS, EXPLORATION, EARLIER)
        )
        return
    if not audit.is_sound:
        slack_of(space).send(agent_stopped(name, audit.sentence, context.run.run_id))
    yield dg.AssetCheckResult(
        passed=audit.is_sound,
        check_name=GUARDRAILS,
        description=audit.sentence,
        metadata={"people for whom it was broken": dict(audit.broken)},
    )
    share = audit.explored / max(audit.messages, 1)
    yield dg.AssetCheckResult(
        passed=audit.is_within_budget,
        check_name=EXPLORATION,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{share:.1%} of {audit.messages:,} messages explored, of {audit.exploration:.1%} allowed",
        metadata={"explored": share, "allowed": audit.exploration},
    )
    # Never blocking: what was sent cannot be called back, and would hold messages back until no cap looks at it.
    earlier = audit_since(space, work)
    yield dg.AssetCheckResult(
        passed=earlier is None or earlier.is_sound,
        check_name=EARLIER,
        severity=dg.AssetCheckSeverity.WARN,
        description=earlier.sentence if earlier else "nothing was decided before",
    )


@dg.asset(
    group_name="decision",
    partitions_def=AGENTS,
    kinds={"webhook"},
    deps=[agent_messages],
    check_specs=[dg.AssetCheckSpec(TAKEN, asset="agent_deliveries", description="The receiver took every message.")],
)
def agent_deliveries(context: dg.AssetExecutionContext, ring: Ring) -> Iterator[Any]:
    """Messages handed over to the webhook of nextbest.yml, each at least once."""
    space, name = ring.workspace, context.partition_key
    settings = read_configuration(space.configuration).agents
    counts: dict[str, int] = {}
    told = "no webhook in nextbest.yml: messages lie ready for `nextbest agent export`"
    if settings.webhook:
        webhook = Webhook(settings.webhook, os.environ.get(SECRET_VARIABLE, ""), settings.shape)
        counts = deliver(space, open_agent(space, name), webhook, DELIVERY_SECONDS)
        told = ", ".join(f"{count:,} {state}" for state, count in counts.items()) or "nothing is due"
    refused, held_up = counts.get("refused", 0), counts.get("held up", 0)
    if refused:
        slack_of(space).send(messages_refused(name, refused, counts.get("delivered", 0), context.run.run_id))
    yield dg.MaterializeResult(metadata={"verdict": told, **counts})
    yield dg.AssetCheckResult(
        passed=not refused and not held_up, check_name=TAKEN, severity=dg.AssetCheckSeverity.WARN, description=told
    )


@dg.asset(
    group_name="monitoring",
    partitions_def=AGENTS,
    deps=[agent_policy],
    check_specs=[
        dg.AssetCheckSpec(SAMPLE_RATIO, asset="agent_readout", description="Arms have the people they should.")
    ],
)
def agent_readout(context: dg.AssetExecutionContext, ring: Ring) -> Iterator[Any]:
    """What the agent brings beside its holdout, and its policies beside each other, person by person, with intervals;
    by segment and by day.
    """
    try:
        report = write_agent_readout(ring.workspace, open_agent(ring.workspace, context.partition_key))
    except (InputError, NotReadyError) as problem:  # one arm only, or nobody yet
        yield dg.MaterializeResult(metadata={"verdict": "nothing to read yet", "sentence": str(problem)})
        yield dg.AssetCheckResult(passed=True, check_name=SAMPLE_RATIO, description=problem.found)
        return
    drawn = {name: picture(figure) for name, figure in readout_pictures(report).items()}
    yield dg.MaterializeResult(metadata={**readout_facts(report), **drawn})
    passed, told = sample_ratio_told(report)
    yield dg.AssetCheckResult(passed=passed, check_name=SAMPLE_RATIO, description=told)


@dg.asset(group_name="monitoring", partitions_def=AGENTS, deps=[agent_policy])
def agent_insights(context: dg.AssetExecutionContext, ring: Ring) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """What works for whom, when people respond and when they tire, as a page."""
    space, at_ms = ring.workspace, moment_of(ring.workspace, ring.at)
    try:
        page = write_insights(space, context.partition_key, at_ms)
    except NotReadyError as problem:
        return dg.MaterializeResult(metadata={"verdict": str(problem)})
    told = json.loads(page.with_suffix(".json").read_text())["sentences"]
    report = dg.MetadataValue.url(page.as_uri())
    return dg.MaterializeResult(
        metadata={"what it says": dg.MetadataValue.md("\n".join(f"- {one}" for one in told)), "report": report}
    )


@dg.sensor(
    job_name="agents",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="A partition for each agent's file; those named under `agents.daily` run once a day, on fresh marts.",
)
def daily_agents(context: dg.SensorEvaluationContext, ring: Ring) -> dg.SensorResult:
    """Marts are fresh for a day after `user_states` was built; one run for each agent and such a build's day."""
    built = context.instance.get_latest_materialization_event(dg.AssetKey("user_states"))
    due = due_agents(ring.workspace, None if built is None else built.timestamp)
    known = set(context.instance.get_dynamic_partitions("agents"))
    changes: list[Any] = []
    if new := sorted(set(due.names) - known):
        changes.append(AGENTS.build_add_request(new))
    if gone := sorted(known - set(due.names)):
        changes.append(AGENTS.build_delete_request(gone))
    at = {"resources": {"ring": {"config": {"home": ring.home, "at": to_iso(due.now_ms)}}}}
    requests = [
        dg.RunRequest(f"{name}/{due.day}", partition_key=name, run_config=at, tags={"nextbest/agent": name})
        for name in due.wanted
    ]
    return dg.SensorResult(requests, due.reason if not requests else None, dynamic_partitions_requests=changes)


@dg.sensor(
    job_name="agents_learn",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Agents under `agents.daily` learn between their runs, as soon as new outcomes are known.",
)
def agents_learn(context: dg.SensorEvaluationContext, ring: Ring) -> dg.SensorResult:
    """The cursor says when each agent was last looked at. A run waits in Dagster's queue for whatever holds the
    workspace; no second one is asked for meanwhile.
    """
    waiting = dg.RunsFilter(job_name="agents_learn", statuses=UNFINISHED)
    if context.instance.get_runs_count(waiting):
        return dg.SensorResult(skip_reason="the last runs are not over yet")
    now = datetime.now(UTC).timestamp()
    due = due_learning(ring.workspace, json.loads(context.cursor or "{}"), now, now_ms(ring.workspace))
    known = context.instance.get_dynamic_partitions("agents")  # those of a new file come with the other sensor
    at = {"resources": {"ring": {"config": {"home": ring.home, "at": to_iso(due.now_ms)}}}}
    requests = [
        dg.RunRequest(f"{name}/{due.asked[name]:.0f}", partition_key=name, run_config=at, tags={"nextbest/agent": name})
        for name in due.wanted
        if name in known
    ]
    cursor = json.dumps(dict(due.asked), sort_keys=True)
    return dg.SensorResult(requests, due.reason if not requests else None, cursor=cursor)


def agent_assets() -> list[dg.AssetsDefinition]:
    """Assets of agents: three of the group `decision`, two of `monitoring`."""
    return [agent_policy, agent_messages, agent_deliveries, agent_readout, agent_insights]


def agent_sensors() -> list[dg.SensorDefinition]:
    """Who knows agents' files and asks for their runs, and who lets them learn in between."""
    return [daily_agents, agents_learn]
