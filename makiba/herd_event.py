"""What happens to an animal: the kinds of events and what is told of each, as pydantic models.

An event has a time, a kind and a detail (`Detail`, told apart by its `kind`). A program that reads or writes events,
whatever the way, validates them here. Names of bulls, drugs and people are the farm's own words. Lengths of time that
milk or meat is withheld are counted from the last administration, in hours, as the drug's leaflet has them.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter

from makiba.reading import EARLIEST_MS, LATEST_MS

# No control characters (C0, DEL, C1), and none that turn the direction of writing around.
_CONTROL: Final = "\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069"
LINE: Final = f"^[^{_CONTROL}\\t\\n\\r\\u2028\\u2029]*$"


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("holds half a character (a lone surrogate)") from None
    return text


Word = Annotated[str, StringConstraints(max_length=64, pattern=LINE), AfterValidator(_encodable)]
Line = Annotated[str, StringConstraints(max_length=200, pattern=LINE), AfterValidator(_encodable)]
Hours = Annotated[float, Field(ge=0, le=24 * 366, allow_inf_nan=False)]
TimeMs = Annotated[int, Field(ge=EARLIEST_MS, le=LATEST_MS)]

Ease = Literal["unknown", "unassisted", "assisted", "difficult", "veterinary", "surgery"]
Sex = Literal["female", "male", "castrated", "unknown"]


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Calf(_Told):
    """A calf that was born. `animal`: its ten digits, tag or farm number, once it has one."""

    animal: Word = ""
    sex: Sex = "unknown"
    alive: bool = True
    weight_kg: Annotated[float, Field(gt=0, le=200, allow_inf_nan=False)] | None = None


class Calving(_Told):
    """The cow calved. `ease` as ICAR has it, from unassisted to surgery."""

    kind: Literal["calving"] = "calving"
    calves: list[Calf] = Field(default_factory=list, max_length=6)
    ease: Ease = "unknown"


class Abortion(_Told):
    """A pregnancy ended without a calf that lives."""

    kind: Literal["abortion"] = "abortion"
    cause: Line = ""


class Insemination(_Told):
    """`result` is what came of it, as far as it is known without a pregnancy check."""

    kind: Literal["insemination"] = "insemination"
    bull: Word = ""
    method: Literal["artificial", "natural", "embryo"] = "artificial"
    straw: Word = ""
    technician: Line = ""
    result: Literal["unknown", "pregnant", "empty"] = "unknown"


class PregnancyCheck(_Told):
    """`days`: how long the animal is pregnant, as whoever checked judged it."""

    kind: Literal["pregnancy-check"] = "pregnancy-check"
    result: Literal["pregnant", "empty", "unsure"]
    method: Literal["unknown", "palpation", "ultrasound", "milk", "blood", "other"] = "unknown"
    days: Annotated[int, Field(ge=1, le=300)] | None = None


class Heat(_Told):
    kind: Literal["heat"] = "heat"
    strength: Literal["unknown", "weak", "normal", "strong"] = "unknown"
    signs: Line = ""


class DryOff(_Told):
    """Milking ends. What the udder is treated with is a treatment of its own, with its time of withholding."""

    kind: Literal["dry-off"] = "dry-off"
    reason: Line = ""


class Treatment(_Told):
    """A drug was given, at the event's time first and at `last_ms` last.

    Milk and meat are withheld for so many hours after the last time. None: nothing is said, which is not zero.
    """

    kind: Literal["treatment"] = "treatment"
    drug: Line
    dose: Line = ""
    reason: Line = ""
    last_ms: TimeMs | None = None
    milk_withdrawal_h: Hours | None = None
    meat_withdrawal_h: Hours | None = None


class Move(_Told):
    """The animal goes into the group of this id; None: into none."""

    kind: Literal["move"] = "move"
    group: Word | None = None


class Weaning(_Told):
    kind: Literal["weaning"] = "weaning"


class Weight(_Told):
    kind: Literal["weight"] = "weight"
    weight_kg: float = Field(gt=0, le=2_000, allow_inf_nan=False)
    method: Literal["scale", "tape", "estimated"] = "scale"


class Note(_Told):
    """Something worth writing down: the event's note says what."""

    kind: Literal["note"] = "note"


class Arrival(_Told):
    """The animal came to the farm, or came back."""

    kind: Literal["arrival"] = "arrival"
    origin: Line = ""


class Sale(_Told):
    kind: Literal["sale"] = "sale"
    buyer: Line = ""


class Death(_Told):
    kind: Literal["death"] = "death"
    cause: Line = ""


Detail = Annotated[
    Calving | Abortion | Insemination | PregnancyCheck | Heat | DryOff | Treatment | Move | Weaning | Weight | Note
    | Arrival | Sale | Death,
    Field(discriminator="kind"),
]  # fmt: skip

Kind = Literal[
    "calving", "abortion", "insemination", "pregnancy-check", "heat", "dry-off", "treatment", "move", "weaning",
    "weight", "note", "arrival", "sale", "death",
]  # fmt: skip
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

KIND_NAMES: Final[dict[Kind, dict[str, str]]] = {
    "calving": {"ja": "分娩", "en": "calving"},
    "abortion": {"ja": "流産", "en": "abortion"},
    "insemination": {"ja": "授精", "en": "insemination"},
    "pregnancy-check": {"ja": "妊娠鑑定", "en": "pregnancy check"},
    "heat": {"ja": "発情", "en": "heat"},
    "dry-off": {"ja": "乾乳", "en": "dry-off"},
    "treatment": {"ja": "治療", "en": "treatment"},
    "move": {"ja": "移動", "en": "move"},
    "weaning": {"ja": "離乳", "en": "weaning"},
    "weight": {"ja": "体重測定", "en": "weighing"},
    "note": {"ja": "メモ", "en": "note"},
    "arrival": {"ja": "導入", "en": "arrival"},
    "sale": {"ja": "販売", "en": "sale"},
    "death": {"ja": "死亡", "en": "death"},
}

_DETAIL: Final[TypeAdapter[Detail]] = TypeAdapter(Detail)


def parse_detail(told: Any) -> Detail:
    """`told` (`{"kind": …, …}`) as a detail; pydantic's `ValidationError` when it is none."""
    return _DETAIL.validate_python(told)


def spell_detail(detail: Detail) -> dict[str, Any]:
    """The detail as it is kept: JSON's own types, with `kind`."""
    return detail.model_dump(mode="json")
