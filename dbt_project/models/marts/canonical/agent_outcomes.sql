{{ config(order_by=['agent', 'decided_at', 'decision_id']) }}

select * from {{ ref('stg_agent_outcomes') }}
