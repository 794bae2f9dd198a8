{# Lists shorter or longer than allowed. #}
{% test list_length(model, column_name, minimum, maximum) %}
select {{ column_name }}
from {{ model }}
where len({{ column_name }}) not between {{ minimum }} and {{ maximum }}
{% endtest %}
