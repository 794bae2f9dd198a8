"""What an agent is: its goal, its actions, when and how often it may speak, and to whom. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from recommender.conditions import AllOf
from recommender.errors import InputError

__all__ = [
    "CAP_DAYS",
    "LEARNS_FROM",
    "NOTHING",
    "POLICIES",
    "VALUES",
    "WEEKDAYS",
    "Action",
    "Agent",
    "Cap",
    "Eligibility",
    "Frequency",
    "Goal",
    "Shares",
    "Timing",
    "Variant",
    "Window",
]

DAY_MINUTES = 24 * 60
NOTHING = "nothing"  # the action of saying nothing
VALUES = ("count", "revenue")
POLICIES = ("uniform", "fixed", "epsilon_greedy", "softmax", "lints", "thompson", "vw")
LEARNS_FROM = ("all", "own")
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
# How far a cap looks. A day is the person's own calendar day; a week and a month are any 7 and any 30 days.
CAP_DAYS: Mapping[str, int] = MappingProxyType({"day": 1, "week": 7, "month": 30})


@dataclass(frozen=True)
class Goal:
    """What counts: event type → weight, within `window_days` of a decision; `value` "count" takes the weight itself,
    "revenue" the weight × quantity × price.
    """

    outcomes: Mapping[str, float]
    value: str = "count"
    window_days: float = 7.0


@dataclass(frozen=True)
class Action:
    """One message in one channel.

    `template` and `variables` are for whoever delivers it; `slots` items are filled by the `placement`. `cost` is what
    sending costs and `offer_cost` what an accepted offer does, in units of the goal's value; at most `inventory` people
    ever get it (None: no bound). `when` is what a person must meet. `stop_after`: event type → hours for which this
    message is not sent to whoever did that.
    """

    name: str
    channel: str
    template: str = ""
    variables: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    placement: str | None = None
    slots: int = 0
    cost: float = 0.0
    offer_cost: float = 0.0
    inventory: int | None = None
    when: AllOf = field(default_factory=AllOf)
    stop_after: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Window:
    """Minutes of the person's local day, `start` ≤ minute < `end` ≤ 1440, on weekdays (0: Monday)."""

    start: int
    end: int
    weekdays: frozenset[int] = frozenset(range(7))

    @property
    def name(self) -> str:
        """Such as 09:00-12:00 mon,tue; without days where it is every day."""
        days = (
            ""
            if len(self.weekdays) == len(WEEKDAYS)
            else " " + ",".join(WEEKDAYS[day] for day in sorted(self.weekdays))
        )
        return f"{_clock(self.start)}-{_clock(self.end)}{days}"


@dataclass(frozen=True)
class Timing:
    """`windows` in which it may be sent; `quiet` minutes (start, end) of the local day, across midnight where start >
    end, in which nothing ever is; `fallback_zone` for people whose time zone is not known. InputError where a window
    reaches into the quiet minutes, or is empty.
    """

    windows: tuple[Window, ...] = (Window(9 * 60, 20 * 60),)
    quiet: tuple[int, int] | None = (21 * 60, 8 * 60)
    fallback_zone: str = "UTC"

    def __post_init__(self) -> None:
        if not self.windows:
            raise InputError("no window to send in.", "one at least.", "Name the whole day if any hour will do.")
        for window in self.windows:
            told = f"a window from {_clock(window.start)} to {_clock(window.end)}"
            if not 0 <= window.start < window.end <= DAY_MINUTES:
                raise InputError(f"{told}.", "a beginning before its end, within one day.", "Split it at midnight.")
            if any(self.is_quiet(minute) for minute in range(window.start, window.end)):
                quiet = " to ".join(_clock(minute) for minute in self.quiet or ())
                raise InputError(f"{told}, quiet from {quiet}.", "windows outside of it.", "Shorten one of them.")

    def is_quiet(self, minute: int) -> bool:
        """Whether a minute of the local day is quiet."""
        if self.quiet is None:
            return False
        start, end = self.quiet
        return start <= minute < end if start <= end else minute >= start or minute < end


@dataclass(frozen=True)
class Cap:
    """At most `limit` messages `per` day, week or month: all, those of one channel or those of one action."""

    limit: int
    per: str
    channel: str | None = None
    action: str | None = None

    @property
    def name(self) -> str:
        """What a verdict calls it."""
        scope = f" by {self.channel}" if self.channel else f" of {self.action}" if self.action else ""
        return f"{self.limit} a {self.per}{scope}"


@dataclass(frozen=True)
class Frequency:
    """`caps`; `cool_down_hours` between any two messages; `suppressed_share` of the people that could be written to,
    the least moved ones, are left alone. Messages of other agents count as well.
    """

    caps: tuple[Cap, ...] = (Cap(1, "day"), Cap(3, "week"))
    cool_down_hours: float = 0.0
    suppressed_share: float = 0.0


@dataclass(frozen=True)
class Eligibility:
    """`where`: what every person of the audience must meet; channels in `without_consent` may be used unasked (a page
    of one's own), every other needs the person's recorded yes. `stop_after`: event type → hours for which no message is
    sent to whoever did that.
    """

    where: AllOf = field(default_factory=AllOf)
    without_consent: frozenset[str] = frozenset()
    stop_after: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Shares:
    """Proportions of the audience: `holdout` is never written to, `baseline` gets `baseline_action`, what was done
    before; the agent decides for the rest.
    """

    holdout: float = 0.1
    baseline: float = 0.0
    baseline_action: str | None = None

    def named(self) -> dict[str, float]:
        """Arm → share. The holdout comes first: it keeps its people when the others' shares change."""
        rest = 1.0 - self.holdout - self.baseline
        return {"holdout": self.holdout, "baseline": self.baseline, "agent": rest}


@dataclass(frozen=True)
class Variant:
    """One of the policies that an agent tries against each other: `share` of its people, and where it differs."""

    name: str
    share: float
    policy: str
    exploration: float
    suppressed_share: float


@dataclass(frozen=True)
class Agent:
    """One agent, as its file says. `exploration` is the most decisions, as a share, that differ from what is thought
    best; `policy` names how it learns; `salt` is what the arms are drawn with. With `variants` each of these decides
    for its share of the people, and learns from all decisions or, if `learns_from_own`, from those it took itself.
    """

    name: str
    goal: Goal
    actions: tuple[Action, ...]
    audience: str = "select * from users"
    timing: Timing = field(default_factory=Timing)
    frequency: Frequency = field(default_factory=Frequency)
    eligibility: Eligibility = field(default_factory=Eligibility)
    shares: Shares = field(default_factory=Shares)
    exploration: float = 0.1
    policy: str = "lints"
    salt: str = ""
    variants: tuple[Variant, ...] = ()
    learns_from_own: bool = False

    def taking(self, variant: Variant) -> Agent:
        """The agent as it is for the people of one of its variants."""
        frequency = replace(self.frequency, suppressed_share=variant.suppressed_share)
        policy, exploration = variant.policy, variant.exploration
        return replace(self, policy=policy, exploration=exploration, frequency=frequency, variants=())

    @property
    def channels(self) -> tuple[str, ...]:
        """Every channel that it may use, in the order of the actions."""
        return tuple(dict.fromkeys(action.channel for action in self.actions))


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
