{# Messages that lack what a message has, and decisions to send nothing that have it. #}
{% test sent_or_nothing(model, column_name) %}
select {{ column_name }}
from {{ model }}
where (action = 'nothing') = ({{ column_name }} is not null)
{% endtest %}
