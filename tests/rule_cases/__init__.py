"""The situations of every rule, by part of the farm; `tests/rule_parts.py` says how to read them."""

from tests.rule_cases.barn import BARN
from tests.rule_cases.land import LAND
from tests.rule_cases.milk import MILK
from tests.rule_cases.plant import PLANT

CASES = (*MILK, *BARN, *LAND, *PLANT)
