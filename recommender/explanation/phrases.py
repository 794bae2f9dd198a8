"""Features and generators in words that a marketer reads. No figure is computed here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from recommender.explanation.reasons import Contribution, Proposal, Reasons, Seed

__all__ = ["GENERATOR_PHRASES", "sentences"]

GENERATOR_PHRASES: Mapping[str, str] = {
    "history": "it is in the person's own history",
    "viewed": "the person looked at it lately and has not bought it",
    "replenish": "it is about due to be bought again",
    "session": "it goes with what the person did last",
    "covisitation": "it is chosen together with items of the person's history",
    "bought_together": "it is bought together with items of the person's history",
    "ease": "it follows from the whole history, by what people with like histories chose",
    "ease_recent": "it follows from the history, by what people with like histories chose lately",
    "als": "it fits the person's taste as like-minded people show it",
    "content": "it is alike in text, category, brand or price to what the person chose",
    "like_recent": "it is alike in text, category, brand or price to what the person looked at last",
    "sequence": "it usually comes next after what the person did last",
    "arrivals": "it is new",
    "popular": "many people choose it",
    "popular_category": "it is popular in the categories of the person's taste",
    "popular_segment": "many people in the person's country or on their device choose it",
    "trending": "it sells better than usual these days",
}

_PLAIN = "{value:.4g}"
_DAYS = "{value:.0f} days"
_SHARE = "{value:.0%}"
# Feature → (words, how its value is written); counts that the assembler stores as log(1 + n) are told as n.
_FEATURES: Mapping[str, tuple[str, str]] = {
    "pair_events": ("events of the person with it", "{value:.0f}"),
    "pair_purchases": ("purchases of it by the person", "{value:.0f}"),
    "pair_strength": ("strength of the person's past interest in it", "{value:.0f}"),
    "pair_share": ("its share of the person's events", _SHARE),
    "pair_days_since_last": ("since the person's last event with it", _DAYS),
    "pair_days_since_first": ("since the person's first event with it", _DAYS),
    "pair_gap_days": ("the person's usual interval with it", _DAYS),
    "pair_due_ratio": ("time passed over the person's usual interval with it", _PLAIN),
    "pair_events_per_visit": ("events with it per visit", _PLAIN),
    "pair_visits_since_last": ("visits since the last event with it", "{value:.0f}"),
    "pair_recency_rank": ("its place among the person's latest items", "{value:.0f}"),
    "pair_recent_skips": ("times it was shown lately and skipped", "{value:.0f}"),
    "category_share": ("the person's interest in its category", _SHARE),
    "brand_share": ("the person's interest in its brand", _SHARE),
    "price_difference": ("its price against the person's usual, log ratio", _PLAIN),
    "price_distance": ("how far its price is from the person's usual, log ratio", _PLAIN),
    "item_age_days": ("since it was listed", _DAYS),
    "item_idle_days": ("since anybody's last event with it", _DAYS),
    "item_trend": ("its last week against its usual week", _PLAIN),
    "item_repeat_rate": ("of its people come back to it", _SHARE),
    "item_new_share": ("of its people of the last four weeks met it then for the first time", _SHARE),
    "item_news_trend": ("its new people of the last week against its usual week", _PLAIN),
    "popularity_difference": ("its popularity against the person's latest choices, log ratio", _PLAIN),
    "age_difference": ("how long it is listed against the person's latest choices, log ratio", _PLAIN),
    "user_visit_new_share": ("of the person's latest visit was new to the person", _SHARE),
    "user_recent_new_share": ("of the person's latest choices were new to the person", _SHARE),
    "user_days_since_last": ("since the person's last event", _DAYS),
    "user_due_ratio": ("time passed over the person's usual interval between purchases", _PLAIN),
}
_LOGGED: Mapping[str, str] = {
    "item_events": "events with it ever",
    "item_events_1d": "events with it in the last day",
    "item_events_7d": "events with it in the last week",
    "item_events_28d": "events with it in the last four weeks",
    "item_users": "people who met it",
    "item_users_28d": "people who met it in the last four weeks",
    "item_purchases_28d": "purchases of it in the last four weeks",
    "item_new_users_7d": "people who met it for the first time in the last week",
    "item_new_users_14d": "people who met it for the first time in the last two weeks",
    "item_new_users_28d": "people who met it for the first time in the last four weeks",
    "user_events": "events of the person",
    "user_purchases": "purchases of the person",
    "user_items": "different items in the person's history",
    "user_visit_items": "items of the person's latest visit",
}


def sentences(reasons: Reasons) -> list[str]:
    """The reasons as sentences: its place, who proposed it, because of which history, carried by which features."""
    told = [_place(reasons)]
    told += [_proposal(proposal) for proposal in reasons.proposals if proposal.is_proposed]
    if not any(proposal.is_proposed for proposal in reasons.proposals):
        told.append(_nobody(reasons))
    if reasons.history:
        told.append("Nearest in the history: " + "; ".join(_seed(seed) for seed in reasons.history) + ".")
    told += [_feature(feature) for feature in reasons.features]
    return told


def _place(reasons: Reasons) -> str:
    name = f"{reasons.item_id} {reasons.title}".strip()
    if reasons.rank is None:
        return f"{name} was not among the {reasons.candidates} candidates that were ranked."
    return (
        f"{name} is number {reasons.rank} of {reasons.candidates} candidates by the model, score {reasons.score:.3f}."
    )


def _proposal(proposal: Proposal) -> str:
    why = GENERATOR_PHRASES.get(proposal.generator, proposal.generator)
    return f"Proposed by {proposal.generator} (place {proposal.rank}): {why}."


def _nobody(reasons: Reasons) -> str:
    ranked = sorted((proposal for proposal in reasons.proposals if proposal.rank), key=lambda found: found.rank or 0)
    if not ranked:
        return "No generator has anything to say for it."
    near = [f"{found.generator} has it at place {found.rank} and may propose {found.limit}" for found in ranked[:3]]
    return "No generator proposed it: " + "; ".join(near) + "."


def _seed(seed: Seed) -> str:
    name = f"{seed.item_id} {seed.title}".strip()
    times = "once" if seed.events == 1 else f"{seed.events} times"
    return f"{name} ({times}, last {seed.days_ago:.0f} days ago, {seed.share:.0%} of what the history says)"


def _feature(feature: Contribution) -> str:
    lifts = "lifts it" if feature.lift > 0 else "lowers it"
    return f"{_words(feature)} {lifts} by {abs(feature.lift):.3f}."


def _words(feature: Contribution) -> str:
    name, value = feature.feature, feature.value
    if value is None:
        return f"Unknown: {_FEATURES.get(name, (_generated(name), ''))[0]}:"
    if name in _LOGGED:
        return f"{math.expm1(value):,.0f} {_LOGGED[name]}:"
    if name in _FEATURES:
        words, shape = _FEATURES[name]
        shown = shape.format(value=value)
        return f"{shown} {words}:" if shape in (_DAYS, _SHARE) else f"{words[0].upper()}{words[1:]}, {shown}:"
    return f"{_generated(name)}, {value:.4g}:"


def _generated(name: str) -> str:
    """Words for a retrieval column, else the feature's own name."""
    for prefix, suffix, words in _RETRIEVAL:
        generator = name.removeprefix(prefix).removesuffix(suffix)
        if name == f"{prefix}{generator}{suffix}" and generator in GENERATOR_PHRASES:
            return words(generator)
    return name.replace("_", " ").capitalize()


_RETRIEVAL: tuple[tuple[str, str, Callable[[str], str]], ...] = (
    ("retrieval_", "_relative", lambda generator: f"Score of {generator} against its best"),
    ("retrieval_", "", lambda generator: f"Score of {generator}"),
)
