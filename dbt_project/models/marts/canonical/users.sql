{{ config(order_by=['user_id']) }}

-- The people of the users table, and every further one that events name.
with known as (
    select * from {{ ref('source_users') }}
),

seen as (
    select distinct user_id from {{ ref('events') }}
)

select
    user_id,
    signed_up_at,
    country,
    timezone,
    attributes
from known
union all
select
    seen.user_id,
    null as signed_up_at,
    null as country,
    null as timezone,
    null as attributes
from seen
anti join known on seen.user_id = known.user_id
