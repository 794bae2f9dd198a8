{#
    What agents wrote, as far as there is anything: the service's export (`exported`, of NEXTBEST_JOURNAL), and the files
    that match `written` in each agent's folder of NEXTBEST_AGENTS. `columns` are name: type of what comes out; what an
    earlier version did not write is null.
#}
{% macro agent_rows(columns, written, exported='') -%}
    {{- return(adapter.dispatch('agent_rows', 'nextbest')(columns, written, exported)) -}}
{%- endmacro %}

{% macro duckdb__agent_rows(columns, written, exported) -%}
    {%- set patterns = [] -%}
    {%- if exported and env_var('NEXTBEST_JOURNAL', '') -%}
        {%- do patterns.append(env_var('NEXTBEST_JOURNAL') ~ '/' ~ exported) -%}
    {%- endif -%}
    {%- if env_var('NEXTBEST_AGENTS', '') -%}
        {%- do patterns.append(env_var('NEXTBEST_AGENTS') ~ '/*/' ~ written) -%}
    {%- endif -%}
    {%- set files = [] -%}
    {%- if execute and patterns -%}
        {%- set quoted = patterns | map('replace', "'", "''") | join("', '") -%}
        {%- for file in run_query("select file from glob(['" ~ quoted ~ "']) order by file").columns[0].values() -%}
            {%- do files.append(file | replace("'", "''")) -%}
        {%- endfor -%}
    {%- endif -%}
    (
        select
            {%- for name in columns %}
            cast({{ name }} as {{ columns[name] }}) as {{ name }}{{ ',' if not loop.last }}
            {%- endfor %}
        from (
            select
                {%- for name in columns %}
                cast(null as {{ columns[name] }}) as {{ name }}{{ ',' if not loop.last }}
                {%- endfor %}
            where false
            {%- if files %}
            union all by name
            select * from read_parquet(['{{ files | join("', '") }}'], union_by_name = true)
            {%- endif %}
        ) as found
    )
{%- endmacro %}
