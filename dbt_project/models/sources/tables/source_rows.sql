{{ config(enabled=is_chosen('tables'), materialized='table') }}
-- depends_on: {{ source('journal', 'erased') }}

{%- set events = landed('events') %}

-- Landed events with the reason, if any, why a row is no event. A row without an id gets one from its content and
-- from its number among equal rows: two equal views are two views.
with typed as (
    select
        {{ landed_fault(events, ['user_id', 'event_type', 'occurred_at']) }} as fault,
        {{ landed_text(events, 'event_id') }} as given_id,
        {{ landed_text(events, 'user_id') }} as user_id,
        {{ landed_text(events, 'item_id') }} as item_id,
        {{ landed_text(events, 'event_type') }} as event_type,
        {{ landed_time(events, 'occurred_at') }} as occurred_at,
        {{ landed_text(events, 'session_id') }} as session_id,
        {{ landed_integer(events, 'quantity') }} as quantity,
        {{ landed_micros(events, 'price') }} as price_micros,
        {{ landed_text(events, 'channel') }} as channel,
        {{ landed_text(events, 'device') }} as device,
        {{ landed_text(events, 'country') }} as country,
        {{ landed_text(events, 'placement') }} as placement,
        {{ landed_text(events, 'decision_id') }} as decision_id,
        -- Below 0: the exporter's way of saying that there was none.
        case
            when {{ landed_integer(events, 'position') }} >= 0 then {{ landed_integer(events, 'position') }}
        end as position,
        {{ json_with(landed_text(events, 'properties'), 'rating', landed_text(events, 'rating')) }} as properties
    from {{ landed_relation(events) }}
),

judged as (
    select
        * exclude (fault),
        case
            when not {{ is_before_until('occurred_at') }} then 'at_or_after_until'
            when fault is not null then fault
        end as drop_reason
    from typed
    where {{ is_not_erased('user_id', 'occurred_at') }}
),

hashed as (
    select
        *,
        {{ content_hash(['user_id', 'item_id', 'event_type', 'occurred_at', 'session_id', 'quantity', 'price_micros',
            'channel', 'device', 'country', 'placement', 'decision_id', 'position', 'properties']) }} as content
    from judged
    where given_id is null and drop_reason is null
)

select
    given_id as event_id,
    * exclude (given_id)
from judged
where given_id is not null or drop_reason is not null
union all
select
    content || '-' || cast(row_number() over (partition by content) as varchar) as event_id,
    * exclude (given_id, content)
from hashed
