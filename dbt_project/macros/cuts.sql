{#
    A list with one sum a cut, null where a pair has nothing yet: Σ weight over the periods up to the cut, halved for
    every block (of 60 days, unless `cut_blocks` says another) between an event and the cut. Blocks of 12 halvings or more no longer count (they weigh less than
    1/4096 of a new one), which keeps every sum a 64-bit integer. One row with a list took 3 s to group where a row for each
    pair and cut took 9 s (14M rows on online_retail). Needs the columns period, block and weight, and `blocks`, the
    block of each cut in order.
#}
{% macro decayed_weights() -%}
    [
        {%- for n in cut_numbers() %}
        cast(
            sum(
                case
                    when period <= {{ n }} and block > blocks[{{ n }}] - 12
                        then {{ halvings('weight', 'blocks[' ~ n ~ '] - block') }}
                end
            ) as bigint
        ){{ ',' if not loop.last }}
        {%- endfor %}
    ]
{%- endmacro %}

{# 1 to the greatest number of cuts there can be: as_of, past cuts, and cuts that were asked for. #}
{% macro cut_numbers() -%}
    {{- return(range(1, var('cut_count') + var('cuts') | length + 2)) -}}
{%- endmacro %}

{# The block of so many days in which each cut lies, as one list in the order of the cuts. #}
{% macro cut_blocks(days=60) -%}
    select list(cut_ms // 86400000 // {{ days }} order by cut_number) as blocks from {{ ref('int_cuts') }}
{%- endmacro %}

{# 1,000,000 × pair / √(left × right), cut by cut. #}
{% macro cosines(pair, left, right) -%}
    [
        {%- for n in cut_numbers() %}
        cast(
            round(1000000 * ({{ pair }}[{{ n }}] / sqrt({{ left }}[{{ n }}]) / sqrt({{ right }}[{{ n }}]))) as bigint
        ){{ ',' if not loop.last }}
        {%- endfor %}
    ]
{%- endmacro %}

{# A sum of `decayed_weights` over blocks of 14 days as item_states has it: a new event's strength × 1,000,000, halved for
   every 14 days between the start of its day and the cut. #}
{% macro popularity_micros(weight, cut_ms) -%}
    cast(round({{ weight }} / 4096.0 * pow(2, {{ cut_ms }} // 86400000 // 14 - {{ cut_ms }} / (14 * 86400000.0))) as bigint)
{%- endmacro %}
