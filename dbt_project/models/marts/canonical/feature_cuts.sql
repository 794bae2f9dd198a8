{{ config(order_by=['cut_at']) }}

-- The moments at which states are taken: as_of, evenly spaced past cuts before it, and cuts that were asked for.
with recorded as (
    select
        min(recorded_at) as first_at,
        max(recorded_at) as last_at
    from {{ ref('events') }}
),

decided as (
    select max(decided_at) as last_at
    from {{ ref('decisions') }}
),

told as (
    select max(recorded_at) as last_at
    from {{ ref('stg_journal_items') }}
),

serving as (
    -- A decision nobody answered yet is the newest thing there is, and belongs to the next training set.
    select
        coalesce(
            {{ utc_timestamp_literal(var('as_of')) }},
            cast(greatest(recorded.last_at, decided.last_at, told.last_at) + interval 1 millisecond as timestamp_ms)
        ) as cut_at
    from recorded
    cross join decided
    cross join told
),

-- A short history is learned from in shorter steps: to train, to rehearse and to judge takes four. Whole hours.
span as (
    select
        serving.cut_at,
        recorded.first_at,
        greatest(
            ({{ to_ms('serving.cut_at') }} - {{ to_ms('recorded.first_at') }}) // (4 * 3600000), 1
        ) * 3600000 as quarter_ms
    from serving
    cross join recorded
),

pace as (
    select
        cut_at,
        first_at,
        cast(least({{ var('horizon_days') }} * cast(86400000 as bigint), quarter_ms) as bigint) as horizon_ms,
        cast(least({{ var('cut_interval_days') }} * cast(86400000 as bigint), quarter_ms) as bigint) as interval_ms
    from span
),

past as (
    select
        cast(pace.cut_at - to_milliseconds(steps.step * pace.interval_ms) as timestamp_ms) as cut_at,
        true as is_training
    from pace
    cross join generate_series(1, {{ var('cut_count') }}) as steps (step)
    {%- for cut in var('cuts') %}
    union all
    select
        {{ utc_timestamp_literal(cut) }} as cut_at,
        false as is_training
    {%- endfor %}
)

select
    cut_at,
    true as is_serving,
    false as is_training,
    horizon_ms
from pace
where cut_at is not null
union all
select
    past.cut_at,
    false as is_serving,
    bool_or(past.is_training) as is_training,
    any_value(pace.horizon_ms) as horizon_ms
from past
cross join pace
where
    past.cut_at > pace.first_at
    and past.cut_at < pace.cut_at
group by past.cut_at
