{{ config(enabled=is_chosen('online_retail')) }}

-- The file has no catalogue: a product is listed when it is first bought, under the last name it was sold by.
select
    item_id,
    {{ latest('title', 'occurred_at', 'event_id') }} as title,
    cast(null as varchar) as description,
    cast(null as varchar) as category,
    cast(null as varchar) as brand,
    cast(null as varchar) as tags,
    cast(null as bigint) as price_micros,
    cast(null as boolean) as is_available,
    cast(min(occurred_at) as timestamp_ms) as created_at,
    cast(null as varchar) as attributes
from {{ ref('source_rows') }}
where drop_reason is null
group by item_id
