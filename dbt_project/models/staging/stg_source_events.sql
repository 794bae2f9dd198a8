-- The chosen origin's events in canonical words. Imported history was known when it happened.
with source_events as (
    select * from {{ ref('source_events') }}
),

-- Names are folded once a kind, not once a row.
kinds as (
    select distinct event_type from source_events
),

event_types as (
    select
        event_type as original,
        {{ canonical_event_type('event_type') }} as event_type
    from kinds
)

select
    source_events.event_id,
    source_events.user_id,
    source_events.item_id,
    {{ settled_type('event_types.event_type', 'source_events.properties') }} as event_type,
    source_events.occurred_at,
    source_events.session_id,
    source_events.quantity,
    source_events.price_micros,
    source_events.channel,
    source_events.device,
    source_events.country,
    source_events.placement,
    source_events.decision_id,
    source_events.position,
    source_events.properties,
    source_events.occurred_at as recorded_at,
    '{{ chosen_source() }}' as origin
from source_events
inner join event_types on source_events.event_type = event_types.original
