{{ config(enabled=is_chosen('tables'), materialized='table', pre_hook="{{ scan_for_rejects() }}") }}

-- Lines of CSV or JSON files that DuckDB cannot split into columns, or that are no UTF-8. The hook reads the files once
-- with the rejects kept, which is why it and this query must share a connection.
{{ rejected_lines() }}
