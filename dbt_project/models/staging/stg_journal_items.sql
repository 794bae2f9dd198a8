-- What the decision service was told of each item up to the cut: of its changes the last one, which says all that was
-- said before as well.
with known as (
    select
        {{ text_or_null('item_id') }} as item_id,
        {{ text_or_null('title') }} as title,
        {{ text_or_null('description') }} as description,
        {{ text_or_null('category') }} as category,
        {{ text_or_null('brand') }} as brand,
        {{ text_or_null('tags') }} as tags,
        title is not null as says_title,
        description is not null as says_description,
        category is not null as says_category,
        brand is not null as says_brand,
        tags is not null as says_tags,
        cast(price_micros as bigint) as price_micros,
        cast(is_available as boolean) as is_available,
        {{ utc_timestamp('created_at', 'TIMESTAMP') }} as created_at,
        cast(attributes as varchar) as attributes,
        {{ utc_timestamp('recorded_at', 'TIMESTAMP') }} as recorded_at,
        {{ utc_timestamp('listed_at', 'TIMESTAMP') }} as listed_at,
        row_number() over (partition by item_id order by seq desc) as place
    from {{ source('journal', 'items') }}
    where
        item_id is not null
        and recorded_at < {{ utc_timestamp_literal(var('as_of') or '9999-12-31') }}
)

select * exclude (place)
from known
where place = 1
