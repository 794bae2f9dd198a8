"""What is asked of a decision, read from JSON and checked. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recommender.decision.placements import PLACEMENTS, Placement
from recommender.decision.request_fields import (
    MAX_ID_LENGTH,
    as_text,
    read_context,
    read_somebody,
    refused,
    require_object,
)
from recommender.decision.rules import Filter
from recommender.retrieval.knowledge import Needs
from recommender.states import Contexts

__all__ = ["FIELDS", "LIST_LIMITS", "DecisionRequest"]

LIST_LIMITS = {"context_items": 100, "candidates": 1_000, "exclude": 10_000}
FIELDS = ("user_id", "anonymous_id", "placement", "k", *LIST_LIMITS, "filter", "needs", "context")


@dataclass(frozen=True)
class DecisionRequest:
    """One checked request: who, where, how many, under which conditions, and when.

    `candidates` None means that retrieval proposes them. `context` holds what the caller says of the
    moment (`device` and `channel` reach the model); `filter_body` and `needs_body` are as they were sent.
    """

    decision_id: str
    decided_ms: int
    placement: str
    k: int
    user_id: str | None = None
    anonymous_id: str | None = None
    context_items: tuple[str, ...] = ()
    candidates: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    filter: Filter = field(default_factory=Filter)
    filter_body: Mapping[str, Any] = field(default_factory=dict)
    needs: Needs | None = None
    needs_body: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(
        cls, body: object, decision_id: str, decided_ms: int, placements: Mapping[str, Placement] = PLACEMENTS
    ) -> DecisionRequest:
        """Read a decoded JSON body; raises RequestError with a sentence for whatever cannot be answered."""
        body = require_object(body, FIELDS)
        user_id, anonymous_id = read_somebody(body)
        placement = _placement(body.get("placement", "home"), placements)
        lists = {name: _ids(body, name, limit) for name, limit in LIST_LIMITS.items()}
        filter_body = {} if body.get("filter") is None else body["filter"]
        needs_body = body.get("needs")
        _require(body, placement)
        return cls(
            decision_id=decision_id,
            decided_ms=decided_ms,
            placement=placement.name,
            k=_k(body.get("k"), placement),
            user_id=user_id,
            anonymous_id=anonymous_id,
            context_items=lists["context_items"] or (),
            candidates=lists["candidates"],
            exclude=lists["exclude"] or (),
            filter=Filter.parse(filter_body),
            filter_body=filter_body,
            needs=None if needs_body is None else Needs.parse(needs_body),
            needs_body=needs_body or {},
            context=_context(body.get("context")),
        )

    @property
    def subject(self) -> str:
        """The id under which the person is known: the user's, else the anonymous one."""
        return self.user_id or self.anonymous_id or ""

    def contexts(self) -> Contexts:
        """The moment as the assembler takes it: a batch of one."""
        device, channel = (str(self.context.get(name) or "") for name in ("device", "channel"))
        return Contexts(
            np.array([self.decided_ms], np.int64), [self.placement], [device], [channel], [self.context_items]
        )

    def context_text(self) -> str:
        """The record's `context`: what the caller said of the moment, and the context items."""
        items = {"context_items": list(self.context_items)} if self.context_items else {}
        return as_text({**self.context, **items})

    def filter_text(self) -> str:
        """The record's `filter`: the filter as sent, the excluded items and the needs."""
        exclude = {"exclude": list(self.exclude)} if self.exclude else {}
        return as_text({**self.filter_body, **exclude, **({"needs": self.needs_body} if self.needs_body else {})})


def _ids(body: Mapping[str, Any], name: str, limit: int) -> tuple[str, ...] | None:
    value = body.get(name)
    if value is None:
        return None
    # As sets of types and lengths: a loop over 200 ids takes four times as long.
    are_texts = isinstance(value, list) and set(map(type, value)) <= {str}
    if not are_texts or max(map(len, value), default=0) > MAX_ID_LENGTH:
        raise refused(f"{name} = {value!r:.80}", "a list of item ids as texts", "Send the ids as a list of texts.")
    if len(value) > limit:
        raise refused(f"{len(value)} ids in {name}", f"at most {limit}", "Send fewer.")
    return tuple(value)


def _placement(name: object, placements: Mapping[str, Placement]) -> Placement:
    found = placements.get(name) if isinstance(name, str) else None
    if found is None:
        raise refused(f"placement = {name!r:.80}", f"one of {', '.join(placements)}", "Name a known placement.")
    return found


def _require(body: Mapping[str, Any], placement: Placement) -> None:
    for name in placement.requires:
        if body.get(name) is None:
            raise refused(
                f"no {name} in a request to the placement {placement.name}",
                f"{name}",
                f"Send {name}, or ask elsewhere.",
            )


def _k(value: object, placement: Placement) -> int:
    if value is None:
        return placement.default_k
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= placement.max_k:
        return value
    expected = f"a whole number from 1 to {placement.max_k} for {placement.name}"
    raise refused(f"k = {value!r:.80}", expected, "Ask for that many, or leave k out.")


def _context(value: object) -> Mapping[str, Any]:
    context = read_context(value)
    if "context_items" in context:
        raise refused("context_items inside context", "it beside context", "Move it one level up.")
    for name in ("device", "channel"):
        if not isinstance(context.get(name, ""), str):
            raise refused(f"context.{name} = {context[name]!r:.80}", "a text", "Send it as text.")
    return context
