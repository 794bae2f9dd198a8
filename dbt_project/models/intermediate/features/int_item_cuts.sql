-- Which items have a state at which cut: all that an event named before it, and of those that were merely listed the
-- newest, at most max_untouched_items. A catalogue row without created_at has always been listed.
with seen as (
    select
        item_id,
        min(period) as first_period
    from {{ ref('int_item_periods') }}
    group by item_id
),

listed as (
    select
        items.item_id,
        items.created_at,
        cuts.cut_number,
        cuts.cut_at,
        seen.item_id is not null as is_seen,
        coalesce(items.is_available, true) as is_available
    from {{ ref('items') }} as items
    cross join {{ ref('int_cuts') }} as cuts
    left join seen on items.item_id = seen.item_id and cuts.cut_number >= seen.first_period
    where items.created_at is null or items.created_at < cuts.cut_at or seen.item_id is not null
),

ranked as (
    select
        item_id,
        cut_number,
        cut_at,
        is_seen,
        row_number() over (
            partition by cut_number, is_seen
            order by is_available desc, created_at desc nulls last, item_id asc
        ) as place
    from listed
)

select
    item_id,
    cut_number,
    cut_at
from ranked
where is_seen or place <= {{ var('max_untouched_items') }}
