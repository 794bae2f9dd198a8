-- Which users have a state at which cut: everybody seen before it; at past cuts a sample by hash where there are
-- more than max_users_per_past_cut.
with seen as (
    select
        user_id,
        min(period) as first_period
    from {{ ref('int_period_events') }}
    group by user_id
),

ranked as (
    select
        seen.user_id,
        cuts.cut_number,
        cuts.cut_at,
        cuts.cut_ms,
        cuts.is_serving,
        row_number() over (
            partition by cuts.cut_number
            order by {{ text_hash('seen.user_id') }}, seen.user_id
        ) as place
    from seen
    inner join {{ ref('int_cuts') }} as cuts on seen.first_period <= cuts.cut_number
)

select
    user_id,
    cut_number,
    cut_at,
    cut_ms,
    is_serving
from ranked
where is_serving or place <= {{ var('max_users_per_past_cut') }}
