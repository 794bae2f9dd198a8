-- Strength an item gathers on a day, split where a cut falls into the day.
select
    item_id,
    period,
    occurred_day,
    sum(strength) as strength
from {{ ref('int_period_events') }}
where item_id is not null and is_positive
group by item_id, period, occurred_day
