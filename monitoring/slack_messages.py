"""What Slack is told, in Block Kit: drift, retrains, refused bundles, failed runs, stopped batches. Nothing is sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from monitoring.drift import DriftResult

__all__ = [
    "Figure",
    "Message",
    "agent_not_taught",
    "agent_stopped",
    "bundle_refused",
    "drift_found",
    "messages_refused",
    "retrain_finished",
    "retrain_started",
    "run_failed",
    "validation_stopped",
]

Block = dict[str, Any]

# Slack refuses a whole message over these (https://docs.slack.dev/reference/block-kit/blocks).
_HEADER_LIMIT = 150
_SECTION_LIMIT = 3000
_LIST_LIMIT = 10


@dataclass(frozen=True)
class Message:
    """A notification line (`text`, also the fallback where blocks cannot be shown) and its blocks."""

    text: str
    blocks: tuple[Block, ...]

    def body(self) -> dict[str, Any]:
        """The webhook's JSON body."""
        return {"text": self.text, "blocks": list(self.blocks)}


@dataclass(frozen=True)
class Figure:
    """A number with its interval, in the unit that `name` tells."""

    name: str
    value: float
    low: float
    high: float


def drift_found(drift: DriftResult, model_version: str, run_id: str, report: str) -> Message:
    """What drifted and how far, against which champion, found by which run. `report` is an address or a path."""
    lines = [
        f"*{_plain(column.column)}*: {column.effect:.3f}, limit {column.threshold:.3f} ({column.method})"
        for column in drift.drifted
    ]
    return _message(
        f"Drift found: {len(drift.drifted)} of {len(drift.columns)} columns",
        _plain(drift.sentence()),
        _listed(lines),
        facts=[f"champion `{_code(model_version)}`", f"run `{_code(run_id)}`", _link(report, "report")],
    )


def retrain_started(reasons: Sequence[str], model_version: str, run_id: str) -> Message:
    """Why a retrain began. `reasons` are the causes' sentences."""
    return _message(
        "Retraining started",
        _listed([_plain(reason) for reason in reasons]),
        facts=[f"champion `{_code(model_version)}`", f"run `{_code(run_id)}`"],
    )


def retrain_finished(
    *,
    is_promoted: bool,
    challenger: str,
    champion: str | None,
    reasons: Sequence[str],
    figures: Sequence[Figure],
    run_id: str,
    canary_share: float = 0.0,
) -> Message:
    """What became of a retrain: promoted or refused, the gate's reasons, the figures with their intervals.

    `champion` is the one that the challenger met; None when there was none yet. `canary_share`: of the people who get
    a promoted one first, 0 where everybody does.
    """
    title = "New champion promoted" if is_promoted else "Challenger refused, the champion stays"
    lines = [f"*{_plain(f.name)}*: {f.value:.4f} ({f.low:.4f} to {f.high:.4f})" for f in figures]
    against = f"against champion `{_code(champion)}`" if champion else "no champion before it"
    return _message(
        f"Challenger shown to {canary_share:.0%} of the people" if is_promoted and canary_share else title,
        _listed([_plain(reason) for reason in reasons]),
        _listed(lines),
        facts=[f"challenger `{_code(challenger)}`", against, f"run `{_code(run_id)}`"],
    )


def bundle_refused(version: str, reason: str, successor: str, by: str) -> Message:
    """A bundle that was taken out of service or kept out of it, why, and which one serves instead ("": as before)."""
    return _message(
        "Champion rolled back" if successor else "Bundle refused",
        _plain(reason),
        facts=[f"bundle `{_code(version)}`", f"by {_plain(by)}", *([f"now `{_code(successor)}`"] if successor else [])],
    )


def run_failed(job: str, run_id: str, step: str | None, error: str) -> Message:
    """A run that ended in an error, with the error's first lines."""
    return _message(
        f"Run failed: {job}",
        f"```{_code(error.strip())[:1000] or 'no error text'}```",
        facts=[f"step `{_code(step)}`" if step else "before any step", f"run `{_code(run_id)}`"],
    )


def agent_stopped(agent: str, sentence: str, run_id: str) -> Message:
    """Decisions that broke a guardrail: they are written, and nothing of them is handed over."""
    return _message(
        f"Agent {agent} stopped: its decisions broke a guardrail",
        _plain(sentence),
        facts=["no message of this run was handed over", f"run `{_code(run_id)}`"],
    )


def agent_not_taught(agent: str, sentence: str, run_id: str) -> Message:
    """What an agent learnt is not served: the model before it goes on."""
    return _message(
        f"Agent {agent}: what it learnt is not served",
        _plain(sentence),
        facts=["the last good model decides", f"run `{_code(run_id)}`"],
    )


def messages_refused(agent: str, refused: int, delivered: int, run_id: str) -> Message:
    """Messages that the receiver will never take, of how many that it took."""
    return _message(
        f"Agent {agent}: {refused:,} messages refused",
        f"The webhook took {delivered:,} and refused {refused:,}; a refusal stays.",
        facts=[f"`nextbest agent deliver {_code(agent)}` tells states", f"run `{_code(run_id)}`"],
    )


def validation_stopped(failures: Sequence[str], run_id: str, docs: str) -> Message:
    """Data that was stopped before training. `failures` are the failed expectations' sentences."""
    return _message(
        f"Data stopped before training: {len(failures)} expectation(s) failed",
        _listed([_plain(failure) for failure in failures]),
        facts=[f"run `{_code(run_id)}`", _link(docs, "data docs")],
    )


def _message(title: str, *sections: str, facts: Iterable[str]) -> Message:
    header = {"type": "header", "text": {"type": "plain_text", "text": title[:_HEADER_LIMIT], "emoji": False}}
    bodies = ({"type": "section", "text": _markup(section)} for section in sections if section)
    context = {"type": "context", "elements": [_markup(fact) for fact in facts]}
    return Message(title, (header, *bodies, context))


def _markup(text: str) -> Block:
    return {"type": "mrkdwn", "text": text[:_SECTION_LIMIT]}


def _listed(lines: Sequence[str]) -> str:
    """One line each, the first ten; the rest as a number."""
    shown = [f"• {line[:250]}" for line in lines[:_LIST_LIMIT]]
    rest = len(lines) - len(shown)
    return "\n".join(shown + ([f"… and {rest} more"] if rest else []))


def _plain(text: str) -> str:
    """The three characters that Slack's markup gives a meaning (a `<!channel>` in an error would ring everybody)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _code(text: str) -> str:
    return _plain(text).replace("`", "'")


def _link(target: str, name: str) -> str:
    """An address becomes a link; a path on the machine can only be shown."""
    return f"<{target}|{name}>" if target.startswith(("http://", "https://")) else f"{name}: `{_code(target)}`"
