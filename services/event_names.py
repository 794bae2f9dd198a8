"""Which of our event types a name of Segment's specifications means, and what it must carry. No message is read here.

https://segment.com/docs/connections/spec/ecommerce/v2 and /spec/email. A name that stands in neither table is kept
in snake_case: Cart Viewed, Checkout Started, Coupon Applied, Products Searched, Promotion Clicked and whatever a team
makes up.
"""

from __future__ import annotations

import re

__all__ = ["EVENT_TYPES", "LISTS", "NEEDS_ITEM", "is_email", "snake_case"]

EVENT_TYPES = {
    "product_list_viewed": "impression",
    "product_clicked": "click",
    "product_viewed": "view",
    "product_added": "add_to_cart",
    "wishlist_product_added_to_cart": "add_to_cart",
    "product_removed": "remove_from_cart",
    "order_completed": "purchase",
    "order_refunded": "refund",
    "order_cancelled": "refund",
    "product_skipped": "skip",
    "product_dismissed": "skip",
    "product_liked": "like",
    "product_disliked": "dislike",
    "product_added_to_wishlist": "bookmark",
    "product_removed_from_wishlist": "remove_bookmark",
    "product_reviewed": "rating",
    "unsubscribed": "unsubscribe",
}
# One event for each entry of properties.products; without products a list view or an order says nothing.
LISTS = frozenset({"product_list_viewed", "order_completed"})
NEEDS_ITEM = frozenset(name for name in EVENT_TYPES if "product_" in name) - LISTS


def snake_case(name: str) -> str:
    """Lower snake case of letters, of any alphabet, and digits; "" where there are none."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return "_".join(re.findall(r"[^\W_]+", spaced.lower()))


def is_email(snake: str) -> bool:
    """Whether the name is one of the e-mail specification: Email Opened, Email Bounced, …, Unsubscribed."""
    return snake.startswith("email_") or snake == "unsubscribed"
