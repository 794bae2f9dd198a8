"""What people were sent and will be: the messages that caps count. Nothing is judged here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.agents.audience import Audience

__all__ = ["SEND_SCHEMA", "Sends"]

# Grain: one message that was sent or is scheduled, by whichever agent.
SEND_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("send_at", pa.timestamp("ms")),
        ("agent", pa.string()),
        ("action", pa.string()),
        ("channel", pa.string()),
    ]
)


@dataclass(frozen=True)
class Sends:
    """Messages to people of one audience: `person` int64 (m), their place in it; `at_ms` int64 (m); texts of agent,
    action and channel (m).
    """

    person: npt.NDArray[np.int64]
    at_ms: npt.NDArray[np.int64]
    agent: pa.Array
    action: pa.Array
    channel: pa.Array

    @classmethod
    def of(cls, table: pa.Table, audience: Audience) -> Sends:
        """From a table in SEND_SCHEMA; people outside of the audience are left out."""
        place = pc.index_in(table["user_id"], value_set=pa.array(audience.user_ids, pa.string()))
        table = table.filter(pc.is_valid(place))
        person = place.drop_null().to_numpy().astype(np.int64)
        at_ms = table["send_at"].cast(pa.int64()).to_numpy().astype(np.int64)
        texts = (table[name].combine_chunks() for name in ("agent", "action", "channel"))
        return cls(person, at_ms, *texts)

    def __len__(self) -> int:
        return len(self.person)

    def only(self, agent: str, action: str | None = None, channel: str | None = None) -> Sends:
        """Messages of one channel, whoever sent them, or of one of the agent's actions; without either, all."""
        kept: npt.NDArray[np.bool_] = np.ones(len(self), dtype=bool)
        if channel is not None:
            kept &= pc.equal(self.channel, channel).to_numpy(zero_copy_only=False)
        if action is not None:
            kept &= pc.equal(self.action, action).to_numpy(zero_copy_only=False)
            kept &= pc.equal(self.agent, agent).to_numpy(zero_copy_only=False)
        texts = (column.filter(pa.array(kept)) for column in (self.agent, self.action, self.channel))
        return Sends(self.person[kept], self.at_ms[kept], *texts)
