{# Rows in which what must come first (or be smaller) does not. Equal values pass. #}
{% test in_order(model, earlier, later) %}
select
    {{ earlier }},
    {{ later }}
from {{ model }}
where {{ earlier }} > {{ later }}
{% endtest %}
