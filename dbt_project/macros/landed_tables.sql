{#
    Canonical tables as a team lands them: <table>.parquet, .csv, .jsonl, or a folder <table>/ of such files.
    Which columns there are is asked of the files while the model compiles; a column that is missing reads as null.
#}

{# What was landed under a name: {format, relation, columns: {name: type}}; format is none where nothing was. #}
{% macro landed(table_name) -%}
    {{- return(adapter.dispatch('landed', 'nextbest')(table_name)) -}}
{%- endmacro %}

{% macro duckdb__landed(table_name) -%}
    {%- set found = namespace(format=none, files=[]) -%}
    {%- set endings = {'parquet': ['parquet'], 'csv': ['csv'], 'jsonl': ['jsonl', 'ndjson', 'json']} -%}
    {%- if execute -%}
        {%- for format, names in endings.items() if found.format is none -%}
            {%- for ending in names if found.format is none -%}
                {%- set base = var('source_path') ~ '/' ~ table_name -%}
                {%- set files = run_query(
                    "select file from glob(['" ~ base ~ "." ~ ending ~ "', '" ~ base ~ "/*." ~ ending ~ "']) order by file"
                ).columns[0].values() -%}
                {%- if files -%}
                    {%- set found.format = format -%}
                    {%- set found.files = files -%}
                {%- endif -%}
            {%- endfor -%}
        {%- endfor -%}
    {%- endif -%}
    {%- set files = "['" ~ found.files | join("', '") ~ "']" -%}
    {%- if found.format == 'parquet' -%}
        {%- set relation = 'read_parquet(' ~ files ~ ', union_by_name = true)' -%}
    {%- elif found.format == 'csv' -%}
        {%- set relation = 'read_csv(' ~ files ~ ', union_by_name = true, header = true, all_varchar = true, null_padding = true)' -%}
    {%- elif found.format == 'jsonl' -%}
        {#- One text a line, so that a line that is no JSON can be shown as it arrived. -#}
        {%- set relation = "(select line, try_cast(line as json) as entry from read_csv(" ~ files ~ ", columns = {'line': 'VARCHAR'}, header = false,"
            ~ " auto_detect = false, delim = '\x01', quote = '', escape = '', max_line_size = 16777216)"
            ~ " where trim(line) <> '')" -%}
    {%- else -%}
        {{- return({'format': none, 'relation': '(select null as line, null as entry where false)', 'columns': {}}) -}}
    {%- endif -%}
    {%- set columns = {} -%}
    {%- if found.format == 'jsonl' -%}
        {%- set keys -%}
            select distinct unnest(json_keys(line)) as name
            from {{ relation }}
            where json_valid(line) and json_type(line) = 'OBJECT'
            order by name
        {%- endset -%}
        {%- for name in run_query(keys).columns[0].values() -%}{%- do columns.update({name: 'JSON'}) -%}{%- endfor -%}
    {%- else -%}
        {%- for row in run_query('describe select * from ' ~ relation).rows -%}
            {%- do columns.update({row[0]: row[1]}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{- return({'format': found.format, 'relation': relation, 'columns': columns}) -}}
{%- endmacro %}

{# What to select from. #}
{% macro landed_relation(table) -%}{{ table.relation }}{%- endmacro %}

{# Expression that reads a column as it was landed. #}
{% macro landed_value(table, name) -%}
    {%- if table.format == 'jsonl' -%}
        json_extract_string(entry, '$."{{ name }}"')
    {%- else -%}
        "{{ name }}"
    {%- endif -%}
{%- endmacro %}

{# A landed column as trimmed text, null where it is missing or empty. An id that a data frame turned into 17850.0 is 17850. #}
{% macro landed_text(table, name) -%}
    {%- set type = table.columns.get(name, '') -%}
    {%- if not type -%}
        cast(null as varchar)
    {%- elif type in ('DOUBLE', 'FLOAT') and name.endswith('_id') -%}
        regexp_replace(cast({{ landed_value(table, name) }} as varchar), '\.0$', '')
    {%- elif type.endswith('[]') or type.startswith('STRUCT') or type.startswith('MAP') -%}
        cast(to_json({{ landed_value(table, name) }}) as varchar)
    {%- else -%}
        {{ text_or_null(landed_value(table, name)) }}
    {%- endif -%}
{%- endmacro %}

{% macro landed_time(table, name) -%}
    {%- set type = table.columns.get(name, '') -%}
    {%- if not type -%}
        cast(null as timestamp_ms)
    {%- elif type.startswith('TIMESTAMP') or type == 'DATE' -%}
        {{ utc_timestamp(landed_value(table, name), type) }}
    {%- else -%}
        {{ utc_timestamp(landed_text(table, name)) }}
    {%- endif -%}
{%- endmacro %}

{% macro landed_integer(table, name) -%}
    try_cast(round(try_cast({{ landed_text(table, name) }} as double)) as bigint)
{%- endmacro %}

{% macro landed_micros(table, name) -%}
    {{ to_micros(landed_text(table, name)) }}
{%- endmacro %}

{% macro landed_boolean(table, name) -%}
    try_cast({{ landed_text(table, name) }} as boolean)
{%- endmacro %}

{# A list, or a text of names between commas, as text of names between commas. #}
{% macro landed_names(table, name) -%}
    {%- set text = landed_text(table, name) -%}
    case
        when starts_with({{ text }}, '[') and json_valid({{ text }})
            then nullif(array_to_string(cast(json_extract_string({{ text }}, '$[*]') as varchar[]), ','), '')
        else {{ text }}
    end
{%- endmacro %}

{# The whole row as JSON text. #}
{% macro landed_row(table) -%}
    {%- if table.format == 'jsonl' -%}
        line
    {%- else -%}
        cast(json_object({% for name in table.columns %}'{{ name }}', "{{ name }}"{{ ', ' if not loop.last }}{% endfor %}) as varchar)
    {%- endif -%}
{%- endmacro %}

{# Every column that is not among the known ones, as JSON text with sorted keys; null where there is none. #}
{% macro landed_rest(table, known) -%}
    {%- set rest = [] -%}
    {%- for name in table.columns | sort if name not in known -%}{%- do rest.append(name) -%}{%- endfor -%}
    {%- if not rest -%}
        cast(null as varchar)
    {%- elif table.format == 'jsonl' -%}
        cast(json_object({% for name in rest %}'{{ name }}', json_extract(entry, '$."{{ name }}"'){{ ', ' if not loop.last }}{% endfor %}) as varchar)
    {%- else -%}
        cast(json_object({% for name in rest %}'{{ name }}', "{{ name }}"{{ ', ' if not loop.last }}{% endfor %}) as varchar)
    {%- endif -%}
{%- endmacro %}

{# Null for a row that can be used, else why it cannot. `required` columns must hold a text. #}
{% macro landed_fault(table, required) -%}
    case
        {%- if table.format == 'jsonl' %}
        when json_type(entry) is distinct from 'OBJECT' then 'not_a_json_object'
        {%- endif %}
        {%- for name in required %}
        when {{ landed_text(table, name) }} is null then 'missing_{{ name }}'
        {%- endfor %}
        {%- if 'event_type' in required %}
        when not regexp_matches({{ landed_text(table, 'event_type') }}, '[A-Za-z0-9]') then 'unusable_event_type'
        {%- endif %}
        {%- if 'occurred_at' in required %}
        when {{ landed_time(table, 'occurred_at') }} is null then 'unparsable_occurred_at'
        when {{ landed_time(table, 'occurred_at') }} not between '1970-01-02' and '2200-01-01' then 'implausible_occurred_at'
        {%- endif %}
    end
{%- endmacro %}
