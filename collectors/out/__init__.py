"""Ways out: what is stored as a file (`export`), and what comes in just now as lines on a terminal (`tail`)."""
