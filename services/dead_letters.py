"""Reading dead letters and replaying them through the very parser that refused them. The tables are the journal's.

After the parser learned something, or with messages that a person corrected: a letter that passes is stored once,
by its message id, and marked; one that fails again stays with its new reason. Works beside a running service.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import orjson

from recommender.workspace import Workspace
from services.clock import Clock
from services.journal import Journal
from services.records import Entry, Message, OpenLetter, Settled
from services.segment import BadMessage, parse_message

__all__ = ["ReplayReport", "list_letters", "replay_letters", "waiting_reasons"]

_AT_ONCE = 500  # letters in one commit: a running service waits for its turn behind it


@dataclass(frozen=True)
class ReplayReport:
    """`stored`: messages that count now; `duplicates`: sent again meanwhile; `failed`: waiting on, by new reason."""

    stored: int
    duplicates: int
    failed: Mapping[str, int]


def waiting_reasons(workspace: Workspace) -> dict[str, int]:
    """How many letters wait, by reason, the most frequent first."""
    if not workspace.journal.exists():
        return {}
    with closing(Journal(workspace.journal)) as journal:
        return journal.letter_reasons()


def list_letters(workspace: Workspace, limit: int) -> list[OpenLetter]:
    """The oldest letters that wait."""
    if not workspace.journal.exists():
        return []
    with closing(Journal(workspace.journal)) as journal:
        return journal.open_letters(0, limit)


def replay_letters(workspace: Workspace, corrected: Mapping[int, Any] | None = None) -> ReplayReport:
    """Parse every waiting letter again, or only the corrected ones: letter id → the message as it should have been.

    What is stored is known from now on (`recorded_at`); when it happened is reckoned from its first arrival.
    """
    if not workspace.journal.exists():
        return ReplayReport(0, 0, {})
    clock = Clock.from_settings(workspace.settings)
    stored = duplicates = 0
    failed: dict[str, int] = {}
    with closing(Journal(workspace.journal)) as journal:
        after = 0
        while letters := journal.open_letters(after, _AT_ONCE):
            after = letters[-1].letter_id
            if corrected is not None:
                letters = [letter for letter in letters if letter.letter_id in corrected]
            entry = _replayed(letters, corrected or {}, clock)
            with journal.turn():
                (receipt,) = journal.append([entry])
            stored, duplicates = stored + receipt.stored, duplicates + receipt.duplicates
            for fate in entry.settled:
                if fate.reason is not None:
                    failed[fate.reason] = failed.get(fate.reason, 0) + 1
    return ReplayReport(stored, duplicates, failed)


def _replayed(letters: list[OpenLetter], corrected: Mapping[int, Any], clock: Clock) -> Entry:
    """What the letters have become: messages in the order of their arrival, and the fate of each letter."""
    now_ms = clock.now_ms()
    messages: list[Message] = []
    fates: list[Settled] = []
    for letter in letters:
        try:
            messages.append(_message(letter, corrected.get(letter.letter_id), clock, now_ms))
            fates.append(Settled(letter.letter_id, now_ms))
        except BadMessage as reason:
            fates.append(Settled(letter.letter_id, now_ms, str(reason)))
    return Entry(messages=tuple(messages), settled=tuple(fates))


def _message(letter: OpenLetter, corrected: Any, clock: Clock, now_ms: int) -> Message:
    body = orjson.loads(letter.raw) if corrected is None else corrected
    if isinstance(body, dict) and not body.get("messageId"):
        # Two replays at once must find the same id.
        body = {**body, "messageId": hashlib.sha256(letter.raw).hexdigest()}
    return parse_message(body, letter.sent_at, clock, letter.received_ms, recorded_ms=now_ms)
