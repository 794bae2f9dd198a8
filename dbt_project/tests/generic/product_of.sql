{# Values that are not the product of other columns, to nine digits. #}
{% test product_of(model, column_name, factors) %}
select {{ column_name }}
from {{ model }}
where abs({{ column_name }} - {{ factors | join(' * ') }}) > 1e-9
{% endtest %}
