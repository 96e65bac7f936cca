"""A simulated farm's year, with everything that is normal on a farm and with labelled faults, to judge the rules by.

The farm stands in Shikaoi. Its physics is written down here for itself, from the facts in `DESIGN.md`: it shares no
code and no constant with the demo, nor any number with a rule. What a fault or a hot day should lead to is decided
from the true values, which no sensor of the farm sees.

    python -m tests.farm_year --seed 7 --farm tie-stall --days 365 [--no-faults] [--csv FOLDER]
"""
