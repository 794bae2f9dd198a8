{#
    Canonical tables as a team lands them: <table>.parquet, .csv, .jsonl, or a folder <table>/ of such files.
    Which columns there are is asked of the files while the model compiles; a column that is missing reads as null.
#}

{# What was landed under a name: {format, files, columns: {name: type}}; format is none where nothing was. #}
{% macro landed(table_name) -%}
    {{- return(adapter.dispatch('landed', 'nextbest')(table_name)) -}}
{%- endmacro %}

{% macro duckdb__landed(table_name) -%}
    {%- set endings = {'parquet': 'parquet', 'csv': 'csv', 'jsonl': 'jsonl', 'ndjson': 'jsonl', 'json': 'jsonl'} -%}
    {%- set base = (var('source_path') ~ '/' ~ table_name) | replace("'", "''") -%}
    {%- set table = {'format': none, 'files': [], 'columns': {}} -%}
    {%- for ending in endings if execute and not table.files -%}
        {%- set found = "select file from glob(['" ~ base ~ '.' ~ ending ~ "', '" ~ base ~ '/*.' ~ ending ~ "']) order by file" -%}
        {%- for file in run_query(found).columns[0].values() -%}
            {%- do table.update({'format': endings[ending]}) -%}
            {%- do table.files.append({'path': file | replace("'", "''"), 'columns': []}) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- if table.format == 'parquet' -%}
        {%- for row in run_query('describe select * from ' ~ landed_relation(table)).rows -%}
            {%- do table.columns.update({row[0]: row[1]}) -%}
        {%- endfor -%}
    {%- elif table.format == 'csv' -%}
        {#- The header names the columns; DuckDB's own sniffing changes the quote when one is left open. -#}
        {%- for file in table.files -%}
            {%- for name in (run_query(lines_of([file]) ~ ' limit 1').columns[0].values() | first | default('', true)).split(',') -%}
                {%- do file.columns.append(name | trim | replace('"', '')) -%}
                {%- do table.columns.update({name | trim | replace('"', ''): 'VARCHAR'}) -%}
            {%- endfor -%}
        {%- endfor -%}
    {%- elif table.format == 'jsonl' -%}
        {%- set keys -%}
            select distinct unnest(json_keys(entry)) as name from {{ landed_relation(table) }} order by name
        {%- endset -%}
        {%- for name in run_query(keys).columns[0].values() -%}
            {%- do table.columns.update({name: 'JSON'}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{- return(table) -}}
{%- endmacro %}

{# Files as one text a line, so that a line that is no JSON can be shown as it arrived. #}
{% macro lines_of(files, more='ignore_errors = true') -%}
    select line from read_csv(
        ['{{ files | map(attribute='path') | join("', '") }}'], columns = {'line': 'VARCHAR'}, header = false,
        auto_detect = false, delim = '\x01', quote = '', escape = '', max_line_size = 16777216, {{ more }}
    )
{%- endmacro %}

{# What to select from: the rows of all files, columns matched by name. Lines of text files that do not fit their header
   are left out; `source_rejected_lines` has them, by way of `more`. #}
{% macro landed_relation(table, more='ignore_errors = true') -%}
    {%- if table.format == 'parquet' -%}
        read_parquet(['{{ table.files | map(attribute='path') | join("', '") }}'], union_by_name = true)
    {%- elif table.format == 'csv' -%}
        (
            {%- for file in table.files %}
            {{ 'union all by name' if not loop.first }}
            select * from read_csv(
                '{{ file.path }}',
                columns = { {%- for name in file.columns %}{{ text_literal(name) }}: 'VARCHAR'{{ ', ' if not loop.last }}{% endfor -%} },
                header = true, auto_detect = false, delim = ',', quote = '"', escape = '"', {{ more }}
            )
            {%- endfor %}
        )
    {%- elif table.format == 'jsonl' -%}
        (select line, try_cast(line as json) as entry from ({{ lines_of(table.files, more) }}) where trim(line) <> '')
    {%- else -%}
        (select null as line, null as entry where false)
    {%- endif -%}
{%- endmacro %}

{# Expression that reads a column as it was landed. #}
{% macro landed_value(table, name) -%}
    {%- if table.format == 'jsonl' -%}
        json_extract_string(entry, {{ text_literal('$."' ~ name ~ '"') }})
    {%- else -%}
        {{ quoted_name(name) }}
    {%- endif -%}
{%- endmacro %}

{# Columns are named by whoever lands them: "manager's pick" is a name too. #}
{% macro quoted_name(name) -%}"{{ name | replace('"', '""') }}"{%- endmacro %}
{% macro text_literal(text) -%}'{{ text | replace("'", "''") }}'{%- endmacro %}

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
        coalesce({{ utc_timestamp(landed_text(table, name)) }}, {{ epoch_timestamp(landed_text(table, name)) }})
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
        cast(json_object({% for name in table.columns %}{{ text_literal(name) }}, {{ quoted_name(name) }}{{ ', ' if not loop.last }}{% endfor %}) as varchar)
    {%- endif -%}
{%- endmacro %}

{# Every column that is not among the known ones, as JSON text with sorted keys; null where there is none. #}
{% macro landed_rest(table, known) -%}
    {%- set rest = [] -%}
    {%- for name in table.columns | sort if name not in known -%}{%- do rest.append(name) -%}{%- endfor -%}
    {%- if not rest -%}
        cast(null as varchar)
    {%- elif table.format == 'jsonl' -%}
        cast(json_object({% for name in rest %}{{ text_literal(name) }}, json_extract(entry, {{ text_literal('$."' ~ name ~ '"') }}){{ ', ' if not loop.last }}{% endfor %}) as varchar)
    {%- else -%}
        cast(json_object({% for name in rest %}{{ text_literal(name) }}, {{ quoted_name(name) }}{{ ', ' if not loop.last }}{% endfor %}) as varchar)
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
        when not regexp_matches({{ landed_text(table, 'event_type') }}, '[\p{L}\p{N}]') then 'unusable_event_type'
        {%- endif %}
        {%- if 'occurred_at' in required %}
        when {{ landed_time(table, 'occurred_at') }} is null then 'unparsable_occurred_at'
        when {{ landed_time(table, 'occurred_at') }} not between '1970-01-02' and '2200-01-01' then 'implausible_occurred_at'
        when {{ landed_integer(table, 'quantity') }} < 0 then 'negative_quantity'
        {%- endif %}
        {%- if 'event_type' in required or 'item_id' in required %}
        when {{ landed_micros(table, 'price') }} < 0 then 'negative_price'
        {%- endif %}
    end
{%- endmacro %}
