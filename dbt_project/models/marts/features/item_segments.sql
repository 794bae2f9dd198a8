{{ config(order_by=['as_of', 'segment_kind', 'segment', 'rank']) }}

-- The most popular items of every larger segment at every cut.
with cut_blocks as (
    {{ cut_blocks(14) }}
),

sums as (
    select
        parts.segment_kind,
        parts.segment,
        parts.item_id,
        {{ decayed_weights() }} as weights
    from {{ ref('int_segment_periods') }} as parts
    cross join cut_blocks
    group by parts.segment_kind, parts.segment, parts.item_id
),

weights as (
    select
        segment_kind,
        segment,
        item_id,
        unnest(weights) as weight,
        generate_subscripts(weights, 1) as cut_number
    from sums
),

totals as (
    select
        cut_number,
        segment_kind,
        segment,
        cast(sum(weight) as bigint) as weight
    from weights
    where weight > 0
    group by cut_number, segment_kind, segment
),

larger as (
    select
        cut_number,
        segment_kind,
        segment,
        weight,
        row_number() over (partition by cut_number, segment_kind order by weight desc, segment asc) as place
    from totals
),

ranked as (
    select
        weights.cut_number,
        weights.segment_kind,
        weights.segment,
        weights.item_id,
        weights.weight,
        larger.weight as segment_weight,
        row_number() over (
            partition by weights.cut_number, weights.segment_kind, weights.segment
            order by weights.weight desc, weights.item_id asc
        ) as rank
    from weights
    inner join larger
        on
            weights.cut_number = larger.cut_number
            and weights.segment_kind = larger.segment_kind
            and weights.segment = larger.segment
    where weights.weight > 0 and larger.place <= {{ var('segments_per_kind') }}
)

select
    cuts.cut_at as as_of,
    ranked.segment_kind,
    ranked.segment,
    ranked.item_id,
    {{ popularity_micros('ranked.weight', 'cuts.cut_ms') }} as popularity_micros,
    {{ popularity_micros('ranked.segment_weight', 'cuts.cut_ms') }} as segment_micros,
    ranked.rank
from ranked
inner join {{ ref('int_cuts') }} as cuts on ranked.cut_number = cuts.cut_number
where ranked.rank <= {{ var('items_per_segment') }}
