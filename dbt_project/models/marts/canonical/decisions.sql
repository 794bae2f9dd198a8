{{ config(order_by=['decided_at', 'decision_id']) }}

select * from {{ ref('stg_journal_decisions') }}
