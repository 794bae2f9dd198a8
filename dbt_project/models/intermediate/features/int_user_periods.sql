-- What one period adds to a user's state.
select
    user_id,
    period,
    count(*) filter (where is_positive) as event_count,
    count(*) filter (where is_positive and event_type in ('view', 'click')) as view_count,
    count(*) filter (where is_positive and event_type = 'add_to_cart') as cart_count,
    count(*) filter (where is_purchase) as purchase_count,
    count(*) filter (where event_type = 'skip') as skip_count,
    sum(quantity) filter (where is_purchase) as quantity_sum,
    sum(quantity * coalesce(price_micros, 0)) filter (where is_purchase) as spend_micros,
    min(occurred_ms) filter (where is_positive) as first_ms,
    max(occurred_ms) filter (where is_positive) as last_ms,
    max(occurred_ms) filter (where is_purchase) as last_purchase_ms,
    {% for hour in range(24) -%}
    count(*) filter (where is_positive and occurred_hour = {{ hour }}) as hour_{{ hour }},
    {% endfor -%}
    {{ least_record({'at': 'occurred_ms', 'event_id': 'event_id', 'name': 'country'}, 'country is not null') }}
        as first_country,
    {{ greatest_record({'at': 'occurred_ms', 'event_id': 'event_id', 'name': 'device'}, 'device is not null') }}
        as last_device,
    {{ greatest_record({'at': 'occurred_ms', 'event_id': 'event_id', 'name': 'channel'}, 'channel is not null') }}
        as last_channel,
    {{ greatest_records(
        record_of({'at': 'occurred_ms', 'event_id': 'event_id', 'item_id': 'item_id', 'event_type': 'event_type'}),
        var('recent_length'),
        "item_id is not null and (is_positive or event_type = 'skip')"
    ) }} as recent,
    {{ greatest_distinct('occurred_day', var('purchase_days_length'), 'is_purchase') }} as purchase_days
from {{ ref('int_period_events') }}
group by user_id, period
