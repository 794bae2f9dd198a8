{{ config(enabled=is_chosen('complete_journey')) }}

-- The catalogue gives no dates: every product has always been listed. As `complete_journey_categories` an item is a
-- product category, described by its types of product, and its category is the department that lists most of it.
{% if var('source') == 'complete_journey_categories' %}
with departments as (
    select
        product_category,
        department,
        count(*) as products
    from {{ source('complete_journey', 'products') }}
    where product_category is not null
    group by product_category, department
),

types as (
    select
        product_category,
        string_agg(distinct product_type, ', ' order by product_type) as description
    from {{ source('complete_journey', 'products') }}
    group by product_category
)

select
    departments.product_category as item_id,
    departments.product_category as title,
    types.description,
    {{ latest('departments.department', 'departments.products', 'departments.department') }} as category,
    cast(null as varchar) as brand,
    cast(null as varchar) as tags,
    cast(null as bigint) as price_micros,
    cast(null as boolean) as is_available,
    cast(null as timestamp_ms) as created_at,
    cast(null as varchar) as attributes
from departments
inner join types on departments.product_category = types.product_category
group by departments.product_category, types.description
{% else %}
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
{% endif %}
