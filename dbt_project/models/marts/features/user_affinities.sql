{{ config(order_by=['user_id', 'kind', 'rank']) }}

-- What each person leans to at the serving cut, by their positive events: shares of categories, brands, price bands,
-- channels and hours, drawn towards everybody's share as if the person had that many average events more.
with touched as (
    select
        user_id,
        item_id,
        sum(event_count) as event_count
    from {{ ref('int_user_item_periods') }}
    group by user_id, item_id
),

-- Of what anybody touched, so that nothing listed later moves a band.
bands as (
    select
        item_id,
        ntile(5) over (order by price_micros asc, item_id asc) as band
    from {{ ref('items') }}
    where price_micros > 0 and item_id in (select touched.item_id from touched)
),

of_items as (
    select
        touched.user_id,
        touched.event_count,
        items.category,
        items.brand,
        case bands.band
            when 1 then 'lowest' when 2 then 'low' when 3 then 'middle' when 4 then 'high' when 5 then 'highest'
        end as price_band
    from touched
    inner join {{ ref('items') }} as items on touched.item_id = items.item_id
    left join bands on touched.item_id = bands.item_id
),

of_hours as (
    {%- for hour in range(24) %}
    {{ 'union all' if not loop.first }}
    select
        user_id,
        '{{ '%02d' % hour }}' as value,
        hour_{{ hour }} as event_count
    from {{ ref('int_user_periods') }}
    {%- endfor %}
),

counted as (
    {%- for kind in ['category', 'brand', 'price_band'] %}
    select
        user_id,
        '{{ kind }}' as kind,
        {{ kind }} as value,
        cast(sum(event_count) as bigint) as evidence_count
    from of_items
    where {{ kind }} is not null
    group by user_id, {{ kind }}
    union all
    {%- endfor %}
    select
        user_id,
        'channel' as kind,
        channel as value,
        count(*) as evidence_count
    from {{ ref('int_period_events') }}
    where is_positive and channel is not null
    group by user_id, channel
    union all
    select
        user_id,
        'hour' as kind,
        value,
        cast(sum(event_count) as bigint) as evidence_count
    from of_hours
    group by user_id, value
),

totals as (
    select
        user_id,
        kind,
        sum(evidence_count) as person_count
    from counted
    group by user_id, kind
),

averages as (
    select
        kind,
        value,
        sum(evidence_count) / sum(sum(evidence_count)) over (partition by kind) as average_share
    from counted
    group by kind, value
),

shrunk as (
    select
        counted.user_id,
        counted.kind,
        counted.value,
        (counted.evidence_count + {{ var('affinity_prior_events') }} * averages.average_share)
        / (totals.person_count + {{ var('affinity_prior_events') }}) as affinity,
        averages.average_share,
        counted.evidence_count
    from counted
    inner join totals on counted.user_id = totals.user_id and counted.kind = totals.kind
    inner join averages on counted.kind = averages.kind and counted.value = averages.value
    where counted.evidence_count > 0
),

ranked as (
    select
        *,
        affinity / average_share as lift,
        row_number() over (
            partition by user_id, kind order by affinity / average_share desc, affinity desc, value asc
        ) as rank
    from shrunk
)

select
    ranked.user_id,
    ranked.kind,
    ranked.value,
    ranked.affinity,
    ranked.lift,
    ranked.evidence_count,
    ranked.rank,
    cuts.cut_at as as_of
from ranked
inner join {{ ref('int_cuts') }} as cuts on cuts.is_serving
where ranked.rank <= {{ var('affinities_per_kind') }}
