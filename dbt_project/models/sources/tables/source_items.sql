{{ config(enabled=is_chosen('tables')) }}

select * exclude (drop_reason)
from ({{ judged_items(landed('items')) }}) as judged
where drop_reason is null
