{{ config(enabled=is_chosen('online_retail')) }}

select
    event_id,
    user_id,
    item_id,
    'purchase' as event_type,
    occurred_at,
    session_id,
    quantity,
    price_micros,
    cast(null as varchar) as channel,
    cast(null as varchar) as device,
    country,
    cast(null as varchar) as placement,
    cast(null as varchar) as decision_id,
    cast(null as bigint) as position,
    cast(null as varchar) as properties
from {{ ref('source_rows') }}
where drop_reason is null
