{{ config(enabled=is_chosen('tables')) }}

select * exclude (drop_reason)
from {{ ref('source_rows') }}
where drop_reason is null
