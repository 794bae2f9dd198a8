"""What the journal is handed: parsed messages, rejected ones and decisions, as plain values. Nothing is stored here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from recommender.events import Interaction

__all__ = [
    "ANONYMOUS_PREFIX",
    "AgentDecision",
    "CatalogueRow",
    "DeadLetter",
    "Entry",
    "Erasure",
    "Message",
    "OpenLetter",
    "Receipt",
    "RecordedEvent",
    "Settled",
    "anonymous_user",
]

ANONYMOUS_PREFIX = "anon:"


def anonymous_user(anonymous_id: str) -> str:
    """The canonical user id of somebody who has not been identified."""
    return ANONYMOUS_PREFIX + anonymous_id


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """One canonical event with the columns of EVENT_SCHEMA that an Interaction leaves out."""

    interaction: Interaction
    recorded_ms: int
    session_id: str | None = None
    properties: str | None = None  # JSON text


@dataclass(frozen=True, slots=True)
class Message:
    """One accepted message: at most once by `message_id`, with the events and the identities it carries."""

    message_id: str
    raw: bytes
    received_ms: int
    events: tuple[RecordedEvent, ...] = ()
    identities: tuple[tuple[str, str], ...] = ()  # (canonical id, the user it is from now on)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One rejected message, kept as it arrived; the same bytes rejected again are the same letter."""

    reason: str
    raw: bytes
    received_ms: int
    sent_at: str | None = None  # the batch's, for the clock's correction at a replay


@dataclass(frozen=True, slots=True)
class OpenLetter:
    """A dead letter that waits for its replay."""

    letter_id: int
    reason: str
    received_ms: int
    raw: bytes
    sent_at: str | None


@dataclass(frozen=True, slots=True)
class Settled:
    """What a replay made of a letter: stored at `replayed_ms`, or refused once more for a reason."""

    letter_id: int
    replayed_ms: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class CatalogueRow:
    """What was said of one item: columns of CATALOGUE_SCHEMA, `attributes` as an object."""

    item_id: str
    said: Mapping[str, Any]
    recorded_ms: int


@dataclass(frozen=True, slots=True)
class AgentDecision:
    """What an agent decided in the moment, and on which ground: `row` has the columns of AGENT_DECISION_SCHEMA.

    `people` are all ids of the person, and `latest_send` the number of the last message to any of them that was seen;
    `in_stock` is how many messages of its action may go out in the moment at all (None: no bound).
    """

    row: Mapping[str, Any]
    people: tuple[str, ...]
    latest_send: int = 0
    in_stock: int | None = None

    @property
    def is_message(self) -> bool:
        return self.row["send_at"] is not None


@dataclass(frozen=True, slots=True)
class Erasure:
    """That a person is to be erased, by a user id or an anonymous one; `asked_ms` by the service's clock."""

    person: str
    asked_ms: int


@dataclass(frozen=True, slots=True)
class Entry:
    """What one request wants on disk before it is answered; stored whole or not at all."""

    messages: tuple[Message, ...] = ()
    dead_letters: tuple[DeadLetter, ...] = ()
    decision: Mapping[str, Any] | None = None  # the columns of DECISION_SCHEMA
    items: tuple[CatalogueRow, ...] = ()
    settled: tuple[Settled, ...] = ()
    agent_decision: AgentDecision | None = None
    erasure: Erasure | None = None

    @property
    def needs_sync(self) -> bool:
        """Whether it must survive a loss of power as soon as it is acknowledged; a decision must survive a kill, and
        one that sends something both: caps count it."""
        is_sent = self.agent_decision is not None and self.agent_decision.is_message
        told = self.messages or self.dead_letters or self.items or self.settled or self.erasure
        return bool(told or is_sent)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of an entry, once committed."""

    stored: int = 0
    duplicates: int = 0
    events: int = 0
    rejected: tuple[str, ...] = field(default=())  # reasons
    items: int = 0  # rows of the catalogue that changed something
    agent_decision: str = ""  # what `agent_log` made of it
    erasure_id: str = ""
