{{ config(order_by=['item_id']) }}

-- The catalogue, and every item that events name without it: those are listed from their first event on.
with listed as (
    select * from {{ ref('source_items') }}
),

seen as (
    select
        item_id,
        cast(min(occurred_at) as timestamp_ms) as created_at
    from {{ ref('events') }}
    where item_id is not null
    group by item_id
)

select
    item_id,
    title,
    description,
    category,
    brand,
    tags,
    price_micros,
    is_available,
    created_at,
    attributes
from listed
union all
select
    seen.item_id,
    null as title,
    null as description,
    null as category,
    null as brand,
    null as tags,
    null as price_micros,
    null as is_available,
    seen.created_at,
    null as attributes
from seen
anti join listed on seen.item_id = listed.item_id
