{# Values outside of (above, most]; nulls pass. #}
{% test between(model, column_name, above, most) %}
select {{ column_name }}
from {{ model }}
where {{ column_name }} <= {{ above }} or {{ column_name }} > {{ most }}
{% endtest %}
