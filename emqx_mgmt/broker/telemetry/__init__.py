"""What the broker shows of itself: statistics, rates, events, traces, alarms, `$SYS`."""
