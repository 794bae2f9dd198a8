-- How many users an item gains in a period: those whose first (second) event with it falls into the period.
with running as (
    select
        user_id,
        item_id,
        period,
        event_count,
        sum(event_count) over (
            partition by user_id, item_id
            order by period
            rows between unbounded preceding and current row
        ) as total_count
    from {{ ref('int_user_item_periods') }}
)

select
    item_id,
    period,
    count(*) filter (where total_count = event_count) as new_user_count,
    count(*) filter (where total_count >= 2 and total_count - event_count < 2) as new_repeat_user_count
from running
group by item_id, period
