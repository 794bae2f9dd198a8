{#
    How a mart is written: one COPY of the sorted query to <external_root>/<name>.parquet (aside, then renamed by
    DuckDB), and a view over that file for the models downstream.

    Replaces dbt-duckdb's materialization of the same name, which writes a row of nulls where a mart is empty (readers
    without dbt would take it for a row), materialises twice, and leaves the order of rows to chance. Every mart names
    `order_by`; the bytes then depend on the rows alone.
#}
{# The view that dbt itself reads. Parquet's milliseconds come back as microseconds: the contract's types are restored. #}
{% macro open_mart(relation, node, location) -%}
    create or replace view {{ relation }} as
    select
        {%- for column in node.columns.values() %}
        cast({{ column.name }} as {{ column.data_type }}) as {{ column.name }}{{ ',' if not loop.last }}
        {%- endfor %}
    from read_parquet('{{ location }}')
{%- endmacro %}

{% materialization external, adapter="duckdb", supported_languages=['sql'] %}
    {%- set target = this.incorporate(type='view') -%}
    {%- set location = external_location(this, config) -%}
    {%- set columns = model.columns.values() | map(attribute='name') | join(', ') -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {{ get_assert_columns_equivalent(compiled_code) }}
    {% call statement('main') -%}
        copy (
            select {{ columns }} from (
                {{ compiled_code }}
            ) as mart
            order by {{ config.require('order_by') | join(', ') }}
        ) to '{{ location }}' (format parquet, compression zstd, use_tmp_file true)
    {%- endcall %}
    {% call statement('view') -%}
        {{ open_mart(target, model, location) }}
    {%- endcall %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target]}) }}
{% endmaterialization %}
