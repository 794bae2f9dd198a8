-- Events that the decision service acknowledged. Known from `recorded_at` on, whenever they happened.
select
    cast(event_id as varchar) as event_id,
    cast(user_id as varchar) as user_id,
    {{ text_or_null('item_id') }} as item_id,
    {{ settled_type('cast(event_type as varchar)', 'cast(properties as varchar)') }} as event_type,
    {{ utc_timestamp('occurred_at', 'TIMESTAMP') }} as occurred_at,
    {{ text_or_null('session_id') }} as session_id,
    cast(quantity as bigint) as quantity,
    cast(price_micros as bigint) as price_micros,
    {{ text_or_null('channel') }} as channel,
    {{ text_or_null('device') }} as device,
    {{ text_or_null('country') }} as country,
    {{ text_or_null('placement') }} as placement,
    {{ text_or_null('decision_id') }} as decision_id,
    cast(position as bigint) as position,
    {{ text_or_null('properties') }} as properties,
    greatest(
        {{ utc_timestamp('recorded_at', 'TIMESTAMP') }},
        {{ utc_timestamp('occurred_at', 'TIMESTAMP') }}
    ) as recorded_at,
    'journal' as origin
from {{ source('journal', 'events') }}
where
    event_id is not null
    and user_id is not null
    and event_type is not null
    and occurred_at is not null
