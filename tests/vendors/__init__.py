"""The vendors that tests send to: servers on the loopback that behave as the vendors' documents say, and can fail."""
