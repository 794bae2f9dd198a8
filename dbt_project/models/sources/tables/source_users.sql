{{ config(enabled=is_chosen('tables')) }}

select * exclude (drop_reason)
from ({{ judged_users(landed('users')) }}) as judged
where drop_reason is null
