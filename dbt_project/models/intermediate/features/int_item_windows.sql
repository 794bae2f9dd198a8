-- What happened to an item in the 1, 7 and 28 days before a cut. With weekly cuts an event is read at most four times.
with recent as (
    select
        cuts.cut_number,
        cuts.cut_ms - events.occurred_ms as age_ms,
        events.item_id,
        events.user_id,
        events.event_type,
        events.is_positive,
        events.is_purchase,
        events.quantity * coalesce(events.price_micros, 0) as amount_micros
    from {{ ref('int_period_events') }} as events
    inner join {{ ref('int_cuts') }} as cuts
        on
            events.period <= cuts.cut_number
            and events.occurred_ms >= cuts.cut_ms - 28 * cast(86400000 as bigint)
    where events.item_id is not null
)

select
    cut_number,
    item_id,
    count(*) filter (where is_positive and age_ms <= 86400000) as event_count_1d,
    count(*) filter (where is_positive and age_ms <= 7 * 86400000) as event_count_7d,
    count(*) filter (where is_positive) as event_count_28d,
    count(*) filter (where is_purchase and age_ms <= 7 * 86400000) as purchase_count_7d,
    count(*) filter (where is_purchase) as purchase_count_28d,
    count(distinct user_id) filter (where is_positive) as user_count_28d,
    count(*) filter (where is_positive and event_type in ('view', 'click')) as view_count_28d,
    count(*) filter (where is_positive and event_type = 'add_to_cart') as cart_count_28d,
    count(*) filter (where event_type = 'impression') as impression_count_28d,
    count(*) filter (where event_type = 'skip') as skip_count_28d,
    cast(coalesce(sum(amount_micros) filter (where is_purchase), 0) as bigint) as revenue_micros_28d
from recent
group by cut_number, item_id
