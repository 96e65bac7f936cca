"""What comes in: validated, stored, answered. `store/` holds time series, `registry/` all that is relational."""
