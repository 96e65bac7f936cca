"""Files of rows that somebody else wrote, and what they change: animals, events, fields and readings.

Guarantee:

1. **Nothing is written before it was shown.** A file is read into a plan: for each row what would be created,
   what would be changed from what to what, what stays, and what is refused, with its line, column and reason.
2. **A plan is of one file and one state of the registry.** It is applied where the registry still says what it
   said then; where it does not, nothing is applied, and the rows are named.
3. **Killed at any moment**, an import has done whole steps (of `work.STEP_S` at most, one transaction each) and
   knows which: applying it again goes on, taking it back takes back what was done.
4. **It can be taken back**, once, for 30 days: what it created goes, what it changed becomes what it was, except
   where somebody changed it since; that is left and named. Readings cannot: the store removes no single values, and
   the plan says so.

Not guaranteed: that a large file is applied as a whole or not at all. 10,000 animals are 15 s of work, for which
nobody else could write; 1,000 rows are one step.

A file's life: planning → planned → applying → applied → undoing → undone. A plan that nobody applies is forgotten
after a day.
"""
