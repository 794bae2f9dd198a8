{{ config(order_by=['origin', 'event_type']) }}

-- What `nextbest doctor` looks at: for each kind of event how many there are and what they leave out.
-- orchestration/event_health.py counts the same of events that are not landed yet.
with known as (
    select
        events.*,
        unlisted_items.item_id as unlisted_item_id
    from {{ ref('events') }} as events
    left join {{ ref('unlisted_items') }} as unlisted_items on events.item_id = unlisted_items.item_id
)

select
    origin,
    event_type,
    count(*) as event_count,
    cast(min(occurred_at) as timestamp_ms) as first_occurred_at,
    cast(max(occurred_at) as timestamp_ms) as last_occurred_at,
    count(item_id) as named_count,
    count(unlisted_item_id) as unlisted_count,
    count(*) filter (where user_id like 'anon:%') as anonymous_count,
    count(*) filter (where price_micros is null) as unpriced_count,
    count(*) filter (where quantity is null) as uncounted_count,
    count(*) filter (where decision_id is null) as undecided_count,
    count(*) filter (where placement is null) as unplaced_count,
    count(*) filter (where {{ to_ms('recorded_at') }} - {{ to_ms('occurred_at') }} > 604800000) as late_count
from known
group by origin, event_type
