{# DuckDB keeps the lines that it could not read in two temporary tables of the connection, on request. #}
{% macro scan_for_rejects() -%}
    drop table if exists reject_errors;
    drop table if exists reject_scans;
    {%- for name in ['events', 'items', 'users'] -%}
        {%- set table = landed(name) -%}
        {%- if table.format in ['csv', 'jsonl'] %}
    create or replace temp table scanned as
    select count(*) as row_count from {{ landed_relation(table, 'ignore_errors = true, store_rejects = true') }};
        {%- endif -%}
    {%- endfor -%}
{%- endmacro %}

{% macro rejected_lines() -%}
    {%- set formats = [] -%}
    {%- for name in ['events', 'items', 'users'] -%}{%- do formats.append(landed(name).format) -%}{%- endfor -%}
    {%- if 'csv' in formats or 'jsonl' in formats -%}
    select distinct
        regexp_extract(replace(scans.file_path, '{{ var('source_path') | replace("'", "''") }}', ''), '[a-z]+') as table_name,
        scans.file_path,
        errors.line as line_number,
        'unreadable_line' as reason,
        errors.csv_line as raw_row
    from reject_errors as errors
    inner join reject_scans as scans on errors.scan_id = scans.scan_id and errors.file_id = scans.file_id
    {%- else -%}
    select
        cast(null as varchar) as table_name,
        cast(null as varchar) as file_path,
        cast(null as bigint) as line_number,
        cast(null as varchar) as reason,
        cast(null as varchar) as raw_row
    where false
    {%- endif -%}
{%- endmacro %}
