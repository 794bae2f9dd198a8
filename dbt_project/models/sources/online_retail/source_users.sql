{{ config(enabled=is_chosen('online_retail')) }}

select
    user_id,
    cast(null as timestamp_ms) as signed_up_at,
    {{ latest('country', 'occurred_at', 'event_id') }} as country,
    cast(null as varchar) as timezone,
    cast(null as varchar) as attributes
from {{ ref('source_rows') }}
where drop_reason is null
group by user_id
