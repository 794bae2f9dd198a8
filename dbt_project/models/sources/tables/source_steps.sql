{{ config(enabled=is_chosen('tables')) }}

{%- set json = ('not_a_json_object', 'line is not a JSON object: see dead_letters') %}
{%- set later = ('at_or_after_until', 'row at or after `until`') %}

select * from (
    {{ steps_of('events', ref('source_rows'), 'rows landed as events', [
        later,
        json,
        ('missing_user_id', 'no user_id: see dead_letters'),
        ('missing_event_type', 'no event_type: see dead_letters'),
        ('missing_occurred_at', 'no occurred_at: see dead_letters'),
        ('unusable_event_type', 'event_type without a letter or digit: see dead_letters'),
        ('unparsable_occurred_at', 'occurred_at is no time: see dead_letters'),
        ('implausible_occurred_at', 'occurred_at outside 1970 to 2200: see dead_letters'),
        ('negative_quantity', 'quantity below 0: see dead_letters'),
        ('negative_price', 'price below 0: see dead_letters'),
    ]) }}
) as events
union all
select * from (
    {{ steps_of('items', '(' ~ judged_items(landed('items')) ~ ')', 'rows landed as items', [
        json,
        ('missing_item_id', 'no item_id: see dead_letters'),
        ('negative_price', 'price below 0: see dead_letters'),
        later,
        ('duplicate_item_id', 'item listed more than once: the last one is kept'),
    ]) }}
) as items
union all
select * from (
    {{ steps_of('users', '(' ~ judged_users(landed('users')) ~ ')', 'rows landed as users', [
        json,
        ('missing_user_id', 'no user_id: see dead_letters'),
        later,
        ('duplicate_user_id', 'user listed more than once: the one who signed up last is kept'),
    ]) }}
) as users
union all
select
    table_name,
    900 as position,
    'unreadable_line' as step,
    count(*) as raw_count,
    count(*) as dropped_count,
    'line that does not fit its header, not among raw_rows: see dead_letters' as reason
from {{ ref('source_rejected_lines') }}
group by table_name
