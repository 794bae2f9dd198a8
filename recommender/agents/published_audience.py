"""An agent's audience as its last run saw it, published for deciding in the moment. Nobody is decided for here.

An Arrow file in the order of the ids, mapped into memory: a person is found by twenty comparisons, whatever the number
of people, and all workers of a service share one copy.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from recommender.agents.audience import Audience
from recommender.errors import IntegrityError
from recommender.workspace import write_bytes_atomically

__all__ = ["PublishedAudience", "publish_audience"]

_FACTS = b"nextbest"
_RAW = "attributes"  # JSON whose keys are columns already


@dataclass(frozen=True)
class PublishedAudience:
    """The people of a run at `decided_ms`, over data that ended at `known_until_ms`."""

    table: pa.Table
    decided_ms: int
    known_until_ms: int

    @classmethod
    def open(cls, path: Path) -> PublishedAudience | None:
        """Map a published file into memory; None where none was published, IntegrityError where it cannot be read.

        What was opened stays as it is when another one takes the file's place.
        """
        try:
            table = pa.ipc.open_file(pa.memory_map(str(path), "r")).read_all()
            facts = json.loads(table.schema.metadata[_FACTS])
            return cls(table, int(facts["decided_ms"]), int(facts["known_until_ms"]))
        except FileNotFoundError:
            return None
        except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as problem:
            raise IntegrityError(
                f"a published audience in {path} that cannot be read ({problem!s:.200}).",
                "the file as a run of the agent wrote it.",
                "Run the agent again: `nextbest agent run NAME`.",
            ) from problem

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def person(self, user_id: str) -> Audience | None:
        """An audience of this one person; None for somebody who is not in it."""
        ids = self.table["user_id"]
        place = bisect_left(range(len(ids)), user_id, key=lambda row: ids[row].as_py())
        if place == len(ids) or ids[place].as_py() != user_id:
            return None
        return Audience(self.table.slice(place, 1))


def publish_audience(path: Path, audience: Audience, decided_ms: int, known_until_ms: int) -> None:
    """Write aside, sync, then take the place of the one before."""
    table = audience.table.drop_columns([_RAW]) if _RAW in audience.table.column_names else audience.table
    facts = json.dumps({"decided_ms": decided_ms, "known_until_ms": known_until_ms})
    table = table.replace_schema_metadata({_FACTS: facts.encode()}).combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    write_bytes_atomically(path, sink.getvalue().to_pybytes())
