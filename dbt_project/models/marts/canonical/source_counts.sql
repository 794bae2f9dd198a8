{{ config(order_by=['step_number']) }}

-- The funnel from raw rows to canonical events, as far as each row gets.
with united as (
    select
        count(*) as row_count,
        count(*) filter (where origin = 'journal') as journal_count
    from {{ ref('int_events_united') }}
),

kept as (
    select count(*) as row_count from {{ ref('events') }}
),

steps as (
    select
        table_name,
        position,
        step,
        raw_count,
        dropped_count,
        reason
    from {{ ref('source_steps') }}
    union all
    select
        'events' as table_name,
        1000 as position,
        'journal_events' as step,
        united.journal_count as raw_count,
        0 as dropped_count,
        'events recorded by the decision service join in' as reason
    from united
    union all
    select
        'events' as table_name,
        1001 as position,
        'duplicate_event_id' as step,
        0 as raw_count,
        united.row_count - kept.row_count as dropped_count,
        'event id seen before: the copy that was known first is kept' as reason
    from united
    cross join kept
)

select
    row_number() over (order by table_name, position) as step_number,
    table_name,
    step,
    cast(
        sum(raw_count - dropped_count) over (
            partition by table_name
            order by position
            rows between unbounded preceding and current row
        ) as bigint
    ) as row_count,
    cast(dropped_count as bigint) as dropped_count,
    reason
from steps
