{{ config(order_by=['as_of', 'pair_kind', 'item_id', 'rank']) }}

-- The best neighbours of every item at every cut, for each kind of pair: what goes together both ways, links one way.
with directed as (
    select
        'together' as pair_kind,
        left_code as item_code,
        right_code as other_code,
        cosines
    from {{ ref('int_pair_cosines') }}
    union all
    select
        'together' as pair_kind,
        right_code as item_code,
        left_code as other_code,
        cosines
    from {{ ref('int_pair_cosines') }}
    union all
    select
        link_kind as pair_kind,
        item_code,
        other_code,
        cosines
    from {{ ref('int_link_cosines') }}
),

weights as (
    select
        pair_kind,
        item_code,
        other_code,
        unnest(cosines) as weight_micros,
        generate_subscripts(cosines, 1) as cut_number
    from directed
),

best as (
    select
        cut_number,
        pair_kind,
        item_code,
        {{ heaviest('weight_micros', 'other_code', var('pairs_per_item')) }} as neighbours
    from weights
    where weight_micros > 0
    group by cut_number, pair_kind, item_code
),

listed as (
    select
        cut_number,
        pair_kind,
        item_code,
        unnest(neighbours) as neighbour,
        generate_subscripts(neighbours, 1) as rank
    from best
)

select
    cuts.cut_at as as_of,
    listed.pair_kind,
    items.item_id,
    others.item_id as other_item_id,
    {{ entry_weight('listed.neighbour') }} as weight_micros,
    cast(listed.rank as bigint) as rank
from listed
inner join {{ ref('int_cuts') }} as cuts on listed.cut_number = cuts.cut_number
inner join {{ ref('int_item_codes') }} as items on listed.item_code = items.item_code
inner join {{ ref('int_item_codes') }} as others on {{ entry_code('listed.neighbour') }} = others.item_code
where listed.pair_kind = 'together' or listed.rank <= {{ var('links_per_item') }}
