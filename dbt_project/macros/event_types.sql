{# One name for one kind of event: lower snake case of letters (of any alphabet) and digits, and the common synonyms
   folded. Names nobody knows are kept. #}
{% macro canonical_event_type(expression) -%}
    {%- set synonyms = {
        'view': ['page_view', 'page_viewed', 'product_view', 'product_viewed', 'item_view', 'item_viewed', 'view_item',
                 'detail_view', 'pageview', 'viewed'],
        'click': ['product_clicked', 'product_click', 'item_clicked', 'clicked', 'select_item'],
        'impression': ['product_list_viewed', 'item_list_viewed', 'view_item_list', 'impressions', 'shown'],
        'add_to_cart': ['cart', 'product_added', 'added_to_cart', 'addtocart', 'cart_add', 'add_cart', 'basket',
                        'add_to_basket'],
        'remove_from_cart': ['product_removed', 'removed_from_cart', 'cart_remove', 'removefromcart'],
        'purchase': ['order_completed', 'buy', 'bought', 'transaction', 'purchased', 'order', 'completed_order', 'sale',
                     'checkout_completed'],
        'refund': ['order_refunded', 'refunded', 'return', 'returned'],
        'like': ['liked', 'favorite', 'favourite', 'favorited'],
        'dislike': ['disliked', 'thumbs_down'],
        'bookmark': ['wishlist', 'add_to_wishlist', 'product_added_to_wishlist', 'save', 'saved'],
        'remove_bookmark': ['product_removed_from_wishlist', 'remove_from_wishlist', 'removed_from_wishlist'],
        'rating': ['rate', 'rated', 'product_rated', 'review', 'product_reviewed'],
        'skip': ['skipped'],
        'unsubscribe': ['unsubscribed']
    } -%}
    {%- set snake -%}
        trim(regexp_replace(lower(regexp_replace(trim({{ expression }}), '([a-z0-9])([A-Z])', '\1_\2', 'g')), '[^\p{L}\p{N}]+', '_', 'g'), '_')
    {%- endset -%}
    case
        {%- for name, others in synonyms.items() %}
        when {{ snake }} in ('{{ others | join("', '") }}') then '{{ name }}'
        {%- endfor %}
        else {{ snake }}
    end
{%- endmacro %}

{# The canonical type once the value of a rating is looked at: a low one is a dislike. The same words as
   recommender/events.py's `settled_type`, whose constants arrive as the variable `ratings`. #}
{% macro settled_type(event_type, properties) -%}
    {%- set said = var('ratings') -%}
    {%- set values = [] -%}
    {%- for key in said['keys'] -%}
        {%- do values.append(json_text(properties, key)) -%}
    {%- endfor -%}
    {%- set scale = plain_number(json_text(properties, 'rating_max')) -%}
    case
        when {{ event_type }} <> 'rating' then {{ event_type }}
        when
            {{ plain_number('coalesce(' ~ (values | join(', ')) ~ ')') }}
            < cast({{ said['liked_share'] }} as double) * case
                when {{ scale }} > 0 then {{ scale }} else cast({{ said['max'] }} as double)
            end
            then 'dislike'
        else {{ event_type }}
    end
{%- endmacro %}
