{#
    The visible funnel of one landed file: its raw rows, then what was dropped for which reason, in order. `rows` needs a
    column drop_reason.
    Columns: table_name, position, step, raw_count, dropped_count, reason.
#}
{% macro steps_of(table_name, rows, what, reasons) -%}
with counts as (
    select
        drop_reason,
        count(*) as row_count
    from {{ rows }}
    group by drop_reason
)

select
    '{{ table_name }}' as table_name,
    0 as position,
    'raw_rows' as step,
    coalesce(sum(row_count), 0) as raw_count,
    0 as dropped_count,
    '{{ what }}' as reason
from counts
{% for code, sentence in reasons %}
union all
select
    '{{ table_name }}' as table_name,
    {{ loop.index }} as position,
    '{{ code }}' as step,
    0 as raw_count,
    coalesce(sum(row_count) filter (where drop_reason = '{{ code }}'), 0) as dropped_count,
    '{{ sentence }}' as reason
from counts
{% endfor %}
{%- endmacro %}
