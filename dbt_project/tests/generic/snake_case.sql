{# Names that are not lower snake case. #}
{% test snake_case(model, column_name) %}
select distinct {{ column_name }}
from {{ model }}
where not regexp_full_match({{ column_name }}, '[a-z0-9]+(_[a-z0-9]+)*')
{% endtest %}
