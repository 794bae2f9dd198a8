-- How often an item is in baskets at all, for each cut.
with cut_blocks as (
    {{ cut_blocks() }}
)

select
    parts.item_code,
    {{ decayed_weights() }} as weights
from {{ ref('int_basket_items') }} as parts
cross join cut_blocks
group by parts.item_code
