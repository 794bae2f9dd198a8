-- Cosine of two items over decayed baskets, for each cut: together / √(one × other). A table of its own: without its
-- true size the planner built a hash table of 44M rows (10 GB) in the mart.
with cut_blocks as (
    {{ cut_blocks() }}
),

pairs as (
    select
        parts.left_code,
        parts.right_code,
        {{ decayed_weights() }} as weights
    from {{ ref('int_pair_periods') }} as parts
    cross join cut_blocks
    group by parts.left_code, parts.right_code
)

select
    pairs.left_code,
    pairs.right_code,
    {{ cosines('pairs.weights', 'left_items.weights', 'right_items.weights') }} as cosines
from pairs
inner join {{ ref('int_item_norms') }} as left_items on pairs.left_code = left_items.item_code
inner join {{ ref('int_item_norms') }} as right_items on pairs.right_code = right_items.item_code
