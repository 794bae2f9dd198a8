{# Which origin is chosen. Every folder of models/sources has models of the same names; only the chosen one's are enabled. #}

{% macro chosen_source() -%}
    {{- return(var('source_aliases').get(var('source'), var('source'))) -}}
{%- endmacro %}

{% macro is_chosen(name) -%}
    {{- return(chosen_source() == name) -}}
{%- endmacro %}

{# True for a source row that counts: before `until`, or no `until` at all. A row without a time counts. #}
{% macro is_before_until(column) -%}
    {%- if var('until') -%}
        coalesce({{ column }} < {{ utc_timestamp_literal(var('until')) }}, true)
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}
