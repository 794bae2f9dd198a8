-- People whose first event with an item fell into the 7, 14 and 28 days before a cut. An event that became known later
-- but happened earlier does not take the item's gain back.
with firsts as (
    select
        user_id,
        item_id,
        min(period) as period,
        min_by(first_ms, period) as first_ms
    from {{ ref('int_user_item_periods') }}
    group by user_id, item_id
)

select
    cuts.cut_number,
    firsts.item_id,
    count(*) filter (where cuts.cut_ms - firsts.first_ms <= 7 * 86400000) as new_user_count_7d,
    count(*) filter (where cuts.cut_ms - firsts.first_ms <= 14 * 86400000) as new_user_count_14d,
    count(*) as new_user_count_28d
from firsts
inner join {{ ref('int_cuts') }} as cuts
    on
        firsts.period <= cuts.cut_number
        and firsts.first_ms >= cuts.cut_ms - 28 * cast(86400000 as bigint)
group by cuts.cut_number, firsts.item_id
