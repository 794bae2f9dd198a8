"""When and where people respond: what a message gains by window, weekday, local hour, channel and place.

Windows, hours and channels were drawn, so each is weighed by its chance, as an experiment of its own beside saying
nothing. Nobody's place was drawn: what a message gains there is compared, not what would happen elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.agents.agent import WEEKDAYS, Window
from recommender.agents.audience import Audience
from recommender.agents.insights.estimates import by_group, difference, holm_pvalues, mean_of
from recommender.agents.insights.evidence import Evidence
from recommender.agents.moments import local_days, local_minutes

__all__ = ["by_channel", "by_hour", "by_place", "by_window"]

PLACES = 8  # the largest zones and countries; the others are told together
OTHERS = "others"
MONDAY = 3  # 1970-01-01 was a Thursday: (days + 3) % 7 is 0 on Mondays
ALPHA = 0.05

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def by_window(evidence: Evidence, people: pa.Table | None = None) -> dict[str, Any] | None:
    """`windows`: what a message in each gains over none; `weekdays`: the same by the local day of sending, a row a day
    (Monday first) and a cell a window, None where nothing was sent."""
    windows = evidence.agent.timing.windows
    names = [window.name for window in windows]
    code, chance = evidence.codes("send_window", names), evidence.records["window_propensity"].to_numpy()
    found = evidence.versus_nothing(names, code, chance)
    if found is None:
        return None
    gains = [found.gain(place) for place in range(len(names))]
    days = [_weekday(evidence, people, code == place)[found.row] for place in range(len(names))]
    cells = [by_group(gain, day, len(WEEKDAYS), found.owner) for gain, day in zip(gains, days, strict=True)]
    return {
        "names": names,
        "windows": [mean_of(gain, found.owner).as_json() for gain in gains],
        "nothing": mean_of(found.values[:, -1], found.owner).as_json(),
        "weekdays": [
            [cell[day].as_json() if cell[day].rows else None for cell in cells] for day in range(len(WEEKDAYS))
        ],
    }


def by_hour(evidence: Evidence, people: pa.Table | None) -> list[dict[str, Any]]:
    """What a message gains over none by the local hour of sending; within a window the minute is drawn evenly, so the
    chance of an hour is its part of the window times the window's own. Empty without people's zones."""
    if people is None or not evidence.is_sent.any():
        return []
    windows = evidence.agent.timing.windows
    window = evidence.codes("send_window", [one.name for one in windows])
    hour = np.where(evidence.is_sent, _local(evidence, people, local_minutes) // 60, -1)
    parts = np.array([[_part(one, at) for at in range(24)] for one in windows])
    chance = evidence.records["window_propensity"].to_numpy() * parts[window, hour]
    seen = [at for at in range(24) if ((hour == at) & (window >= 0)).any()]
    place = np.full(25, -1)
    place[seen] = np.arange(len(seen))
    found = evidence.versus_nothing([f"{at:02}" for at in seen], np.where(window >= 0, place[hour], -1), chance)
    if found is None:
        return []
    return [{"hour": at, **mean_of(found.gain(number), found.owner).as_json()} for number, at in enumerate(seen)]


def by_channel(evidence: Evidence) -> list[dict[str, Any]]:
    """What a message through each channel gains over none; empty where there is only one."""
    channels = evidence.agent.channels
    if len(channels) < 2:
        return []
    of = np.array([channels.index(action.channel) for action in evidence.agent.actions])
    chances = np.stack([evidence.offered[:, of == place].sum(axis=1) for place in range(len(channels))], axis=1)
    code = evidence.codes("channel", channels)
    chance = np.take_along_axis(chances, np.maximum(code, 0)[:, None], axis=1)[:, 0]
    found = evidence.versus_nothing(channels, code, chance)
    if found is None:
        return []
    return [
        {"channel": name, **mean_of(found.gain(place), found.owner).as_json()} for place, name in enumerate(channels)
    ]


def by_place(evidence: Evidence, people: pa.Table | None) -> list[dict[str, Any]]:
    """For each of `timezone` and `country` what a message gains the people there, and which place is proven to differ
    from all others (Holm over all of them)."""
    found = evidence.message
    if found is None or people is None:
        return []
    gain, told, tests = found.gain(0), [], []
    for column in ("timezone", "country"):
        names, code = _levels(_of_people(evidence, people, column), found.row)
        if len(names) < 2:
            continue
        own = by_group(gain, code, len(names), found.owner)
        tests += [difference(gain, code == place, found.owner) for place in range(len(names))]
        told.append((column, [{"name": name, **one.as_json()} for name, one in zip(names, own, strict=True)]))
    chances = iter(holm_pvalues(tests))
    return [
        {"column": column, "places": [{**place, "differs": next(chances) <= ALPHA} for place in places]}
        for column, places in told
    ]


def _weekday(evidence: Evidence, people: pa.Table | None, sent: npt.NDArray[np.bool_]) -> Ints:
    """int64 (n): the local weekday on which most of a run's messages in a window were sent, for all rows of that run,
    also of those who got none; −1 for a run without any."""
    _, run = np.unique(evidence.decided_ms, return_inverse=True)
    day = (_local(evidence, people, local_days) + MONDAY) % 7
    counts = np.zeros((int(run.max(initial=-1)) + 1, 7), np.int64)
    np.add.at(counts, (run[sent], day[sent]), 1)
    return np.where(counts.any(axis=1), counts.argmax(axis=1), -1)[run]


def _local(evidence: Evidence, people: pa.Table | None, read: Callable[[Ints, Ints, list[Any]], Ints]) -> Ints:
    """int64 (n): local days or minutes of sending; of rows without a message those of 1970."""
    moments = pc.fill_null(evidence.records["send_at"].cast(pa.int64()), 0).to_numpy()
    columns = {"user_id": evidence.records["user_id"]}
    if people is not None and "timezone" in people.column_names:
        columns["timezone"] = _of_people(evidence, people, "timezone")
    codes, zones = Audience(pa.table(columns)).zones(evidence.agent.timing.fallback_zone)
    return read(moments, codes, zones)


def _of_people(evidence: Evidence, people: pa.Table, column: str) -> pa.ChunkedArray:
    """A text of each row's person; null for people or columns that are not there."""
    if column not in people.column_names:
        return pa.chunked_array([pa.nulls(len(evidence), pa.string())])
    place = pc.index_in(evidence.records["user_id"], value_set=people["user_id"].combine_chunks())
    return people[column].cast(pa.string()).take(place)


def _levels(column: pa.ChunkedArray, rows: Ints) -> tuple[list[str], Ints]:
    """The largest places of these rows, most people first, and each row's; −1 where it is not known."""
    texts = column.take(pa.array(rows))
    counted = sorted(pc.value_counts(texts.drop_null()).to_pylist(), key=lambda one: (-one["counts"], one["values"]))
    names = [one["values"] for one in counted[:PLACES]]
    code = pc.fill_null(pc.index_in(texts, value_set=pa.array(names, pa.string())), -1).to_numpy().astype(np.int64)
    if len(counted) > PLACES:
        code = np.where((code < 0) & pc.is_valid(texts).to_numpy(), PLACES, code)
        names = [*names, OTHERS]
    return names, code


def _part(window: Window, hour: int) -> float:
    """How much of a window lies in an hour."""
    inside = min(window.end, 60 * hour + 60) - max(window.start, 60 * hour)
    return max(inside, 0) / (window.end - window.start)
