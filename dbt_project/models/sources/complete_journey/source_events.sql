{{ config(enabled=is_chosen('complete_journey')) }}

select
    event_id,
    user_id,
    item_id,
    event_type,
    occurred_at,
    session_id,
    quantity,
    price_micros,
    cast(null as varchar) as channel,
    cast(null as varchar) as device,
    cast(null as varchar) as country,
    cast(null as varchar) as placement,
    cast(null as varchar) as decision_id,
    cast(null as bigint) as position,
    properties
from {{ ref('source_rows') }}
where drop_reason is null
