{{ config(enabled=is_chosen('tables')) }}
-- depends_on: {{ source('journal', 'erased') }}

select * exclude (drop_reason)
from ({{ judged_users(landed('users')) }}) as judged
where
    drop_reason is null
    and {{ is_not_erased('user_id', 'signed_up_at') }}
