-- What decisions earned whose window has closed, as the agents' learning reads it.
-- depends_on: {{ source('agents', 'outcomes') }}
{%- set columns = {
    'decision_id': 'varchar', 'agent': 'varchar', 'user_id': 'varchar', 'decided_at': 'timestamp_ms',
    'closed_at': 'timestamp_ms', 'earned': 'double', 'cost': 'double', 'reward': 'double', 'is_wanted': 'boolean'
} %}
select * from {{ agent_rows(columns, 'outcomes.parquet') }}
