"""The document, the page and the route table say the same; what the service really answers is proven elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import schemathesis

from recommender.decision.placements import PLACEMENTS
from recommender.decision.request import FIELDS
from services.app import ROUTES
from services.docs_page import docs_page
from services.openapi import OPERATIONS, openapi_document
from services.payload import PAGE_FIELDS, PRESENTATION_FIELDS

DOCUMENT = openapi_document(ROUTES, PLACEMENTS)


def test_every_route_is_described_and_nothing_else_is():
    assert {(route.method, route.path) for route in ROUTES} == set(OPERATIONS)


def test_the_document_is_openapi():
    schemathesis.openapi.from_dict(DOCUMENT).validate()


def test_the_fields_of_a_request_are_those_that_are_read():
    schemas = DOCUMENT["components"]["schemas"]
    assert set(schemas["Recommendation"]["properties"]) == {*FIELDS, *PRESENTATION_FIELDS}
    assert set(schemas["FurtherPage"]["properties"]) == {*PAGE_FIELDS, *PRESENTATION_FIELDS}


def test_each_route_says_which_keys_open_it():
    for route in ROUTES:
        told = DOCUMENT["paths"][route.path][route.method.lower()]
        assert ("security" in told) == (route.roles is not None)
        assert {"401", "403"} <= set(told["responses"]) or route.roles is None
        assert all(role in told.get("description", "") for role in route.roles or ())


def test_the_page_shows_every_route_and_loads_nothing():
    page = docs_page(DOCUMENT)
    assert all(route.path in page for route in ROUTES)
    assert not re.search(r"<script|@import|url\(", page)
    targets = _Targets()
    targets.feed(page)
    assert targets.found
    assert all(target.startswith("#") for target in targets.found)


def test_what_the_document_says_is_text_on_the_page():
    hostile = {"info": {"title": "<script>"}, "paths": {}, "components": {"schemas": {"<b>": {"type": "</pre>"}}}}
    assert not re.search(r"<script|<b>|</pre></pre>", docs_page(hostile))


class _Targets(HTMLParser):
    """Whatever a browser would follow or load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("href", "src", "action", "data")]
