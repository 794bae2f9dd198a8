{{ config(enabled=is_chosen('online_retail'), materialized='table') }}
-- depends_on: {{ source('journal', 'erased') }}

-- Invoice lines with the reason, if any, why a line is not a purchase of a product by a known customer.
with lines as (
    select
        "InvoiceNo" as session_id,
        "StockCode" as item_id,
        {{ text_or_null('"Description"') }} as title,
        cast("Quantity" as bigint) as quantity,
        -- Minutes of the shop's wall clock, read as UTC: the file names no zone.
        {{ utc_timestamp('"InvoiceDate"', 'TIMESTAMP') }} as occurred_at,
        {{ to_micros('"UnitPrice"') }} as price_micros,
        cast("CustomerID" as varchar) as user_id,
        "Country" as country
    from {{ source('online_retail', 'online_retail') }}
),

judged as (
    select
        *,
        {{ content_hash(
            ['session_id', 'item_id', 'title', 'quantity', 'occurred_at', 'price_micros', 'user_id', 'country']
        ) }} as event_id,
        case
            when not {{ is_before_until('occurred_at') }} then 'at_or_after_until'
            when user_id is null then 'anonymous'
            when starts_with(session_id, 'C') then 'cancellation'
            when not regexp_matches(item_id, '^\d{5}') then 'not_a_product'
            when quantity <= 0 then 'quantity_not_positive'
            when price_micros <= 0 then 'price_not_positive'
        end as first_fault
    from lines
    where {{ is_not_erased('user_id', 'occurred_at') }}
)

select
    * exclude (first_fault),
    case
        when first_fault is not null then first_fault
        when row_number() over (partition by event_id, first_fault) > 1 then 'exact_duplicate'
    end as drop_reason
from judged
