{{ config(order_by=['as_of', 'user_id']) }}

-- Periods summed up to each cut: the same rows as folding the events into an empty state (recommender/states.py).
with sums as (
    select
        user_cuts.user_id,
        user_cuts.cut_number,
        any_value(user_cuts.cut_at) as as_of,
        any_value(user_cuts.cut_ms) as as_of_ms,
        {% for name in ['event_count', 'view_count', 'cart_count', 'purchase_count', 'skip_count', 'quantity_sum',
                        'spend_micros'] -%}
        cast(coalesce(sum(parts.{{ name }}), 0) as bigint) as {{ name }},
        {% endfor -%}
        coalesce(min(parts.first_ms), 0) as first_ms,
        coalesce(max(parts.last_ms), 0) as last_ms,
        coalesce(max(parts.last_purchase_ms), 0) as last_purchase_ms,
        [
            {%- for hour in range(24) %}
            cast(sum(parts.hour_{{ hour }}) as bigint){{ ',' if not loop.last }}
            {%- endfor %}
        ] as hour_counts,
        min(parts.first_country) as first_country,
        max(parts.last_device) as last_device,
        max(parts.last_channel) as last_channel,
        {{ merge_greatest('parts.recent', var('recent_length')) }} as recent,
        {{ merge_greatest_distinct('parts.purchase_days', var('purchase_days_length')) }} as purchase_days
    from {{ ref('int_user_cuts') }} as user_cuts
    inner join {{ ref('int_user_periods') }} as parts
        on user_cuts.user_id = parts.user_id and user_cuts.cut_number >= parts.period
    group by user_cuts.user_id, user_cuts.cut_number
)

select
    sums.user_id,
    sums.as_of,
    sums.as_of as created_at,
    sums.as_of_ms,
    sums.event_count,
    sums.view_count,
    sums.cart_count,
    sums.purchase_count,
    sums.skip_count,
    sums.quantity_sum,
    sums.spend_micros,
    sums.first_ms,
    sums.last_ms,
    sums.last_purchase_ms,
    sums.hour_counts,
    coalesce(users.country, {{ part_of('sums.first_country', 'name') }}, '') as country,
    coalesce({{ part_of('sums.last_device', 'name') }}, '') as device,
    coalesce({{ part_of('sums.last_channel', 'name') }}, '') as channel,
    coalesce(histories.item_ids, []) as history_item_ids,
    coalesce(histories.strengths, []) as history_strengths,
    coalesce(histories.counts, []) as history_counts,
    coalesce(histories.purchase_counts, []) as history_purchase_counts,
    coalesce(histories.first_ms, []) as history_first_ms,
    coalesce(histories.last_ms, []) as history_last_ms,
    {{ field_of('sums.recent', 'item_id') }} as recent_item_ids,
    {{ field_of('sums.recent', 'event_type') }} as recent_event_types,
    {{ field_of('sums.recent', 'at') }} as recent_ms,
    sums.purchase_days
from sums
left join {{ ref('int_user_histories') }} as histories
    on sums.user_id = histories.user_id and sums.cut_number = histories.cut_number
left join {{ ref('users') }} as users on sums.user_id = users.user_id
