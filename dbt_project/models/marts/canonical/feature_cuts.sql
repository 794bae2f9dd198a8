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

serving as (
    -- A decision nobody answered yet is the newest thing there is, and belongs to the next training set.
    select
        coalesce(
            {{ utc_timestamp_literal(var('as_of')) }},
            cast(greatest(recorded.last_at, decided.last_at) + interval 1 millisecond as timestamp_ms)
        ) as cut_at
    from recorded
    cross join decided
),

past as (
    select
        cast(
            serving.cut_at - to_days(cast(steps.step * {{ var('cut_interval_days') }} as integer)) as timestamp_ms
        ) as cut_at
    from serving
    cross join generate_series(1, {{ var('cut_count') }}) as steps (step)
    {%- for cut in var('cuts') %}
    union all
    select {{ utc_timestamp_literal(cut) }} as cut_at
    {%- endfor %}
)

select
    cut_at,
    true as is_serving
from serving
where cut_at is not null
union all
select distinct
    past.cut_at,
    false as is_serving
from past
cross join serving
cross join recorded
where
    past.cut_at > recorded.first_at
    and past.cut_at < serving.cut_at
