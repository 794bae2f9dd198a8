{# Whatever one warehouse says differently from another. A new target adds <adapter>__ versions here and nowhere else. #}

{# A text or a timestamp of any precision, with or without an offset, as naive UTC truncated to milliseconds. #}
{% macro utc_timestamp(expression, data_type='VARCHAR') -%}
    {{- adapter.dispatch('utc_timestamp', 'nextbest')(expression, data_type) -}}
{%- endmacro %}
{% macro duckdb__utc_timestamp(expression, data_type) -%}
    {#- A cast to TIMESTAMP_MS rounds: 23:59:59.9996 would land in the next day. -#}
    {%- if data_type.startswith('TIMESTAMP WITH TIME ZONE') -%}
        {%- set instant = 'timezone(\'UTC\', ' ~ expression ~ ')' -%}
    {%- elif data_type.startswith('TIMESTAMP') or data_type == 'DATE' -%}
        {%- set instant = 'cast(' ~ expression ~ ' as timestamp)' -%}
    {%- else -%}
        {%- set instant = 'timezone(\'UTC\', try_cast(' ~ expression ~ ' as timestamptz))' -%}
    {%- endif -%}
    cast(date_trunc('milliseconds', {{ instant }}) as timestamp_ms)
{%- endmacro %}

{# A count since 1970 as naive UTC: seconds, milliseconds, microseconds or nanoseconds, told apart by their size. Null
   below 10^8, which would be seconds of 1973 at most: rather a date like 20240131 or a year. #}
{% macro epoch_timestamp(expression) -%}{{- adapter.dispatch('epoch_timestamp', 'nextbest')(expression) -}}{%- endmacro %}
{% macro duckdb__epoch_timestamp(expression) -%}
    {%- set count = 'try_cast(' ~ expression ~ ' as double)' -%}
    cast(make_timestamp(try_cast(round(case
        when {{ count }} < 1e8 then null
        when {{ count }} < 1e11 then {{ count }} * 1e6
        when {{ count }} < 1e14 then {{ count }} * 1e3
        when {{ count }} < 1e17 then {{ count }}
        when {{ count }} < 1e19 then {{ count }} / 1e3
    end) as bigint) // 1000 * 1000) as timestamp_ms)
{%- endmacro %}

{% macro utc_timestamp_literal(text) -%}
    {{- utc_timestamp("'" ~ text ~ "'") -}}
{%- endmacro %}

{# Milliseconds since 1970 of a naive UTC timestamp. #}
{% macro to_ms(column) -%}{{- adapter.dispatch('to_ms', 'nextbest')(column) -}}{%- endmacro %}
{% macro duckdb__to_ms(column) -%}epoch_ms({{ column }}){%- endmacro %}

{# 128-bit hash of the columns' texts; nulls and empty texts differ. Stable across versions, unlike hash(). #}
{% macro content_hash(columns) -%}{{- adapter.dispatch('content_hash', 'nextbest')(columns) -}}{%- endmacro %}
{% macro duckdb__content_hash(columns) -%}
    md5(concat_ws('|',
        {%- for column in columns %} coalesce(cast({{ column }} as varchar), '~'){{ ',' if not loop.last }}{% endfor %}))
{%- endmacro %}

{# 128-bit hash of one text. #}
{% macro text_hash(expression) -%}{{- adapter.dispatch('text_hash', 'nextbest')(expression) -}}{%- endmacro %}
{% macro duckdb__text_hash(expression) -%}md5({{ expression }}){%- endmacro %}

{# JSON text of named columns, keys in the order given. #}
{% macro json_of(columns) -%}{{- adapter.dispatch('json_of', 'nextbest')(columns) -}}{%- endmacro %}
{% macro duckdb__json_of(columns) -%}
    cast(json_object({% for name in columns %}'{{ name }}', {{ columns[name] }}{{ ', ' if not loop.last }}{% endfor %}) as varchar)
{%- endmacro %}

{# One value of a JSON object as text; null where the text is no JSON, the key is missing or its value is null. #}
{% macro json_text(expression, key) -%}{{- adapter.dispatch('json_text', 'nextbest')(expression, key) -}}{%- endmacro %}
{% macro duckdb__json_text(expression, key) -%}
    case when json_valid({{ expression }}) then json_extract_string({{ expression }}, '$.{{ key }}') end
{%- endmacro %}

{# A JSON object with one value added or replaced; an object of that value alone where the text is no JSON. #}
{% macro json_with(expression, key, value) -%}{{- adapter.dispatch('json_with', 'nextbest')(expression, key, value) -}}{%- endmacro %}
{% macro duckdb__json_with(expression, key, value) -%}
    case
        when {{ value }} is null then {{ expression }}
        when json_valid({{ expression }})
            then cast(json_merge_patch({{ expression }}, json_object('{{ key }}', {{ value }})) as varchar)
        else cast(json_object('{{ key }}', {{ value }}) as varchar)
    end
{%- endmacro %}

{# A JSON object with another folded into it: a value that is null there goes. Null where neither says anything. #}
{% macro json_folded(earlier, later) -%}{{- adapter.dispatch('json_folded', 'nextbest')(earlier, later) -}}{%- endmacro %}
{% macro duckdb__json_folded(earlier, later) -%}
    case
        when {{ later }} is null then {{ earlier }}
        else cast(json_merge_patch(coalesce({{ earlier }}, '{}'), {{ later }}) as varchar)
    end
{%- endmacro %}

{# A text that is a plain decimal number, as one; else null. #}
{% macro plain_number(expression) -%}{{- adapter.dispatch('plain_number', 'nextbest')(expression) -}}{%- endmacro %}
{% macro duckdb__plain_number(expression) -%}
    case when regexp_full_match(trim({{ expression }}), '[+-]?[0-9]+(\.[0-9]+)?') then try_cast(trim({{ expression }}) as double) end
{%- endmacro %}

{# Value of `expression` in the row that comes last (first) by (at, tie). #}
{% macro latest(expression, at, tie) -%}{{- adapter.dispatch('latest', 'nextbest')(expression, at, tie) -}}{%- endmacro %}
{% macro duckdb__latest(expression, at, tie) -%}
    arg_max({{ expression }}, row({{ at }}, {{ tie }})) filter (where {{ expression }} is not null)
{%- endmacro %}

{# A trimmed text, null where nothing is left. #}
{% macro text_or_null(expression) -%}nullif(trim(cast({{ expression }} as varchar)), ''){%- endmacro %}

{# Money as an integer of millionths. #}
{% macro to_micros(expression) -%}{{- adapter.dispatch('to_micros', 'nextbest')(expression) -}}{%- endmacro %}
{% macro duckdb__to_micros(expression) -%}
    try_cast(round(try_cast({{ expression }} as double) * 1000000) as bigint)
{%- endmacro %}

{# Days since 1970 of a naive UTC timestamp. #}
{% macro to_day(column) -%}{{- adapter.dispatch('to_day', 'nextbest')(column) -}}{%- endmacro %}
{% macro duckdb__to_day(column) -%}cast(cast({{ column }} as date) - date '1970-01-01' as bigint){%- endmacro %}

{# A record that sorts by its fields in the order given. #}
{% macro record_of(fields) -%}{{- adapter.dispatch('record_of', 'nextbest')(fields) -}}{%- endmacro %}
{% macro duckdb__record_of(fields) -%}
    struct_pack({% for name in fields %}{{ name }} := {{ fields[name] }}{{ ', ' if not loop.last }}{% endfor %})
{%- endmacro %}

{# One field of a record. #}
{% macro part_of(record, field) -%}{{- adapter.dispatch('part_of', 'nextbest')(record, field) -}}{%- endmacro %}
{% macro duckdb__part_of(record, field) -%}struct_extract({{ record }}, '{{ field }}'){%- endmacro %}

{# Aggregate: the smallest (greatest) record, null where nothing matches. #}
{% macro least_record(fields, condition) -%}
    min({{ record_of(fields) }}) filter (where {{ condition }})
{%- endmacro %}
{% macro greatest_record(fields, condition) -%}
    max({{ record_of(fields) }}) filter (where {{ condition }})
{%- endmacro %}

{# Aggregate: the n greatest records, greatest first; an empty list where nothing matches. #}
{% macro greatest_records(record, n, condition) -%}
    {{- adapter.dispatch('greatest_records', 'nextbest')(record, n, condition) -}}
{%- endmacro %}
{% macro duckdb__greatest_records(record, n, condition) -%}
    max({{ record }}, {{ n }}) filter (where {{ condition }})
{%- endmacro %}

{# Aggregate over lists without an entry in common: the n greatest of all. #}
{% macro merge_greatest(lists, n) -%}{{- adapter.dispatch('merge_greatest', 'nextbest')(lists, n) -}}{%- endmacro %}
{% macro duckdb__merge_greatest(lists, n) -%}
    coalesce(list_reverse_sort(flatten(list({{ lists }})))[1:{{ n }}], [])
{%- endmacro %}

{# Aggregate over lists that may share entries: the n greatest distinct ones. #}
{% macro merge_greatest_distinct(lists, n) -%}
    {{- adapter.dispatch('merge_greatest_distinct', 'nextbest')(lists, n) -}}
{%- endmacro %}
{% macro duckdb__merge_greatest_distinct(lists, n) -%}
    coalesce(list_reverse_sort(list_distinct(flatten(list({{ lists }}))))[1:{{ n }}], [])
{%- endmacro %}

{# One field of every record of a list. #}
{% macro field_of(list, field) -%}{{- adapter.dispatch('field_of', 'nextbest')(list, field) -}}{%- endmacro %}
{% macro duckdb__field_of(list, field) -%}list_transform({{ list }}, lambda entry: entry.{{ field }}){%- endmacro %}

{# Aggregate: the n greatest distinct values, greatest first. #}
{% macro greatest_distinct(value, n, condition) -%}
    {{- adapter.dispatch('greatest_distinct', 'nextbest')(value, n, condition) -}}
{%- endmacro %}
{% macro duckdb__greatest_distinct(value, n, condition) -%}
    list_reverse_sort(list(distinct {{ value }}) filter (where {{ condition }}))[1:{{ n }}]
{%- endmacro %}

{# Aggregate: the n smallest records, smallest first. A list sorted whole took 1.2 s for 2M entries, an ordered
   aggregate 5.7 s, max(record, n) 3.1 s. #}
{% macro least_records(record, n) -%}{{- adapter.dispatch('least_records', 'nextbest')(record, n) -}}{%- endmacro %}
{% macro duckdb__least_records(record, n) -%}list_sort(list({{ record }}))[1:{{ n }}]{%- endmacro %}

{# weight × 2^(12 − n), exactly, in integers. #}
{% macro halvings(weight, n) -%}{{- adapter.dispatch('halvings', 'nextbest')(weight, n) -}}{%- endmacro %}
{% macro duckdb__halvings(weight, n) -%}({{ weight }} * (1 << cast(12 - ({{ n }}) as integer))){%- endmacro %}

{# Aggregate: the n entries of greatest weight (below 2^31), the smaller code (below 2^32) first among equals. Both in
   one integer: 3.7 s for 28M entries where records took 11.4 s. `entry_weight` and `entry_code` take an entry apart. #}
{% macro heaviest(weight, code, n) -%}{{- adapter.dispatch('heaviest', 'nextbest')(weight, code, n) -}}{%- endmacro %}
{% macro duckdb__heaviest(weight, code, n) -%}
    max(({{ weight }} << 32) + (4294967295 - {{ code }}), {{ n }})
{%- endmacro %}
{% macro entry_weight(entry) -%}{{- adapter.dispatch('entry_weight', 'nextbest')(entry) -}}{%- endmacro %}
{% macro duckdb__entry_weight(entry) -%}({{ entry }} >> 32){%- endmacro %}
{% macro entry_code(entry) -%}{{- adapter.dispatch('entry_code', 'nextbest')(entry) -}}{%- endmacro %}
{% macro duckdb__entry_code(entry) -%}(4294967295 - ({{ entry }} & 4294967295)){%- endmacro %}
