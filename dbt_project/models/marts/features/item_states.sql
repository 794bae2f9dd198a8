{{ config(order_by=['as_of', 'item_id']) }}

-- Items listed or seen before a cut, as `int_item_cuts` chooses them.
with totals as (
    select
        cuts.cut_number,
        parts.item_id,
        min(parts.seen_ms) as seen_ms,
        min(parts.first_ms) as first_ms,
        max(parts.last_ms) as last_ms,
        cast(sum(parts.event_count) as bigint) as event_count,
        cast(sum(parts.purchase_count) as bigint) as purchase_count,
        max(parts.last_price) as last_price
    from {{ ref('int_item_periods') }} as parts
    inner join {{ ref('int_cuts') }} as cuts on parts.period <= cuts.cut_number
    group by cuts.cut_number, parts.item_id
),

audiences as (
    select
        cuts.cut_number,
        parts.item_id,
        cast(sum(parts.new_user_count) as bigint) as user_count,
        cast(sum(parts.new_repeat_user_count) as bigint) as repeat_user_count
    from {{ ref('int_item_audiences') }} as parts
    inner join {{ ref('int_cuts') }} as cuts on parts.period <= cuts.cut_number
    group by cuts.cut_number, parts.item_id
)

select
    items.item_id,
    cuts.cut_at as as_of,
    cuts.cut_at as created_at,
    coalesce(items.title, '') as title,
    coalesce(items.description, '') as description,
    coalesce(items.category, '') as category,
    coalesce(items.brand, '') as brand,
    coalesce(items.tags, '') as tags,
    coalesce(items.attributes, '') as attributes,
    coalesce(items.price_micros, {{ part_of('totals.last_price', 'price_micros') }}, 0) as price_micros,
    cast(coalesce(items.is_available, true) as bigint) as is_available,
    coalesce({{ to_ms('items.created_at') }}, totals.seen_ms, 0) as listed_ms,
    coalesce(totals.first_ms, 0) as first_ms,
    coalesce(totals.last_ms, 0) as last_ms,
    coalesce(totals.event_count, 0) as event_count,
    coalesce(windows.event_count_1d, 0) as event_count_1d,
    coalesce(windows.event_count_7d, 0) as event_count_7d,
    coalesce(windows.event_count_28d, 0) as event_count_28d,
    coalesce(totals.purchase_count, 0) as purchase_count,
    coalesce(windows.purchase_count_7d, 0) as purchase_count_7d,
    coalesce(windows.purchase_count_28d, 0) as purchase_count_28d,
    coalesce(audiences.user_count, 0) as user_count,
    coalesce(windows.user_count_28d, 0) as user_count_28d,
    coalesce(audiences.repeat_user_count, 0) as repeat_user_count,
    coalesce(gains.new_user_count_7d, 0) as new_user_count_7d,
    coalesce(gains.new_user_count_14d, 0) as new_user_count_14d,
    coalesce(gains.new_user_count_28d, 0) as new_user_count_28d,
    coalesce(windows.view_count_28d, 0) as view_count_28d,
    coalesce(windows.cart_count_28d, 0) as cart_count_28d,
    coalesce(windows.impression_count_28d, 0) as impression_count_28d,
    coalesce(windows.skip_count_28d, 0) as skip_count_28d,
    coalesce(windows.revenue_micros_28d, 0) as revenue_micros_28d,
    coalesce(popularity.popularity_micros, 0) as popularity_micros
from {{ ref('int_item_cuts') }} as cuts
inner join {{ ref('items') }} as items on cuts.item_id = items.item_id
left join totals on items.item_id = totals.item_id and cuts.cut_number = totals.cut_number
left join audiences on items.item_id = audiences.item_id and cuts.cut_number = audiences.cut_number
left join {{ ref('int_item_gains') }} as gains on items.item_id = gains.item_id and cuts.cut_number = gains.cut_number
left join {{ ref('int_item_windows') }} as windows
    on items.item_id = windows.item_id and cuts.cut_number = windows.cut_number
left join {{ ref('int_item_popularity') }} as popularity
    on items.item_id = popularity.item_id and cuts.cut_number = popularity.cut_number
