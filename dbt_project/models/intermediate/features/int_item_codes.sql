-- Items of positive events numbered in the order of their ids, so that pairs are pairs of integers.
with items as (
    select distinct item_id from {{ ref('int_user_item_periods') }}
)

select
    item_id,
    row_number() over (order by item_id) as item_code
from items
