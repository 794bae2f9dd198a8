-- What a user touched moment by moment: the items of one moment (an invoice's lines share theirs) are one step, at most
-- 12 of them by hash. Steps follow the order in which they became known, so a later period only appends to them.
with touched as (
    select distinct
        user_id,
        period,
        occurred_ms,
        occurred_day,
        item_id
    from {{ ref('int_period_events') }}
    where item_id is not null and is_positive
),

numbered as (
    select
        user_id,
        period,
        occurred_ms,
        occurred_day,
        item_id,
        dense_rank() over (partition by user_id order by period, occurred_ms) as step,
        count(*) over (partition by user_id, period, occurred_ms) as item_count
    from touched
),

ranked as (
    select
        user_id,
        period,
        occurred_ms,
        occurred_day,
        item_id,
        step,
        item_count,
        case
            when item_count > 12
                then row_number() over (
                    partition by user_id, step
                    order by case when item_count > 12 then {{ text_hash(
                        "item_id || ' ' || cast(occurred_ms as varchar)"
                    ) }} end
                )
            else 1
        end as place
    from numbered
)

select
    ranked.user_id,
    ranked.step,
    ranked.period,
    ranked.occurred_ms,
    ranked.occurred_day,
    ranked.item_count,
    codes.item_code
from ranked
inner join {{ ref('int_item_codes') }} as codes on ranked.item_id = codes.item_id
where ranked.place <= 12
