{{ config(order_by=['origin', 'table_name', 'reason', 'raw_row']) }}

select * from {{ ref('stg_dead_letters') }}
