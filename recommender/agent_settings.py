"""Which agents work by themselves and where their messages go (`agents:` in nextbest.yml). No agent is read here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from recommender.yaml_document import Document

__all__ = ["SECRET_VARIABLE", "AgentSettings", "agent_settings"]

SECRET_VARIABLE = "NEXTBEST_WEBHOOK_SECRET"  # a secret is no setting: it stays out of the file

SHAPES = ("plain", "braze", "iterable", "sendgrid")


@dataclass(frozen=True)
class AgentSettings:
    """`daily`: names of the agents that learn and decide once a day, after the marts were built; the others wait to be
    told. `learn_every_minutes`: how often they learn between these runs, where something new can be learnt (0: not).
    `webhook`: where their messages are handed over after each run, in a `shape`; without one they only lie ready.
    """

    daily: tuple[str, ...] = ()
    webhook: str = ""
    shape: str = "plain"
    learn_every_minutes: float = 60.0


def agent_settings(document: Document, body: object) -> AgentSettings:
    """Read the section; ConfigurationError with file, line and key."""
    part = document.section("agents", body or {}, tuple(AgentSettings.__dataclass_fields__))
    nobody: tuple[str, ...] = ()
    daily = part.read("daily", nobody, lambda at, value: _names(document, at, value)) or nobody
    webhook = part.read("webhook", "", lambda at, value: _address(document, at, value)) or ""
    minutes = part.number("learn_every_minutes", AgentSettings.learn_every_minutes, 0.0, 10_080.0)
    return AgentSettings(daily, webhook, part.one_of("shape", SHAPES, "plain"), minutes)


def _names(document: Document, path: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise document.error(path, f"{value!r:.80}", "a list of agents' names", "Write for example [comeback].")
    return tuple(dict.fromkeys(value))


def _address(document: Document, path: str, value: Any) -> str:
    if not isinstance(value, str) or not value.startswith(("https://", "http://")):
        raise document.error(path, f"{value!r:.80}", "an address such as https://…", "Write the webhook's address.")
    return value
