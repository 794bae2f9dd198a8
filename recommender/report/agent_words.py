"""What an agent's figures say in words: the three sentences of its page, reasons and units. No figure is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

__all__ = ["Words", "day", "reason_words", "three_sentences"]

Figures = Mapping[str, Any]

REASONS = {
    "holdout": "held out, to measure what messages bring",
    "consent": "no consent to any channel",
    "eligibility": "not eligible",
    "action": "no message whose conditions they meet",
    "timing": "no window within the day",
    "cool-down": "written to too short a time before",
    "suppressed": "little moved by messages: left alone",
    "inventory": "nothing left in stock",
    "baseline action not allowed": "the usual message was not allowed",
}


@dataclass(frozen=True)
class Words:
    """`goal` as a sentence; `unit` of a value, such as purchases; effects are shown `scale` times: `per` 100
    messages."""

    goal: str
    unit: str
    scale: float = 100.0

    @classmethod
    def of(cls, insights: Figures) -> Words:
        goal = insights["goal"]
        outcomes, days = goal["outcomes"], goal["window_days"]
        told = ", ".join(f"{name.replace('_', ' ')} {weight:+g}" for name, weight in outcomes.items())
        plain = goal["value"] == "count" and list(outcomes.values()) == [1.0]
        unit = f"{next(iter(outcomes)).replace('_', ' ')}s" if plain else "value"
        of = "its revenue" if goal["value"] == "revenue" else "each"
        text = f"It counts what people do within {days:g} {'day' if days == 1 else 'days'} of a decision: {told}"
        return cls(f"{text}{'' if plain else f', times {of}'}.", unit)

    @property
    def per(self) -> str:
        """Such as purchases per 100 messages."""
        return f"{self.unit} per {self.scale:g} messages"

    def number(self, value: float) -> str:
        """Two or three digits that matter, with its sign."""
        size = abs(value)
        text = f"{value:+,.0f}" if size >= 100 else f"{value:+.1f}" if size >= 1 else f"{value:+.2f}"
        return text.replace("-", "−")

    def span(self, own: Figures) -> str:
        """Such as +3.4 [+1.2, +5.5], of an effect for `scale` messages."""
        value, low, high = (self.number(self.scale * own[name]) for name in ("value", "low", "high"))
        return f"{value} [{low}, {high}]"


def three_sentences(insights: Figures, readout: Figures | None, words: Words) -> list[tuple[str, bool]]:
    """What it did, what it earned, what works for whom; each with whether it is a finding that was proven."""
    return [(_did(insights), False), _earned(readout, words), _for_whom(insights, words)]


def reason_words(reason: str) -> str:
    """Why nothing was sent, for somebody who did not write the file."""
    if reason.startswith("cap "):
        return f"had enough messages ({reason[4:]})"
    return REASONS.get(reason, reason or "no reason kept")


def day(text: str) -> str:
    """2026-06-01 as 1 June 2026."""
    return date.fromisoformat(text).strftime("%-d %B %Y")


def _did(insights: Figures) -> str:
    own = insights["activity"]
    if not own["decisions"]:
        return "It has not decided anything yet."
    held = own["arms"].get("holdout", 0)
    aside = f" {held:,} people are held out, so that what it brings can be told." if held else ""
    return (
        f"From {day(own['since'])} to {day(own['until'])} it decided {own['decisions']:,} times for {own['people']:,} "
        f"people and sent {own['messages']:,} messages to {own['written_to']:,} of them.{aside}"
    )


def _earned(readout: Figures | None, words: Words) -> tuple[str, bool]:
    if readout is None:
        return "What it brings cannot be told: nobody is held out to compare with.", False
    if readout["verdict"] == "refused":
        return f"What it brings cannot be told: {readout['sentence']}", False
    own = next((one for one in readout["comparisons"] if one["arm"] == "agent"), readout["comparisons"][0])
    if own["low"] is None:
        return "What it brings cannot be told yet: too little has happened.", False
    span = f"[{own['low']:+.3g}, {own['high']:+.3g}]".replace("-", "−")
    if own["proven"] == "no":
        return (
            f"What it brings is not proven yet: {own['difference']:+.3g} {words.unit} a person {span} against the "
            f"{own['control']}; a difference of {own['detectable']:.3g} would be seen four times in five."
        ).replace("-", "−"), False
    lift = "" if own["lift"] is None else f" ({own['lift']:+.1%})".replace("-", "−")
    less = "more" if own["difference"] > 0 else "less"
    return (
        f"Each of its people brought {abs(own['difference']):.3g} {words.unit} {less} than people of the "
        f"{own['control']}{lift}: 95 % {span}.",
        own["difference"] > 0,
    )


def _for_whom(insights: Figures, words: Words) -> tuple[str, bool]:
    """The greatest proven difference of each question, in words."""
    told = []
    for part in insights["segments"]:
        kept = [
            (group, own)
            for group in part["groups"]
            if group["differs"]["is_proven"] and (own := group["effects"][part["best"]])["value"] is not None
        ]
        if not kept:
            continue
        group, own = max(kept, key=lambda one: one[1]["value"])
        if part["question"] == "message":
            told.append(f"A message moves this group most ({group['words']}): {words.span(own)} {words.per}.")
        else:
            beats = f"{part['best']} beats the other messages" if own["value"] > 0 else f"{part['best']} does worse"
            told.append(f"In this one ({group['words']}) {beats}: {words.span(own)} {words.per}.")
    if not told:
        return "Nobody is proven to respond differently from the others so far.", False
    return " ".join(told), True
