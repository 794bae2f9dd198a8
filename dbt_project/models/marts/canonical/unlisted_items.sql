{{ config(order_by=['item_id']) }}

-- Ids that events name and no catalogue knows: often the same items under other ids.
with named as (
    select
        item_id,
        count(*) as event_count,
        min(occurred_at) as first_occurred_at,
        max(occurred_at) as last_occurred_at
    from {{ ref('events') }}
    where item_id is not null
    group by item_id
),

listed as (
    select item_id from {{ ref('source_items') }}
    union
    select item_id from {{ ref('stg_journal_items') }}
)

select
    named.item_id,
    named.event_count,
    cast(named.first_occurred_at as timestamp_ms) as first_occurred_at,
    cast(named.last_occurred_at as timestamp_ms) as last_occurred_at
from named
anti join listed on named.item_id = listed.item_id
