{{ config(enabled=is_chosen('complete_journey')) }}
-- depends_on: {{ source('journal', 'erased') }}

select
    household_id as user_id,
    cast(null as timestamp_ms) as signed_up_at,
    cast(null as varchar) as country,
    cast(null as varchar) as timezone,
    {{ json_of({'age': 'age', 'home_ownership': 'home_ownership', 'household_comp': 'household_comp',
        'household_size': 'household_size', 'income': 'income', 'kids_count': 'kids_count',
        'marital_status': 'marital_status'}) }} as attributes
from {{ source('complete_journey', 'demographics') }}
where {{ is_not_erased('household_id', 'null') }}
