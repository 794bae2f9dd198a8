"""Further pages through the routes of one worker, in this process: nobody but the request looks at the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from served_shop import LandedShop, copy_shop

from services.app import Application
from services.catalogue import CatalogueConfig
from services.door import Door, DoorConfig

pytestmark = pytest.mark.slow

# It looks for changes on its own once an hour: what is known was known in time by the request that needed it.
ALONE = DoorConfig(poll_seconds=3_600.0, catalogue=CatalogueConfig(patience_seconds=60.0, waiting_share=1.0, rest=0.0))
Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def door(landed_shop: LandedShop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    shop = copy_shop(landed_shop, tmp_path_factory.mktemp("pages") / "home", with_store=False)
    door = Door(shop.workspace, ALONE)
    yield door
    door.close()


@pytest.fixture(scope="module")
def ask(door: Door) -> Iterator[Ask]:
    application = Application(lambda: door)
    with asyncio.Runner() as loop:  # one for all: the door's turns belong to it
        http = httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://x")

        def asked(route: str, body: Any, status: int = 200) -> Any:
            answer = loop.run(http.post(f"/v1/{route}", json=body, timeout=120))
            assert answer.status_code == status, answer.text
            return answer.json()

        yield asked
        loop.run(http.aclose())


def shown(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def test_a_page_leaves_out_what_was_sold_out_just_before_it(ask: Ask, landed_shop: LandedShop):
    first = ask("recommend", {"user_id": landed_shop.user_ids[0], "k": 5})
    rest = [item_id for item_id in landed_shop.item_ids if item_id not in shown(first)]
    gone = set(rest[::2])
    ask("items", {"items": [{"item_id": item_id, "available": False} for item_id in sorted(gone)]})
    second = ask("recommend", {"decision_id": first["decision_id"], "page": 2})
    assert len(shown(second)) == 5
    assert not gone & set(shown(second))


def test_a_field_that_nobody_reads_is_told_the_nearest_of_all_there_are(ask: Ask):
    told = ask("recommend", {"user_id": "u", "include_item": True}, status=400)["error"]
    assert "Did you mean include_items?" in told
    assert "user_id, anonymous_id" in told
    assert "explain, decision_id, page" in told


def test_a_column_that_came_with_the_last_row_can_be_told(ask: Ask):
    ask("items", {"item_id": "lamp", "title": "Lamp", "socket": "E27"})
    answer = ask("recommend", {"user_id": "u", "candidates": ["lamp"], "fields": ["socket"]})
    assert [item["item"] for item in answer["items"]] == [{"socket": "E27"}]
