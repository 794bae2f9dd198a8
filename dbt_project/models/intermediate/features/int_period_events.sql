-- Events before the last cut with their period and strength, reduced to what states are made of.
with strengths as (
    {{ event_strengths() }}
)

select
    cuts.cut_number as period,
    events.event_id,
    events.user_id,
    events.item_id,
    events.event_type,
    events.session_id,
    {{ to_ms('events.occurred_at') }} as occurred_ms,
    {{ to_day('events.occurred_at') }} as occurred_day,
    extract('hour' from events.occurred_at) as occurred_hour,
    coalesce(strengths.strength, 1) as strength,
    coalesce(strengths.strength, 1) > 0 as is_positive,
    events.event_type = 'purchase' and coalesce(strengths.strength, 1) > 0 as is_purchase,
    coalesce(events.quantity, 1) as quantity,
    events.price_micros,
    events.country,
    events.device,
    events.channel
from {{ ref('events') }} as events
inner join {{ ref('int_cuts') }} as cuts
    on events.recorded_at >= cuts.previous_cut_at and events.recorded_at < cuts.cut_at
left join strengths on events.event_type = strengths.event_type
