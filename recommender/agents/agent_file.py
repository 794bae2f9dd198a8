"""An agent's file read and checked; what is wrong is told with file, line and key. No agent acts here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from recommender.agents.agent import (
    CAP_DAYS,
    LEARNS_FROM,
    NOTHING,
    POLICIES,
    VALUES,
    WEEKDAYS,
    Action,
    Agent,
    Cap,
    Eligibility,
    Frequency,
    Goal,
    Shares,
    Timing,
    Window,
)
from recommender.agents.policy_settings import policy_settings
from recommender.conditions import AllOf, parse_condition
from recommender.errors import ConfigurationError, InputError, RequestError
from recommender.yaml_document import Document, Section

__all__ = ["parse_agent", "read_agent", "read_agent_files"]

MAX_ACTIONS = 100
MAX_STOP_HOURS = 24.0 * 90
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
ANY_TIME = Timing((Window(0, 24 * 60),), quiet=None)
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")
_TOP = (
    "actions", "audience", "eligibility", "exploration", "frequency", "goal", "learns_from", "name", "policies",
    "policy", "salt", "shares", "timing",
)  # fmt: skip


def read_agent_files(
    folder: Path, broken: dict[str, ConfigurationError] | None = None
) -> dict[str, tuple[Agent, bytes]]:
    """Every `*.yml` of a folder by the agent's name, with the bytes that it was read from; none without a folder.

    Raises ConfigurationError, or keeps what cannot be read in `broken`, by the file's name without its ending: a
    half-written file then stops no other agent.
    """
    found: dict[str, tuple[Agent, bytes]] = {}
    for path in sorted(folder.glob("*.yml")):
        try:
            raw = _bytes_of(path)
            agent = parse_agent(raw, path.name)
        except ConfigurationError as problem:
            if broken is None:
                raise
            broken[path.stem] = problem
            continue
        if agent.name in found:
            raise ConfigurationError(f"{path.name}: a second agent {agent.name}.", "one of each name.", "Rename one.")
        found[agent.name] = agent, raw
    return found


def read_agent(path: Path) -> Agent:
    """Read one file; raises ConfigurationError."""
    return parse_agent(_bytes_of(path), path.name)


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        told = f"{path}: {problem.strerror or problem}."
        raise ConfigurationError(told, "a file that can be read.", "Correct its path or permissions.") from None


def parse_agent(raw: bytes, file: str) -> Agent:
    """Read the file's bytes; `file` is what errors call it, and its stem the agent's name where it states none."""
    document = Document.parse(raw, file)
    top = document.section("", document.value or {}, _TOP, needed=("goal", "actions"))
    name = _text(document, "name", top.given.get("name", Path(file).stem))
    if not NAME.fullmatch(name):
        expected = "up to 64 small letters, digits, - and _"
        raise document.error("name", f"{name!r:.80}", expected, "Rename the agent or its file.")
    actions = _actions(document, top.given["actions"])
    agent = Agent(
        name=name,
        goal=_goal(document, top.given["goal"]),
        actions=actions,
        audience=_text(document, "audience", top.given.get("audience", Agent.audience)),
        timing=top.read("timing", Timing(), lambda at, value: _timing(document, at, value)) or ANY_TIME,
        frequency=top.read("frequency", Frequency(), lambda at, value: _frequency(document, at, value, actions))
        or Frequency(()),
        eligibility=top.read("eligibility", Eligibility(), lambda at, value: _eligibility(document, at, value))
        or Eligibility(),
        shares=top.read("shares", Shares(), lambda at, value: _shares(document, at, value, actions)) or Shares(0.0),
        exploration=top.number("exploration", Agent.exploration, 0.0, 1.0),
        policy=top.one_of("policy", POLICIES, Agent.policy),
        salt=_text(document, "salt", top.given.get("salt", name)),
    )
    several = top.given.get("policies")
    variants = () if several is None else policy_settings(document, "policies", several, agent)
    for key, wants in (("policy", False), ("learns_from", True)):
        if key in top.given and bool(variants) != wants:
            found = f"{key} {'beside' if variants else 'without'} policies"
            raise document.error(key, found, "one policy, or several under policies", f"Remove {key}.")
    return replace(agent, variants=variants, learns_from_own=top.one_of("learns_from", LEARNS_FROM, "all") == "own")


def _goal(document: Document, value: object) -> Goal:
    part = document.section("goal", value, ("outcomes", "value", "window_days"), needed=("outcomes",))
    outcomes = part.mapping("outcomes")
    if not outcomes:
        raise document.error("goal.outcomes", "no outcome", "event types with weights", "Add one: `purchase: 1`.")
    weights = {
        str(name): document.number(f"goal.outcomes.{name}", weight, -1e6, 1e6) for name, weight in outcomes.items()
    }
    if not any(weight > 0 for weight in weights.values()):
        raise document.error("goal.outcomes", "no positive weight", "one at least", "Say what is wanted.")
    return Goal(
        MappingProxyType(weights), part.one_of("value", VALUES, "count"), part.number("window_days", 7.0, 0.01, 365.0)
    )


_ACTION = (
    "channel", "cost", "inventory", "name", "offer_cost", "placement", "slots", "stop_after", "template", "variables",
    "when",
)  # fmt: skip


def _actions(document: Document, value: object) -> tuple[Action, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_ACTIONS:
        raise document.error("actions", f"{value!r:.80}", f"a list of 1 to {MAX_ACTIONS} actions", "List them.")
    actions: list[Action] = []
    for place, body in enumerate(value):
        action = _action(document, f"actions[{place}]", body)
        if action.name in [other.name for other in actions]:
            raise document.error(
                f"actions[{place}].name", f"a second action {action.name}", "one of each", "Rename it."
            )
        actions.append(action)
    return tuple(actions)


def _action(document: Document, path: str, body: object) -> Action:
    part = document.section(path, body, _ACTION, needed=("name", "channel"))
    name, channel, template = (
        _text(document, f"{path}.{key}", part.given.get(key, "")) for key in ("name", "channel", "template")
    )
    for key, text in (("name", name), ("channel", channel)):
        if not NAME.fullmatch(text) or text == NOTHING:
            expected = f"up to 64 small letters, digits, - and _, and not {NOTHING}"
            raise document.error(f"{path}.{key}", f"{text!r:.80}", expected, "Rename it.")
    slots = part.whole("slots", 0, 0, 100)
    placement = part.given.get("placement")
    if slots and not isinstance(placement, str):
        raise document.error(f"{path}.placement", f"{slots} slots and no placement", "what fills them", "Name one.")
    return Action(
        name=name,
        channel=channel,
        template=template,
        variables=MappingProxyType({str(key): str(text) for key, text in part.mapping("variables").items()}),
        placement=placement,
        slots=slots,
        cost=part.number("cost", 0.0, 0.0, 1e9),
        offer_cost=part.number("offer_cost", 0.0, 0.0, 1e9),
        inventory=part.read("inventory", None, lambda at, limit: document.whole(at, limit, 0, 10**9)),
        when=_condition(document, f"{path}.when", part),
        stop_after=_stop_after(document, part),
    )


def _timing(document: Document, path: str, value: object) -> Timing:
    part = document.section(path, value, ("fallback_zone", "quiet", "windows"))
    default = Timing()
    quiet = part.read("quiet", default.quiet, lambda at, text: _span(document, at, text))
    zone = _text(document, f"{path}.fallback_zone", part.given.get("fallback_zone", default.fallback_zone))
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, KeyError):
        raise document.error(
            f"{path}.fallback_zone", f"{zone!r:.80}", "an IANA zone such as Europe/Berlin", "Correct it."
        ) from None
    windows = part.rules("windows", default.windows, lambda at, body: _window(document, at, body))
    for place in range(max(len(windows), 1)):
        try:
            Timing(windows[place : place + 1], quiet, zone)
        except InputError as problem:
            at = f"{path}.windows[{place}]"
            raise document.error(at, problem.found.rstrip("."), problem.expected.rstrip("."), problem.remedy) from None
    return Timing(windows, quiet, zone)


def _window(document: Document, path: str, body: object) -> Window:
    part = document.section(path, body, ("at", "weekdays"), needed=("at",))
    start, end = _span(document, f"{path}.at", part.given["at"])
    weekdays = part.names("weekdays", WEEKDAYS, WEEKDAYS)
    return Window(start, end, frozenset(WEEKDAYS.index(day) for day in weekdays))


def _span(document: Document, path: str, value: object) -> tuple[int, int]:
    """ "21:00-08:00" as two minutes of the day."""
    ends = value.split("-") if isinstance(value, str) else []
    found = [_CLOCK.fullmatch(end.strip()) for end in ends]
    if len(found) != 2 or not all(found):
        raise document.error(path, f"{value!r:.80}", 'two times such as "09:00-12:30"', "Write them in quotes.")
    start, end = (1440 if match[0] == "24:00" else int(match[1]) * 60 + int(match[2]) for match in found if match)
    return start, end


def _frequency(document: Document, path: str, value: object, actions: tuple[Action, ...]) -> Frequency:
    part = document.section(path, value, ("caps", "cool_down_hours", "suppressed_share"))
    default = Frequency()
    return Frequency(
        part.rules("caps", default.caps, lambda at, body: _cap(document, at, body, actions)),
        part.number("cool_down_hours", default.cool_down_hours, 0.0, 24.0 * 365),
        part.number("suppressed_share", default.suppressed_share, 0.0, 1.0),
    )


def _cap(document: Document, path: str, body: object, actions: tuple[Action, ...]) -> Cap:
    part = document.section(path, body, ("action", "channel", "limit", "per"), needed=("limit", "per"))
    if "action" in part.given and "channel" in part.given:
        raise document.error(path, "an action and a channel", "one of them", "Write two caps.")
    names, channels = (tuple(dict.fromkeys(getattr(action, key) for action in actions)) for key in ("name", "channel"))
    return Cap(
        part.whole("limit", 1, 0, 10_000),
        part.one_of("per", tuple(CAP_DAYS), "day"),
        part.one_of("channel", channels, "") or None,
        part.one_of("action", names, "") or None,
    )


def _eligibility(document: Document, path: str, value: object) -> Eligibility:
    part = document.section(path, value, ("stop_after", "where", "without_consent"))
    free = part.given.get("without_consent") or []
    if not isinstance(free, list) or not all(isinstance(one, str) for one in free):
        raise document.error(f"{path}.without_consent", f"{free!r:.80}", "a list of channels", "List them.")
    return Eligibility(_condition(document, f"{path}.where", part), frozenset(free), _stop_after(document, part))


def _stop_after(document: Document, part: Section) -> Mapping[str, float]:
    """Event types with hours; `stop_after: {purchase: 24}`."""
    path = f"{part.path}.stop_after"
    return MappingProxyType(
        {
            str(name): document.number(f"{path}.{name}", hours, 0.0, MAX_STOP_HOURS)
            for name, hours in part.mapping("stop_after").items()
        }
    )


def _shares(document: Document, path: str, value: object, actions: tuple[Action, ...]) -> Shares:
    part = document.section(path, value, ("baseline", "baseline_action", "holdout"))
    names = tuple(action.name for action in actions)
    shares = Shares(
        part.number("holdout", Shares.holdout, 0.0, 1.0),
        part.number("baseline", Shares.baseline, 0.0, 1.0),
        part.one_of("baseline_action", names, "") or None,
    )
    if shares.holdout + shares.baseline > 1.0:
        found = f"a holdout of {shares.holdout:g} and a baseline of {shares.baseline:g}"
        raise document.error(path, found, "at most 1 together", "Lower one of them.")
    if shares.baseline and shares.baseline_action is None:
        raise document.error(path, "a baseline without baseline_action", "what was done before", "Name the action.")
    return shares


def _condition(document: Document, path: str, part: Section) -> AllOf:
    body: Any = part.given.get(path.rpartition(".")[2])
    try:
        return AllOf() if body is None else parse_condition(body, path)
    except RequestError as problem:
        at = max((known for known in document.lines if problem.found.startswith(known)), key=len, default=path)
        raise document.error(at, problem.found.rstrip("."), problem.expected.rstrip("."), problem.remedy) from None


def _text(document: Document, path: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise document.error(path, f"{value!r:.80}", "a text", "Put it in quotes.")
    return str(value).strip()
