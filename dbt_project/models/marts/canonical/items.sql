{{ config(order_by=['item_id']) }}

-- The catalogue: the source's rows, over them what the decision service was told since, column by column, and every
-- item that events name without either: those are listed from their first event on.
with told as (
    select * from {{ ref('stg_journal_items') }}
),

sourced as (
    select * from {{ ref('source_items') }}
),

seen as (
    select
        item_id,
        cast(min(occurred_at) as timestamp_ms) as created_at
    from {{ ref('events') }}
    where item_id is not null
    group by item_id
),

listed as (
    select
        coalesce(sourced.item_id, told.item_id) as item_id,
        case when told.says_title then told.title else sourced.title end as title,
        case when told.says_description then told.description else sourced.description end as description,
        case when told.says_category then told.category else sourced.category end as category,
        case when told.says_brand then told.brand else sourced.brand end as brand,
        case when told.says_tags then told.tags else sourced.tags end as tags,
        coalesce(told.price_micros, sourced.price_micros) as price_micros,
        coalesce(told.is_available, sourced.is_available) as is_available,
        -- An item that the source does not have was listed when the service first heard of it, be it by an event.
        coalesce(
            told.created_at,
            case
                when sourced.item_id is null then least(told.listed_at, coalesce(seen.created_at, told.listed_at))
                else sourced.created_at
            end
        ) as created_at,
        {{ json_folded('sourced.attributes', 'told.attributes') }} as attributes
    from sourced
    full outer join told on sourced.item_id = told.item_id
    left join seen on told.item_id = seen.item_id
)

select
    item_id,
    title,
    description,
    category,
    brand,
    tags,
    price_micros,
    is_available,
    created_at,
    attributes
from listed
union all
select
    seen.item_id,
    null as title,
    null as description,
    null as category,
    null as brand,
    null as tags,
    null as price_micros,
    null as is_available,
    seen.created_at,
    null as attributes
from seen
anti join listed on seen.item_id = listed.item_id
