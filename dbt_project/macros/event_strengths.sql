{# The table event_type, strength that recommender/events.py hands over; types that are missing in it count 1. #}
{% macro event_strengths() -%}
    select
        cast(event_type as varchar) as event_type,
        cast(strength as bigint) as strength
    from (
        values
        {%- for event_type, strength in var('event_strengths').items() %}
        ('{{ event_type }}', {{ strength }}),
        {%- endfor %}
        ('', 0)
    ) as declared (event_type, strength)
{%- endmacro %}
