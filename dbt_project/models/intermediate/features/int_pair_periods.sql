-- What one period and 60-day block adds to a pair of items (left_code < right_code).
select
    left_items.item_code as left_code,
    right_items.item_code as right_code,
    left_items.period,
    left_items.block,
    cast(sum(left_items.weight) as bigint) as weight
from {{ ref('int_basket_items') }} as left_items
inner join {{ ref('int_basket_items') }} as right_items
    on left_items.basket_code = right_items.basket_code and left_items.item_code < right_items.item_code
group by left_items.item_code, right_items.item_code, left_items.period, left_items.block
