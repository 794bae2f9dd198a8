{# Landed catalogue rows in canonical columns, with the reason, if any, why a row is left out. Of several rows for an
   item the last listed one stays. #}
{% macro judged_items(items) -%}
select
    * exclude (fault, content),
    case
        when fault is not null then fault
        when not {{ is_before_until('created_at') }} then 'at_or_after_until'
        when row_number() over (
            partition by item_id, fault is null, {{ is_before_until('created_at') }}
            order by created_at desc nulls last, content
        ) > 1 then 'duplicate_item_id'
    end as drop_reason
from (
    select
        {{ landed_fault(items, ['item_id']) }} as fault,
        {{ landed_text(items, 'item_id') }} as item_id,
        {{ landed_text(items, 'title') }} as title,
        {{ landed_text(items, 'description') }} as description,
        {{ landed_text(items, 'category') }} as category,
        {{ landed_text(items, 'brand') }} as brand,
        {{ landed_names(items, 'tags') }} as tags,
        {{ landed_micros(items, 'price') }} as price_micros,
        {{ landed_boolean(items, 'available') }} as is_available,
        {{ landed_time(items, 'created_at') }} as created_at,
        {{ landed_rest(items, ['item_id', 'title', 'description', 'category', 'brand', 'tags', 'price', 'available',
            'created_at']) }} as attributes,
        md5({{ landed_row(items) }}) as content
    from {{ landed_relation(items) }}
) as typed
{%- endmacro %}

{# The same for people. #}
{% macro judged_users(users) -%}
select
    * exclude (fault, content),
    case
        when fault is not null then fault
        when not {{ is_before_until('signed_up_at') }} then 'at_or_after_until'
        when row_number() over (
            partition by user_id, fault is null, {{ is_before_until('signed_up_at') }}
            order by signed_up_at desc nulls last, content
        ) > 1 then 'duplicate_user_id'
    end as drop_reason
from (
    select
        {{ landed_fault(users, ['user_id']) }} as fault,
        {{ landed_text(users, 'user_id') }} as user_id,
        {{ landed_time(users, 'signed_up_at') }} as signed_up_at,
        {{ landed_text(users, 'country') }} as country,
        {{ landed_text(users, 'timezone') }} as timezone,
        {{ landed_rest(users, ['user_id', 'signed_up_at', 'country', 'timezone']) }} as attributes,
        md5({{ landed_row(users) }}) as content
    from {{ landed_relation(users) }}
) as typed
{%- endmacro %}
