"""What a rule's signals are worth: windows over readings, days of history, contexts, facts; see DESIGN.md here."""
