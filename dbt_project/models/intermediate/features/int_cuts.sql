-- Cuts numbered in time. An event belongs to the period that ends with the first cut after it was recorded, so a
-- state at cut n is made of the periods 1 to n, and no event is repeated for each cut.
select
    row_number() over (order by cut_at) as cut_number,
    cut_at,
    {{ to_ms('cut_at') }} as cut_ms,
    coalesce(lag(cut_at) over (order by cut_at), cast('0001-01-01' as timestamp_ms)) as previous_cut_at,
    is_serving
from {{ ref('feature_cuts') }}
