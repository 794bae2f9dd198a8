{{ config(enabled=is_chosen('complete_journey'), materialized='table') }}
-- depends_on: {{ source('journal', 'erased') }}

-- Receipt lines and redeemed coupons with the reason, if any, why a line is left out. The coupon names no product.
-- As `complete_journey_categories` a line names its product's category, if it has one; everything else stays as it is,
-- event_id included: two products of one category in a basket are two lines.
with receipts as (
    select
        'purchase' as event_type,
        household_id as user_id,
        product_id as item_id,
        {{ utc_timestamp('transaction_timestamp', 'TIMESTAMP') }} as occurred_at,
        basket_id as session_id,
        cast(round(quantity) as bigint) as quantity,
        -- sales_value is what the shop received for the whole line.
        case when quantity > 0 then {{ to_micros('sales_value / quantity') }} end as price_micros,
        cast(null as varchar) as properties
    from {{ source('complete_journey', 'transactions_sample') }}
),

redemptions as (
    select
        'coupon_redemption' as event_type,
        household_id as user_id,
        cast(null as varchar) as item_id,
        {{ utc_timestamp('redemption_date', 'DATE') }} as occurred_at,
        cast(null as varchar) as session_id,
        cast(null as bigint) as quantity,
        cast(null as bigint) as price_micros,
        {{ json_of({'coupon_upc': 'coupon_upc', 'campaign_id': 'campaign_id'}) }} as properties
    from {{ source('complete_journey', 'coupon_redemptions') }}
),

united as (
    select * from receipts
    union all
    select * from redemptions
),

hashed as (
    select
        *,
        {{ content_hash(['event_type', 'user_id', 'item_id', 'occurred_at', 'session_id', 'quantity', 'price_micros',
            'properties']) }} as event_id
    from united
),

{% if var('source') == 'complete_journey_categories' %}
named as (
    select
        hashed.* exclude (item_id),
        products.product_category as item_id
    from hashed
    left join {{ source('complete_journey', 'products') }} as products on hashed.item_id = products.product_id
)
{% else %}
named as (
    select * from hashed
)
{% endif %}
select
    *,
    case
        when not {{ is_before_until('occurred_at') }} then 'at_or_after_until'
        when quantity <= 0 then 'quantity_not_positive'
        when row_number() over (partition by event_id) > 1 then 'exact_duplicate'
    end as drop_reason
from named
where {{ is_not_erased('user_id', 'occurred_at') }}
