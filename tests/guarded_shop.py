"""A served shop whose door has keys and narrow limits: what the door's own tests knock at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
from served_shop import LandedShop, ServedShop, copy_shop, serving

from recommender.agents.audience import Audience
from recommender.agents.published_audience import publish_audience
from services.keys import ROLES, create_key, revoke_key

__all__ = ["Guarded", "guard"]

# An agent that may write to "u", so that requests to it go all the way.
SPRING = {
    "goal": {"outcomes": {"purchase": 1}},
    "actions": [
        {"name": "news", "channel": "email"},
        {"name": "picks", "channel": "email", "placement": "home", "slots": 2},
    ],
    "timing": {"windows": [{"at": "00:00-24:00"}], "quiet": None},
    "frequency": {"caps": [{"limit": 3, "per": "day"}]},
}


@dataclass(frozen=True)
class Guarded:
    """A served shop whose door has keys: by role, and two that no longer work."""

    served: ServedShop
    keys: dict[str, str]

    def ask(self, method: str, path: str, key: str | None = None, **more: Any) -> httpx.Response:
        headers = {**({"authorization": f"Bearer {key}"} if key else {}), **more.pop("headers", {})}
        return self.served.http.request(method, path.replace("{", "").replace("}", ""), headers=headers, **more)

    @property
    def log(self) -> str:
        assert self.served.server.log is not None
        return self.served.server.log.read_text()


def guard(landed_shop: LandedShop, root: Path) -> Iterator[Guarded]:
    """Serve a copy of the shop by one worker, until the generator is closed."""
    shop = copy_shop(landed_shop, root, with_store=False)
    workspace, day = shop.workspace, timedelta(days=1)
    keys = {role: create_key(workspace, role) for role in ROLES}
    keys["expired"] = create_key(workspace, "admin", day, now=datetime.now(UTC) - 2 * day)
    keys["revoked"] = create_key(workspace, "admin")
    revoke_key(workspace, keys["revoked"])
    # One key asks for all: its own rate must not answer where the service's limits are tried (2,000/s did).
    rates = {"requests_per_second": 1e6, "burst": 1e6}
    limits = {"body_seconds": 1.0, "most_in_flight": 64, **rates}
    workspace.configuration.write_text(json.dumps({"service": limits}))  # JSON is YAML
    workspace.agents.mkdir(exist_ok=True)
    (workspace.agents / "spring.yml").write_text(json.dumps(SPRING))
    audience = Audience.read(pa.table({"user_id": ["u"], "cart": [1.5], "consent_email": [True]}))
    publish_audience(workspace.agent_audience("spring"), audience, shop.as_of_ms, shop.as_of_ms)
    servers = serving()
    yield Guarded(next(servers)(shop, workers=1), keys)
    next(servers, None)
