{{ config(enabled=is_chosen('complete_journey')) }}

{{ steps_of(
    'events',
    ref('source_rows'),
    'receipt lines of transactions_sample.parquet and coupons of coupon_redemptions.parquet',
    [
        ('at_or_after_until', 'line at or after `until`'),
        ('quantity_not_positive', 'quantity is zero or less'),
        ('exact_duplicate', 'same line twice: every column equal'),
    ]
) }}
