{# Views over the marts this run reads but does not build: the warehouse file may be new, the Parquet is not. #}
{% macro reopen_marts() -%}
    {%- if execute -%}
        {%- for node in graph.nodes.values() if node.config.materialized == 'external' and node.unique_id not in selected_resources -%}
            {%- set mart = api.Relation.create(database=node.database, schema=node.schema, identifier=node.alias) -%}
            {%- set location = external_location(mart, node.config) -%}
            {%- if adapter.location_exists(location) -%}
                {%- do run_query(open_mart(mart, node, location)) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- do adapter.commit() -%}
    {%- endif -%}
{%- endmacro %}
