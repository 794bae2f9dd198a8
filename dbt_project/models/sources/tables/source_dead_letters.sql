{{ config(enabled=is_chosen('tables')) }}
-- depends_on: {{ source('journal', 'erased') }}

-- Rows that cannot be used, as they arrived.
{% for name, required in {'events': ['user_id', 'event_type', 'occurred_at'], 'items': ['item_id'],
                          'users': ['user_id']}.items() %}
{%- set table = landed(name) %}
{%- if not loop.first %}
union all
{% endif %}
select
    '{{ name }}' as table_name,
    {{ landed_fault(table, required) }} as reason,
    {{ landed_row(table) }} as raw_row
from {{ landed_relation(table) }}
where
    {{ landed_fault(table, required) }} is not null
    and {{ is_before_until(landed_time(table, 'occurred_at')) }}
    and {{ is_not_erased(landed_text(table, 'user_id'), landed_time(table, 'occurred_at')) }}
{%- endfor %}
union all
select
    table_name,
    reason,
    raw_row
from {{ ref('source_rejected_lines') }}
