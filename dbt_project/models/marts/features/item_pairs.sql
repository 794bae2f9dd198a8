{{ config(order_by=['as_of', 'pair_kind', 'item_id', 'rank']) }}

-- Cosine of two items over decayed baskets: together / sqrt(one × other). Blocks older than 12 halvings no longer
-- count (they weigh less than 1/4096 of a new one), which keeps every sum a 64-bit integer.
with cuts as (
    select
        cut_number,
        cut_at,
        cut_ms // 86400000 // 60 as block
    from {{ ref('int_cuts') }}
),

singles as (
    select
        cuts.cut_number,
        parts.item_code,
        cast(sum({{ halvings('parts.weight', 'cuts.block - parts.block') }}) as bigint) as weight
    from {{ ref('int_basket_items') }} as parts
    inner join cuts on parts.period <= cuts.cut_number and parts.block > cuts.block - 12
    group by cuts.cut_number, parts.item_code
),

pairs as (
    select
        cuts.cut_number,
        parts.left_code,
        parts.right_code,
        cast(sum({{ halvings('parts.weight', 'cuts.block - parts.block') }}) as bigint) as weight
    from {{ ref('int_pair_periods') }} as parts
    inner join cuts on parts.period <= cuts.cut_number and parts.block > cuts.block - 12
    group by cuts.cut_number, parts.left_code, parts.right_code
),

cosines as (
    select
        pairs.cut_number,
        pairs.left_code,
        pairs.right_code,
        cast(
            round(1000000 * (pairs.weight / sqrt(left_items.weight) / sqrt(right_items.weight))) as bigint
        ) as weight_micros
    from pairs
    inner join singles as left_items
        on pairs.cut_number = left_items.cut_number and pairs.left_code = left_items.item_code
    inner join singles as right_items
        on pairs.cut_number = right_items.cut_number and pairs.right_code = right_items.item_code
),

both_ways as (
    select
        cut_number,
        left_code as item_code,
        right_code as other_code,
        weight_micros
    from cosines
    union all
    select
        cut_number,
        right_code as item_code,
        left_code as other_code,
        weight_micros
    from cosines
),

best as (
    select
        cut_number,
        item_code,
        {{ heaviest('weight_micros', 'other_code', var('pairs_per_item')) }} as neighbours
    from both_ways
    where weight_micros > 0
    group by cut_number, item_code
),

listed as (
    select
        cut_number,
        item_code,
        unnest(neighbours) as neighbour,
        generate_subscripts(neighbours, 1) as rank
    from best
)

select
    cuts.cut_at as as_of,
    'together' as pair_kind,
    items.item_id,
    others.item_id as other_item_id,
    {{ entry_weight('listed.neighbour') }} as weight_micros,
    cast(listed.rank as bigint) as rank
from listed
inner join cuts on listed.cut_number = cuts.cut_number
inner join {{ ref('int_item_codes') }} as items on listed.item_code = items.item_code
inner join {{ ref('int_item_codes') }} as others on {{ entry_code('listed.neighbour') }} = others.item_code
