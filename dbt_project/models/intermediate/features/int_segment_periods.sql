-- Strength that a period and 14-day block adds to an item among the people of a country, and on a device or channel.
-- weight: doubled for every 14 days since the block began, as an integer; the cut halves it for every block since.
with positive as (
    select
        events.period,
        events.item_id,
        events.occurred_day // 14 as block,
        events.strength
        * cast(round(1000000 * pow(2, events.occurred_day % 14 / 14.0)) as bigint) as weight,
        coalesce(users.country, events.country) as country,
        events.device,
        events.channel
    from {{ ref('int_period_events') }} as events
    left join {{ ref('users') }} as users on events.user_id = users.user_id
    where events.item_id is not null and events.is_positive
),

segments as (
    {%- for kind in ['country', 'device', 'channel'] %}
    {{ 'union all' if not loop.first }}
    select
        '{{ kind }}' as segment_kind,
        {{ kind }} as segment,
        item_id,
        period,
        block,
        cast(sum(weight) as bigint) as weight
    from positive
    where {{ kind }} is not null
    group by {{ kind }}, item_id, period, block
    {%- endfor %}
)

select * from segments
