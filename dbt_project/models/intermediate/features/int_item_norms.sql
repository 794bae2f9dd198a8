-- How often an item is in baskets at all, for each cut.
with cut_blocks as (
    {{ cut_blocks() }}
)

select
    item_code,
    {{ decayed_weights() }} as weights
from {{ ref('int_basket_items') }}
cross join cut_blocks
group by item_code
