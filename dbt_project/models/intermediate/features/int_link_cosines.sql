-- How much of what leaves one item arrives at the other, for each cut: link / √(all from the one × all to the other).
with cut_blocks as (
    {{ cut_blocks() }}
),

links as (
    select
        parts.link_kind,
        parts.item_code,
        parts.other_code,
        {{ decayed_weights() }} as weights
    from {{ ref('int_item_links') }} as parts
    cross join cut_blocks
    group by parts.link_kind, parts.item_code, parts.other_code
),

departures as (
    select
        parts.link_kind,
        parts.item_code,
        {{ decayed_weights() }} as weights
    from {{ ref('int_item_links') }} as parts
    cross join cut_blocks
    group by parts.link_kind, parts.item_code
),

arrivals as (
    select
        parts.link_kind,
        parts.other_code,
        {{ decayed_weights() }} as weights
    from {{ ref('int_item_links') }} as parts
    cross join cut_blocks
    group by parts.link_kind, parts.other_code
)

select
    links.link_kind,
    links.item_code,
    links.other_code,
    {{ cosines('links.weights', 'departures.weights', 'arrivals.weights') }} as cosines
from links
inner join departures on links.link_kind = departures.link_kind and links.item_code = departures.item_code
inner join arrivals on links.link_kind = arrivals.link_kind and links.other_code = arrivals.other_code
