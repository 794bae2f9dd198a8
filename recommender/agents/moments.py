"""When each person could be written to: one moment for each window of the local day. No cap is looked at here."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from recommender.agents.agent import Timing, Window
from recommender.agents.audience import Audience
from recommender.events import DAY_MS

__all__ = ["NEVER", "local_days", "local_minutes", "offered_moments"]

NEVER = -1
MINUTE_MS = 60_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Ints = npt.NDArray[np.int64]


def offered_moments(
    timing: Timing, audience: Audience, from_ms: int, until_ms: int, within: npt.NDArray[np.float64]
) -> Ints:
    """int64 (n, n_windows): a moment of each window's first occurrence in [from_ms, until_ms), NEVER where none is.

    `within`, float64 (n) in [0, 1), says where in the window, so that not everybody is written to at once. The local
    time of every moment lies in its window and outside the quiet minutes, also on days when the clocks change.
    """
    codes, zones = audience.zones(timing.fallback_zone)
    moments = np.full((len(audience), len(timing.windows)), NEVER, dtype=np.int64)
    for code, zone in enumerate(zones):
        people = np.flatnonzero(codes == code)
        for place, window in enumerate(timing.windows):
            moments[people, place] = _in_window(timing, window, zone, from_ms, until_ms, within[people])
    return moments


def local_days(moments: Ints, codes: Ints, zones: list[ZoneInfo]) -> Ints:
    """int64, the shape of `moments`: the local calendar days since 1970; `codes` are the rows' zones."""
    return _local(moments, codes, zones) // DAY_MS


def local_minutes(moments: Ints, codes: Ints, zones: list[ZoneInfo]) -> Ints:
    """int64, the shape of `moments`: the minute of the local day."""
    return _local(moments, codes, zones) % DAY_MS // MINUTE_MS


def _in_window(
    timing: Timing, window: Window, zone: ZoneInfo, from_ms: int, until_ms: int, within: npt.NDArray[np.float64]
) -> Ints:
    """A moment for everybody of one zone in the window's first occurrence that is usable; NEVER where none is."""
    day = datetime.fromtimestamp(from_ms / 1000, zone).date() - timedelta(days=1)
    last = datetime.fromtimestamp(until_ms / 1000, zone).date()
    while day <= last:
        if day.weekday() in window.weekdays:
            start, end = max(_utc_ms(day, window.start, zone), from_ms), min(_utc_ms(day, window.end, zone), until_ms)
            moments = start + (within * max(end - start, 0)).astype(np.int64)
            if start < end and not _is_amiss(timing, window, zone, start):
                # On a day when the clocks change within the window some of its moments lie outside of it by the clock
                # on the wall: then all take the first, which does not.
                amiss = _offset_ms(zone, start) != _offset_ms(zone, end - 1)
                return np.full(len(within), start) if amiss else moments
        day += timedelta(days=1)
    return np.full(len(within), NEVER)


def _is_amiss(timing: Timing, window: Window, zone: ZoneInfo, moment: int) -> bool:
    minute = (moment + _offset_ms(zone, moment)) % DAY_MS // MINUTE_MS
    return not window.start <= minute < window.end or timing.is_quiet(minute)


def _utc_ms(day: date, minute: int, zone: ZoneInfo) -> int:
    """The moment at which a local clock shows that minute (the first, where it does so twice)."""
    midnight = datetime(day.year, day.month, day.day)
    local = (midnight + timedelta(minutes=minute)).replace(tzinfo=zone)
    return (local.astimezone(UTC) - _EPOCH) // timedelta(milliseconds=1)


def _offset_ms(zone: ZoneInfo, moment: int) -> int:
    offset = datetime.fromtimestamp(moment / 1000, zone).utcoffset()
    assert offset is not None
    return offset // timedelta(milliseconds=1)


def _local(moments: Ints, codes: Ints, zones: list[ZoneInfo]) -> Ints:
    """Milliseconds that a local clock would show. Offsets are looked up once for each zone and quarter of an hour."""
    quarter = moments // (15 * MINUTE_MS)
    rows = codes.reshape(codes.shape + (1,) * (moments.ndim - codes.ndim))
    keys = np.stack([np.broadcast_to(rows, moments.shape).ravel(), quarter.ravel()], axis=1)
    distinct, inverse = np.unique(keys, axis=0, return_inverse=True)
    offsets = [_offset_ms(zones[code], at * 15 * MINUTE_MS) for code, at in distinct.tolist()]
    found = np.array(offsets, dtype=np.int64)[inverse.ravel()] if offsets else np.zeros(0, np.int64)
    return moments + found.reshape(moments.shape)
