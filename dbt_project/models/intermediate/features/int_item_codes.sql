-- Items of positive events numbered in the order of their ids, so that pairs are pairs of integers.
select
    item_id,
    cast(row_number() over (order by item_id) as bigint) as item_code
from (select distinct item_id from {{ ref('int_user_item_periods') }})
