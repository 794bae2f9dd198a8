"""The policies that an agent tries against each other, as its file says: read and checked. Nobody is assigned here."""

from __future__ import annotations

import difflib
import re

from recommender.agents.agent import POLICIES, Agent, Variant
from recommender.yaml_document import Document

__all__ = ["policy_settings"]

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
KEYS = ("exploration", "policy", "share", "suppressed_share")


def policy_settings(document: Document, path: str, value: object, agent: Agent) -> tuple[Variant, ...]:
    """Variants in the order of the file: `lints: 0.5`, or a name with a share and what differs from the agent.

    ConfigurationError with file, line and key.
    """
    if not isinstance(value, dict) or len(value) < 2:
        raise document.error(path, f"{value!r:.80}", "two policies or more, each with its share", "Add another one.")
    variants = tuple(_variant(document, f"{path}.{name}", name, body, agent) for name, body in value.items())
    total = sum(variant.share for variant in variants)
    if abs(total - 1.0) > 1e-9:
        raise document.error(path, f"shares that sum up to {total:g}", "shares that sum up to 1", "Correct them.")
    return variants


def _variant(document: Document, path: str, name: object, body: object, agent: Agent) -> Variant:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise document.error(path, f"the name {name!r:.80}", "small letters, digits, _ and -", "Rename it.")
    if not isinstance(body, dict):
        body = {"share": body}
    part = document.section(path, body, KEYS, needed=("share",))
    if "policy" not in body and name not in POLICIES:
        near = difflib.get_close_matches(name, POLICIES, n=1)
        remedy = f"Did you mean {near[0]}?" if near else f"Write {{share: …, policy: {POLICIES[-3]}}}."
        found, expected = f"{name!r:.80} without a policy", f"policy: one of {', '.join(POLICIES)}, or its name"
        raise document.error(path, found, expected, remedy)
    share = part.number("share", 0.0, 0.0, 1.0)
    if not share:
        raise document.error(path, "a share of 0", "more", "Raise it, or remove the policy.")
    return Variant(
        name,
        share,
        part.one_of("policy", POLICIES, name),
        part.number("exploration", agent.exploration, 0.0, 1.0),
        part.number("suppressed_share", agent.frequency.suppressed_share, 0.0, 1.0),
    )
