{# Rows whose two columns are equal. #}
{% test differ(model, left, right) %}
select {{ left }}
from {{ model }}
where {{ left }} = {{ right }}
{% endtest %}
