{{ config(enabled=is_chosen('complete_journey')) }}

-- The catalogue gives no dates: every product has always been listed.
select
    product_id as item_id,
    coalesce(product_type || ' (' || product_category || ')', product_category, department) as title,
    cast(null as varchar) as description,
    product_category as category,
    brand,
    cast(null as varchar) as tags,
    cast(null as bigint) as price_micros,
    cast(null as boolean) as is_available,
    cast(null as timestamp_ms) as created_at,
    {{ json_of({'department': 'department', 'manufacturer_id': 'manufacturer_id', 'package_size': 'package_size'}) }}
        as attributes
from {{ source('complete_journey', 'products') }}
