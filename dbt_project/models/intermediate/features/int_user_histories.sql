-- The items of a user up to a cut, last touched first.
with items as (
    select
        user_cuts.user_id,
        user_cuts.cut_number,
        parts.item_id,
        cast(sum(parts.strength) as bigint) as strength,
        cast(sum(parts.event_count) as bigint) as event_count,
        cast(sum(parts.purchase_count) as bigint) as purchase_count,
        min(parts.first_ms) as first_ms,
        max(parts.last_ms) as last_ms
    from {{ ref('int_user_cuts') }} as user_cuts
    inner join {{ ref('int_user_item_periods') }} as parts
        on user_cuts.user_id = parts.user_id and user_cuts.cut_number >= parts.period
    group by user_cuts.user_id, user_cuts.cut_number, parts.item_id
),

histories as (
    select
        user_id,
        cut_number,
        {{ least_records(
            record_of({
                'minus_last_ms': '-last_ms', 'item_id': 'item_id', 'strength': 'strength', 'event_count': 'event_count',
                'purchase_count': 'purchase_count', 'first_ms': 'first_ms', 'last_ms': 'last_ms'
            }),
            var('history_length')
        ) }} as history
    from items
    group by user_id, cut_number
)

select
    user_id,
    cut_number,
    {{ field_of('history', 'item_id') }} as item_ids,
    {{ field_of('history', 'strength') }} as strengths,
    {{ field_of('history', 'event_count') }} as counts,
    {{ field_of('history', 'purchase_count') }} as purchase_counts,
    {{ field_of('history', 'first_ms') }} as first_ms,
    {{ field_of('history', 'last_ms') }} as last_ms
from histories
