{{ config(order_by=['occurred_at', 'event_id']) }}

-- An event id counts once: the copy that was known first. Only ids that do repeat are ranked, so the usual
-- case costs one count of ids instead of a sort of all rows.
with united as (
    select * from {{ ref('int_events_united') }}
),

repeated as (
    select event_id
    from united
    group by event_id
    having count(*) > 1
),

ranked as (
    select
        united.*,
        row_number() over (
            partition by united.event_id
            order by
                united.recorded_at,
                united.occurred_at,
                {{ content_hash(['origin', 'user_id', 'item_id', 'event_type', 'session_id', 'quantity',
                    'price_micros', 'properties']) }}
        ) as copy_number
    from united
    where united.event_id in (select repeated.event_id from repeated)
)

select united.*
from united
where united.event_id not in (select repeated.event_id from repeated)
union all
select * exclude (copy_number)
from ranked
where copy_number = 1
