"""Messages out of the house: as a file, or one signed request each to a webhook. What is sent was decided before."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv
import pyarrow.parquet as pq

from orchestration.agents import AgentAtWork, read_agent_decisions
from orchestration.catalogue_now import items_now
from orchestration.known_events import known_deeds
from orchestration.outbox import Outbox, Waiting
from recommender.agents.consents import withdrawn
from recommender.agents.deeds import overtaken
from recommender.agents.messages import SHAPES, messages_of
from recommender.agents.turns import alone
from recommender.errors import InputError, NoAddressError
from recommender.workspace import Workspace, write_bytes_atomically
from services.consent_log import said_consents
from services.erasure import people_being_erased

__all__ = ["HOUR_MS", "Webhook", "deliver", "export_messages", "signature_of"]

HOUR_MS = 3_600_000
DECIDED_BEFORE_MS = 48 * HOUR_MS  # a run decides of the day that follows it, in every zone
ASKED_EVERY_S = 5.0  # whether somebody said no meanwhile: while a receiver is slow a call lasts for minutes
BATCH = 16  # synced together; so many at most come twice when the sender dies
SIGNATURE, KEY = "X-Nextbest-Signature", "Idempotency-Key"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
FIRST_OK, LAST_OK, FIRST_ERROR = 200, 299, 500
# About the way there, not the message: an expired key, a moved address. A day's messages are not lost for that.
NOT_ABOUT_IT = frozenset({0, *range(300, 400), 401, 403, 404, 405, 407, 408, 425, 429})


@dataclass(frozen=True)
class Webhook:
    """Where messages go. `ahead_ms`: how long before its moment a message is handed over (its `send_at` says when to
    send); `late_ms`: after that it is given up. Tries are apart by `first_wait_ms` × 2ⁿ, at most `longest_wait_ms`.
    """

    url: str
    secret: str
    shape: str = "plain"
    ahead_ms: int = 24 * HOUR_MS
    late_ms: int = HOUR_MS
    first_wait_ms: int = 1000
    longest_wait_ms: int = 15 * 60_000
    at_once: int = 4
    timeout_s: float = 10.0

    def __post_init__(self) -> None:
        address = httpx.URL(self.url)
        if address.scheme != "https" and not (address.scheme == "http" and address.host in LOOPBACK):
            found, expected = f"the webhook {self.url}.", "https, or http on this machine."
            raise InputError(found, expected, "Messages name people: send them encrypted.")
        if not self.ahead_ms > 0:
            found = f"messages handed over {self.ahead_ms / HOUR_MS:g} hours before they are to be sent."
            raise InputError(found, "more than none.", "A quarter of an hour is 0.25.")
        if not self.secret:
            remedy = "Set NEXTBEST_WEBHOOK_SECRET to what the receiver checks signatures with."
            raise InputError("no secret to sign with.", "one that the receiver knows.", remedy)

    def wait_ms(self, message: Waiting) -> int:
        """Until the next try: doubled each time, and up to a quarter longer by the id, so that not all come at once."""
        plain = int(min(self.first_wait_ms << min(message.attempts, 20), self.longest_wait_ms))
        return plain + plain * int(message.decision_id[:4], 16) // (4 * 0xFFFF)


def signature_of(secret: str, timestamp: int, body: bytes) -> str:
    """`t=<seconds>,v1=<HMAC-SHA256 of "<seconds>.<body>">`: the receiver checks the age as well as the bytes."""
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def export_messages(
    workspace: Workspace, work: AgentAtWork, out: Path, from_ms: int | None, until_ms: int | None
) -> int:
    """Write the messages to be sent in [from, until) as .parquet or .csv (lists as JSON); returns how many.

    Without those to people who are being erased, or who said no to the channel before the moment of sending.
    """
    records = read_agent_decisions(workspace, work.agent.name, of_runs=True)
    gone = _being_erased(workspace, records)
    gone |= withdrawn(work.agent, records, said_consents(workspace), records["send_at"])
    messages = _messages(workspace, work, records.filter(pa.array(~gone)))
    at = messages["send_at"].cast(pa.int64())
    if from_ms is not None:
        messages, at = (part.filter(pc.greater_equal(at, from_ms)) for part in (messages, at))
    if until_ms is not None:
        messages = messages.filter(pc.less(at, until_ms))
    buffer = io.BytesIO()
    if out.suffix == ".parquet":
        pq.write_table(messages, buffer)
    elif out.suffix == ".csv":
        items = [json.dumps(ids or []) for ids in messages["item_ids"].to_pylist()]
        place = messages.schema.get_field_index("item_ids")
        pv.write_csv(messages.set_column(place, "item_ids", pa.array(items, pa.string())), buffer)
    else:
        raise InputError(f"--out {out}.", "a name that ends in .parquet or .csv.", "Name the file that way.")
    write_bytes_atomically(out, buffer.getvalue())
    return int(messages.num_rows)


def deliver(
    workspace: Workspace,
    work: AgentAtWork,
    webhook: Webhook,
    wait_s: float = 0.0,
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
) -> dict[str, int]:
    """Hand over what is due and not yet delivered; for tries that must wait, stay up to `wait_s` seconds.

    Returns how many messages of the agent are in each state. 2xx is delivered; no answer, 429 (after its
    Retry-After), 5xx and what is wrong with the way there (NOT_ABOUT_IT) are tried again, this time or in the next
    call; any other answer is a refusal that stays. Consents and erasures are looked up again before anything is handed
    over, and every few seconds while it lasts. Calls for one agent wait for each other: two at once would send
    everything twice.
    """
    folder = workspace.agent_deliveries(work.agent.name)
    with alone(folder), closing(Outbox(folder / "outbox.db")) as outbox:
        records = _fill(outbox, workspace, work, webhook, now_ms())
        outbox.expire(now_ms() - webhook.late_ms)
        asked = time.monotonic()
        last = asked + wait_s
        with httpx.Client(timeout=webhook.timeout_s) as http, ThreadPoolExecutor(webhook.at_once) as pool:
            while True:
                if time.monotonic() - asked >= ASKED_EVERY_S:
                    _take_back(outbox, workspace, work, records)
                    outbox.expire(now_ms() - webhook.late_ms)
                    asked = time.monotonic()
                batch = outbox.due(now_ms(), now_ms() + webhook.ahead_ms, BATCH)
                answers = list(pool.map(lambda message: _post(http, webhook, message, now_ms()), batch))
                with outbox.together():
                    for message, answer in zip(batch, answers, strict=True):
                        _settle(outbox, webhook, message, answer, now_ms())
                due_ms = outbox.next_due_ms(now_ms() + webhook.ahead_ms)
                pause = None if due_ms is None else max(0.0, (due_ms - now_ms()) / 1000)
                if pause is None or (time.monotonic() + pause > last and pause > 0):
                    return outbox.counts()
                time.sleep(pause)


def _messages(workspace: Workspace, work: AgentAtWork, records: pa.Table) -> pa.Table:
    """The decisions as messages, their items described as the catalogue does now."""
    has_items = pc.any(pc.is_valid(records["item_ids"])).as_py()
    return messages_of(work.agent, records, items_now(workspace) if has_items else None)


def _fill(outbox: Outbox, workspace: Workspace, work: AgentAtWork, webhook: Webhook, now_ms: int) -> pa.Table:
    """Everything decided that is not over yet; what is there already stays as it was first put. Returns whose it is."""
    since_ms = now_ms - webhook.late_ms - DECIDED_BEFORE_MS
    # What was decided in the moment is sent by whoever asked for it.
    records = read_agent_decisions(workspace, work.agent.name, since_ms=since_ms, of_runs=True)
    left = records.filter(pa.array(~_being_erased(workspace, records)))
    messages = _messages(workspace, work, left)
    over = pc.less(messages["send_at"].cast(pa.int64()), now_ms - webhook.late_ms)
    shape, nowhere = SHAPES[webhook.shape], []

    def shaped(message: dict[str, Any]) -> bytes:
        try:
            return json.dumps(shape(message), sort_keys=True).encode()
        except NoAddressError:
            nowhere.append(message["decision_id"])
            return b"{}"

    moments = messages.filter(pc.invert(over))["send_at"].cast(pa.int64()).to_pylist()
    rows = zip(messages.filter(pc.invert(over)).to_pylist(), moments, strict=True)
    outbox.put((row["decision_id"], at_ms, shaped(row)) for row, at_ms in rows)
    outbox.keep_back(nowhere, "refused", "no address")
    whose = records.select(["decision_id", "user_id", "channel", "action", "send_at"])
    _take_back(outbox, workspace, work, whose)
    late = overtaken(work.agent, whose, known_deeds(workspace, work.agent, now_ms))
    outbox.keep_back(whose["decision_id"].filter(pa.array(late)).to_pylist(), "withdrawn", "stop_after")
    return whose


def _take_back(outbox: Outbox, workspace: Workspace, work: AgentAtWork, records: pa.Table) -> None:
    """What is addressed to people who are being erased, with every trace; and what they said no to since."""
    ids = records["decision_id"]
    outbox.drop(ids.filter(pa.array(_being_erased(workspace, records))).to_pylist())
    unwanted = withdrawn(work.agent, records, said_consents(workspace))
    outbox.keep_back(ids.filter(pa.array(unwanted)).to_pylist(), "withdrawn", "said no to the channel")


def _being_erased(workspace: Workspace, records: pa.Table) -> npt.NDArray[np.bool_]:
    """bool (n): whose records they are."""
    erasing = pa.array(people_being_erased(workspace), pa.string())
    return np.asarray(pc.is_in(records["user_id"], value_set=erasing).to_numpy(), dtype=bool)


@dataclass(frozen=True)
class _Answer:
    """Status 0 where none came."""

    status: int
    told: str
    retry_after_ms: int = 0


def _post(http: httpx.Client, webhook: Webhook, message: Waiting, now_ms: int) -> _Answer:
    headers = {
        "Content-Type": "application/json",
        KEY: message.decision_id,
        SIGNATURE: signature_of(webhook.secret, now_ms // 1000, message.body),
    }
    try:
        answer = http.post(webhook.url, content=message.body, headers=headers)
    except httpx.HTTPError as problem:
        return _Answer(0, f"{type(problem).__name__}: {problem}"[:200])
    after = answer.headers.get("Retry-After", "")
    return _Answer(answer.status_code, answer.text[:200], int(after) * 1000 if after.isdigit() else 0)


def _settle(outbox: Outbox, webhook: Webhook, message: Waiting, answer: _Answer, now_ms: int) -> None:
    if FIRST_OK <= answer.status <= LAST_OK:
        outbox.settle(message.decision_id, "delivered")
    elif answer.status in NOT_ABOUT_IT or answer.status >= FIRST_ERROR:
        wait_ms = max(webhook.wait_ms(message), answer.retry_after_ms)
        outbox.postpone(message.decision_id, now_ms + wait_ms, f"{answer.status} {answer.told}")
    else:
        outbox.settle(message.decision_id, "refused", f"{answer.status} {answer.told}")
