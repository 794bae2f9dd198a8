-- Popularity at a cut: a day's strength loses half its weight in 14 days. Each day's term is rounded to micros, so
-- the sum is exact in any order.
select
    cuts.cut_number,
    days.item_id,
    cast(sum(
        cast(round(
            1000000 * days.strength * pow(2, (days.occurred_day * 86400000 - cuts.cut_ms) / (14 * 86400000.0))
        ) as bigint)
    ) as bigint) as popularity_micros
from {{ ref('int_item_days') }} as days
inner join {{ ref('int_cuts') }} as cuts on days.period <= cuts.cut_number
group by cuts.cut_number, days.item_id
