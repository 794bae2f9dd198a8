-- What one period adds to a user's history of an item.
select
    user_id,
    item_id,
    period,
    sum(strength) as strength,
    count(*) as event_count,
    count(*) filter (where is_purchase) as purchase_count,
    min(occurred_ms) as first_ms,
    max(occurred_ms) as last_ms
from {{ ref('int_period_events') }}
where item_id is not null and is_positive
group by user_id, item_id, period
