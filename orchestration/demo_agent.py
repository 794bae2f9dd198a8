"""The agent of `nextbest demo`: its file, as a team would write it. What it does is told in `demo`."""

from __future__ import annotations

__all__ = ["DEMO_AGENT", "DEMO_AGENT_FILE"]

DEMO_AGENT = "comeback"

DEMO_AGENT_FILE = """\
# Brings people back: which message, in which window, or none. The simulated people answer each in their own way.
audience: |
  select u.user_id, u.timezone, u.country, u.attributes, s.device, s.view_count, s.purchase_count,
         round(s.event_count / greatest(1, (s.as_of_ms - s.first_ms) / 86400000), 2) as events_a_day,
         date_diff('day', make_timestamp_ms(s.last_ms), getvariable('decided_at')) as days_away,
         round(list_sum(s.hour_counts[5:12]) / greatest(1, s.event_count), 2) as morning_share,
         round(list_sum(s.hour_counts[17:23]) / greatest(1, s.event_count), 2) as evening_share
  from users u join user_states s using (user_id)
  where s.as_of = (select cut_at from feature_cuts where is_serving)
    -- half of the people on one day, the others on the next: nobody is in line every day
    and (hash(u.user_id) + epoch_ms(getvariable('decided_at')) // 86400000) % 2 = 0
goal:
  outcomes: {purchase: 1, unsubscribe: -1}
  value: count
  window_days: 1
actions:
  - {name: news, channel: email, template: new-this-week, placement: home, slots: 3}
  - {name: voucher, channel: email, template: five-off, cost: 0.02}
  - {name: reminder, channel: push, template: still-there}
timing:
  windows: [{at: "07:00-10:00"}, {at: "18:00-21:00"}]
  quiet: "22:00-07:00"
  fallback_zone: Europe/London
frequency:
  caps: [{limit: 1, per: day}, {limit: 5, per: week}]
shares: {holdout: 0.2}
exploration: 0.3
policy: lints
"""
