{{ config(enabled=is_chosen('online_retail')) }}

{{ steps_of(
    'events',
    ref('source_rows'),
    'invoice lines in online_retail.parquet',
    [
        ('at_or_after_until', 'line at or after `until`'),
        ('anonymous', 'line without a customer'),
        ('cancellation', 'invoice number starts with C: a cancellation'),
        ('not_a_product', 'code does not start with five digits: postage, fees, manual entries'),
        ('quantity_not_positive', 'quantity is zero or less'),
        ('price_not_positive', 'price is zero or less'),
        ('exact_duplicate', 'same line twice: every column equal'),
    ]
) }}
