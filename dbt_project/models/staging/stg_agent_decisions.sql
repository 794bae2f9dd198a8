-- What agents decided, in runs and in the moment, as it was written.
-- depends_on: {{ source('agents', 'decisions') }}
{%- set columns = {
    'decision_id': 'varchar', 'agent': 'varchar', 'agent_version': 'varchar', 'user_id': 'varchar',
    'decided_at': 'timestamp_ms', 'arm': 'varchar', 'arm_share': 'double', 'variant': 'varchar',
    'variant_share': 'double', 'action': 'varchar', 'channel': 'varchar', 'send_at': 'timestamp_ms',
    'send_window': 'varchar', 'reason': 'varchar', 'send_share': 'double', 'send_propensity': 'double',
    'action_propensity': 'double', 'window_propensity': 'double', 'item_propensity': 'double', 'propensity': 'double',
    'offered_actions': 'varchar[]', 'offered_propensities': 'double[]', 'policy': 'varchar',
    'policy_version': 'varchar', 'expected_gain': 'double', 'placement': 'varchar', 'item_ids': 'varchar[]',
    'item_propensities': 'double[]', 'item_sources': 'varchar[]', 'item_policy': 'varchar',
    'model_version': 'varchar', 'features': 'varchar'
} %}
-- A decision that an earlier version wrote filled no slots.
select * replace (coalesce(item_propensity, 1.0) as item_propensity)
from {{ agent_rows(columns, 'decisions/*.parquet', 'agent_decisions.parquet') }}
