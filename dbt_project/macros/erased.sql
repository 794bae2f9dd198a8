{# True for a source row that does not belong to somebody who was erased since: a row of theirs from before that, or
   without a moment, is left out as if it had never been landed. What comes later is of somebody new. The team's files
   may go on naming people; only hashes of ids are known here. #}
{% macro is_not_erased(user_id, at) -%}
    {{- return(adapter.dispatch('is_not_erased', 'nextbest')(user_id, at)) -}}
{%- endmacro %}

{# The key is asked for while the model compiles: as a subquery it kept DuckDB from joining by the hash, and 3M rows with
   1,000 hashes took more than 8 minutes instead of 1.4 s. #}
{% macro duckdb__is_not_erased(user_id, at) -%}
    {%- set folder = env_var('NEXTBEST_JOURNAL', '') | replace("'", "''") -%}
    {%- set keys = [] -%}
    {%- if execute and folder and run_query("select file from glob('" ~ folder ~ "/erased.parquet')").rows | length -%}
        {%- set keys = run_query("select distinct key from read_parquet('" ~ folder ~ "/erased.parquet')").columns[0].values() -%}
    {%- endif -%}
    {%- if keys | length -%}
    not exists (
        select 1
        from {{ source('journal', 'erased') }} as erased
        where
            erased.hash = sha256('{{ keys | first }}' || {{ user_id }})
            and coalesce({{ at }} < erased.erased_at, true)
    )
    {%- else -%}
    true
    {%- endif -%}
{%- endmacro %}
