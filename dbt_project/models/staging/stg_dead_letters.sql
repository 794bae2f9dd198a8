-- Rejected rows of the chosen origin and of the journal.
select
    '{{ chosen_source() }}' as origin,
    table_name,
    reason,
    raw_row
from {{ ref('source_dead_letters') }}
union all
select
    coalesce(origin, 'journal') as origin,
    table_name,
    reason,
    raw_row
from {{ source('journal', 'dead_letters') }}
