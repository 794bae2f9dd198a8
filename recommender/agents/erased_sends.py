"""Runs' decisions without people who were erased, and the count of what had been sent to them. No file is found here.

A file of decisions carries that count in its own metadata, so that taking people out of it and counting what they used
of a stock is one step: whoever is killed in between has done both or neither.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recommender.agents.agent import NOTHING

__all__ = ["counted_without", "sent_to_erased"]

_KEY = b"nextbest.sent_to_erased"


def sent_to_erased(path: Path) -> dict[str, int]:
    """Action → messages to people who are not in the file any more."""
    told = (pq.read_schema(path).metadata or {}).get(_KEY)
    return {} if told is None else {str(action): int(count) for action, count in json.loads(told).items()}


def counted_without(path: Path, people: pa.Array) -> Mapping[bytes, bytes]:
    """What the metadata of a file of decisions must say once these people are taken out of it."""
    counts = sent_to_erased(path)
    records = pq.read_table(path, columns=["user_id", "action"])
    theirs = records.filter(pc.is_in(records["user_id"], value_set=people))
    for entry in pc.value_counts(theirs["action"].combine_chunks().cast(pa.string())).to_pylist():
        if entry["values"] != NOTHING:
            counts[entry["values"]] = counts.get(entry["values"], 0) + entry["counts"]
    return {_KEY: json.dumps(counts, sort_keys=True).encode()}
