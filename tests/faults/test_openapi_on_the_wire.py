"""The OpenAPI document held against the running service by schemathesis: what it says is what is answered."""

from __future__ import annotations

import schemathesis
from fault_size import size
from guarded_shop import Guarded
from hypothesis import HealthCheck, settings
from schemathesis.checks import CHECKS

from recommender.decision.placements import PLACEMENTS
from services.app import ROUTES
from services.openapi import openapi_document

DOCUMENT = schemathesis.openapi.from_dict(openapi_document(ROUTES, PLACEMENTS))
EXAMPLES = size(8, 200)  # of each route, beside the boundary values of every field
QUIET = list(HealthCheck)
# A schema cannot say which attributes a catalogue has, or which event needs a product: good requests are tried by
# name in tests/services. Keys are tried on every route there too; here one is always sent.
LEFT_OUT = CHECKS.get_by_names(["positive_data_acceptance", "ignored_auth"])
# 413: a list above its limit is often a body above its limit as well.
DOCUMENT.config.checks.negative_data_rejection.expected_statuses = ["400", "404", "405", "413", "415"]


@DOCUMENT.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=QUIET)
def test_what_the_document_says_is_what_is_answered(case: schemathesis.Case, guarded: Guarded) -> None:
    headers = {"authorization": f"Bearer {guarded.keys['admin']}"}
    case.call_and_validate(base_url=guarded.served.server.url, headers=headers, excluded_checks=LEFT_OUT)
