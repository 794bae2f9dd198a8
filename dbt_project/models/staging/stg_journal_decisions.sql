-- Decisions as the service wrote them.
select
    * exclude (decided_at, state_as_of),
    cast(decided_at as timestamp_ms) as decided_at,
    cast(state_as_of as timestamp_ms) as state_as_of
from {{ source('journal', 'decisions') }}
