-- Distinct items a user touched in one session, or on one day where no session is named, at most 60 of them by hash:
-- a basket of n items makes n² pairs, and a wholesaler's invoice has 500 lines. A session that a cut falls into
-- counts as two baskets, since nobody at the cut knew how it went on.
--
-- weight: 1 / log2(1 + items), halved for every 60 days of age, as an integer. Age is counted from a fixed grid of
-- 60-day blocks; the rest, a power of two, is applied at the cut.
--
-- browsed_ms is the first event with the item that is no purchase, bought_ms the last that is one; null where none is.
with touched as (
    select
        user_id,
        coalesce(session_id, 'day ' || cast(occurred_day as varchar)) as session_key,
        period,
        item_id,
        max(occurred_day) as occurred_day,
        min(occurred_ms) filter (where not is_purchase) as browsed_ms,
        max(occurred_ms) filter (where is_purchase) as bought_ms
    from {{ ref('int_period_events') }}
    where item_id is not null and is_positive
    group by all
),

baskets as (
    select
        user_id,
        session_key,
        period,
        row_number() over (order by user_id, session_key, period) as basket_code,
        count(*) as item_count,
        max(occurred_day) as basket_day
    from touched
    group by user_id, session_key, period
),

ranked as (
    select
        baskets.basket_code,
        baskets.period,
        baskets.item_count,
        baskets.basket_day,
        touched.item_id,
        touched.browsed_ms,
        touched.bought_ms,
        case
            when baskets.item_count > 60
                then row_number() over (
                    partition by baskets.basket_code
                    order by case when baskets.item_count > 60 then {{ text_hash(
                        "touched.item_id || ' ' || touched.session_key"
                    ) }} end
                )
            else 1
        end as place
    from touched
    inner join baskets
        on
            touched.user_id = baskets.user_id
            and touched.session_key = baskets.session_key
            and touched.period = baskets.period
)

select
    ranked.basket_code,
    ranked.period,
    codes.item_code,
    ranked.browsed_ms,
    ranked.bought_ms,
    ranked.basket_day // 60 as block,
    cast(round(
        1000000 / log2(1 + ranked.item_count) * pow(2, ranked.basket_day % 60 / 60.0)
    ) as bigint) as weight
from ranked
inner join {{ ref('int_item_codes') }} as codes on ranked.item_id = codes.item_id
where ranked.place <= 60
