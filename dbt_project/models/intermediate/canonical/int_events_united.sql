{{ config(materialized='view') }}

-- Source and journal together, before duplicates are dropped.
select * from {{ ref('stg_source_events') }}
union all
select * from {{ ref('stg_journal_events') }}
