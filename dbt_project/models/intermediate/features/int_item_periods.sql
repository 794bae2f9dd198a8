-- What one period adds to an item's totals. Every event that names the item makes it seen, a positive one counts.
select
    item_id,
    period,
    min(occurred_ms) as seen_ms,
    count(*) filter (where is_positive) as event_count,
    count(*) filter (where is_purchase) as purchase_count,
    min(occurred_ms) filter (where is_positive) as first_ms,
    max(occurred_ms) filter (where is_positive) as last_ms,
    {{ greatest_record(
        {'at': 'occurred_ms', 'event_id': 'event_id', 'price_micros': 'price_micros'},
        'is_purchase and price_micros is not null'
    ) }} as last_price
from {{ ref('int_period_events') }}
where item_id is not null
group by item_id, period
