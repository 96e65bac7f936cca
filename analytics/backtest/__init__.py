"""`makiba backtest`: rules and detectors over what was recorded; see docs/backtest.md."""
