-- From one item to another, by kind, what a period and 60-day block adds:
--   next      it comes in the very next step of the same person; halved for every 30 days between the two steps
--   view_buy  it is bought in the basket in which the first was looked at before
--   buy_buy   both are bought in one basket; left out where people only buy, since it would repeat what goes together
with steps as (
    select * from {{ ref('int_item_steps') }}
),

baskets as (
    select * from {{ ref('int_basket_items') }}
),

browsing as (
    select count(browsed_ms) > 0 as is_known from baskets
),

links as (
    select
        'next' as link_kind,
        steps.item_code,
        followers.item_code as other_code,
        followers.period,
        followers.occurred_day // 60 as block,
        cast(round(
            1000000 / log2(1 + steps.item_count) / log2(1 + followers.item_count)
            * pow(
                2, followers.occurred_day % 60 / 60.0 - (followers.occurred_ms - steps.occurred_ms) / (30 * 86400000.0)
            )
        ) as bigint) as weight
    from steps
    inner join steps as followers
        on
            steps.user_id = followers.user_id
            and steps.step + 1 = followers.step
            and steps.item_code <> followers.item_code
    where followers.occurred_ms >= steps.occurred_ms
    union all
    select
        'view_buy' as link_kind,
        baskets.item_code,
        bought.item_code as other_code,
        bought.period,
        bought.block,
        bought.weight
    from baskets
    inner join baskets as bought
        on
            baskets.basket_code = bought.basket_code
            and baskets.browsed_ms <= bought.bought_ms
            and baskets.item_code <> bought.item_code
    union all
    select
        'buy_buy' as link_kind,
        baskets.item_code,
        bought.item_code as other_code,
        bought.period,
        bought.block,
        bought.weight
    from baskets
    cross join browsing
    inner join baskets as bought
        on baskets.basket_code = bought.basket_code and baskets.item_code <> bought.item_code
    where browsing.is_known and baskets.bought_ms is not null and bought.bought_ms is not null
)

select
    link_kind,
    item_code,
    other_code,
    period,
    block,
    cast(sum(weight) as bigint) as weight
from links
where weight > 0
group by link_kind, item_code, other_code, period, block
