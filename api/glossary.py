"""Words of the OpenAPI document that are the same wherever they stand: tags, fields and parameters by their names.

What a shape or a route says of a field or parameter itself goes before what stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ABOUT: Final = """\
Farms, what stands on them, and alerts that somebody can act on.

**Who asks.** A program sends `Authorization: Bearer mkb_…`, a token that its person made (`POST /api/v1/tokens`, in
the browser or with `makiba token`), and no cookie. A browser has the cookie that `POST /api/v1/session` sets, and
sends `X-Makiba: 1` with whatever changes something. `GET /api/v1/session` says who one is, on which farms, and which
classes of their data one is shown. What one may not see answers 404, as if it were not there; what one may see and
not do, 403.

**Times** end in `_ms`: whole milliseconds since 1970 in UTC, in queries and bodies alike. A span is from
`from_ms`/`start_ms` up to and without `to_ms`/`end_ms`. Days (`YYYY-MM-DD`) are of the farm's own calendar. Lengths
of time end in `_ms`, `_s`, `_h` too.

**Values** are in the unit of Makiba's catalogue, the same for all farms. People are shown
`value * factor + offset`, with `decimals` places, in `unit`. Names are in Japanese and English (`ja`, `en`).

**Lists** answer `rows` and `next`. Ask again with `cursor` set to `next`, and the same query else, until `next` is
null. A cursor holds for a day, for whom it was given.

**Reading again.** Send the `ETag` of an answer in `If-None-Match`: 304 says that it still holds.

**Changing.** PATCH changes the fields that are given; PUT puts the whole. Where `If-Match` is a parameter, send the
`ETag` of the row as it was read: 428 without, 412 when somebody changed it meanwhile (read again, decide anew).

**Making.** Send a random `Idempotency-Key` with a POST, and the same one when you ask again because no answer came:
it is done once, and answered the same (with `Idempotent-Replayed: true`) for 24 hours.

**Refusals** are `application/problem+json`. A program acts on `status` and `type`; `detail` is for people, `errors`
says what is wrong with which field of a 422. After a 429 or 503 wait for `Retry-After` seconds.
"""

EVENTS: Final = """\
Lines of UTF-8 as the HTML standard has it: `id:` (of some), `event:`, `data:` (JSON on one line), an empty line.

- `hello`, with an id: comes first, and again when what one may see has changed. `data` is a `HelloNews`. Read
  places and charts anew; where `resumed` is false, lists of alerts too.
- `alert`, with an id: something happened to an alert. `data` is an `AlertOut`, as it is now. None is left out.
- `readings`: new values. `data` is a list of `ReadingNews`, of each series the newest; those between may be left out.
- `centre`: `data` is a `CentreNews`.
- `ping`: every ten seconds; `data` is a `TimeNews`. Nothing for half a minute: connect again.

Who lost the connection sends the last id in `Last-Event-ID`, with the same `sites`, `classes` and `kinds`, and after
`hello` is told each alert that something happened to meanwhile, once.

The stream ends with the session or token, for a reader that takes nothing for 20 s, and when too much waits for one.
"""

STREAM: Final = """\
retry: 2000
id: AbCdEfGhIjKlMnOpQrStUvWxYz012345
event: hello
data: {"time_ms":1790000000000,"resumed":false}

event: readings
data: [{"site":"shikaoi-012","subject":"tank-1","quantity":"milk_temperature","time_ms":1790000000000,"value":4.2}]

"""
"""How a stream begins."""

TAGS: Final[Mapping[str, str]] = {
    "session": "Who is signed in at this browser, signing in and out; whether Makiba runs.",
    "sign-in": "One's own ways in (passkeys, password, codes of an app), browsers, and what happened to the account.",
    "overview": "All farms that one may see, at a glance.",
    "comparisons": "Farms beside each other, in bands of so many that none can be told apart; who takes part.",
    "places": "Places of a farm with what stands in them now and its newest values.",
    "series": "What is measured: which series there are, their newest values, readings and windows, side by side.",
    "exports": "Readings as a file: CSV, Excel, Parquet, SenML.",
    "alerts": "Alerts of a farm, and who takes care of them.",
    "incidents": "What befell many farms at once (a power cut, a link), and what each of them answered.",
    "notifications": "How people are reached: this browser, their LINE account, what they answer on the telephone.",
    "stream": "What is new, as it comes (server-sent events).",
    "rights": "What a farm shows to whom (consents), and who looked (audit).",
    "leaving": "A farm's archive, and its leaving Makiba.",
    "contacts and rota": "Whom a farm calls, and who is on call when.",
    "maintenance": "When somebody works on something, so that its alerts are understood.",
    "placements": "Places as they are edited, and which subject stands in which place when.",
    "devices": "Devices, gateways, their states over time, and how complete what came from them is.",
    "farm settings": "What a farm says of itself, so that rules know: milking times, pick-up days, set points.",
    "herd": "Animals, groups of animals, and events in their lives.",
    "imports": "Files of animals, events, fields or readings: planned, looked at, applied, taken back.",
    "fields": "Fields with outline and soil, and the crops on them by season.",
    "tokens": "Tokens with which programs act for a person, never for more than the person may do.",
    "members": "Who is on a farm, with which role.",
    "invitations": "Bringing somebody to a farm; the first administrator; being let in again.",
    "people": "Accounts of this Makiba, for its administrator.",
    "accounts elsewhere": "Signing in with the account of a provider (OpenID Connect), such as the co-op's.",
}

_TIME: Final = "UTC, whole milliseconds since 1970"
_LENGTH: Final = "milliseconds"

FIELDS: Final[Mapping[str, str]] = {
    "site": "The farm's id",
    "id": "What it is named by in paths",
    "next": "The `cursor` that goes on; null at the end of the list",
    "version": "Counts up with each change; the row's ETag is this in quotes",
    "subject": "What is measured, by its id: `tank-1`, or an animal's ten digits",
    "quantity": "What of it is measured, a word of the catalogue: `milk_temperature`",
    "unit": "The unit that people are shown, after `value * factor + offset`",
    "factor": "People are shown `value * factor + offset`",
    "offset": "People are shown `value * factor + offset`",
    "decimals": "How many decimal places people are shown",
    "data_class": "The class of data, by which a farm shows it or not",
    "name": "What people call it",
    "from_ms": f"From when on: {_TIME}; null: as far back as is known",
    "to_ms": f"Up to and without this time: {_TIME}; null: without an end",
    "time_ms": f"When: {_TIME}",
    "at_ms": f"When: {_TIME}",
    "width_ms": f"How wide each window is, in {_LENGTH}",
    "age_ms": f"How old it is by the centre's clock, in {_LENGTH}",
    "maintenance_ms": f"How long it was under maintenance, in {_LENGTH}",
    "ms": f"How long, in {_LENGTH}",
    "weight_kg": "Kilograms",
    "phone": "In E.164, as a machine dials it; null: none, or a short number",
}

PARAMETERS: Final[Mapping[str, str]] = {
    "site": "The farm's id, as `GET /api/v1/session` lists it",
    "subject": "What is measured, as `GET …/series` lists it",
    "quantity": "What of it is measured, as `GET …/series` lists it",
    "from_ms": f"The first time that counts: {_TIME}",
    "start_ms": f"The first time that counts: {_TIME}; a day before the end, if not said",
    "to_ms": f"Up to and without this time: {_TIME}",
    "end_ms": f"Up to and without this time: {_TIME}; now, if not said",
    "at_ms": f"As it is at this time ({_TIME}); now, if not said",
    "state": "Those that are in this state",
    "kind": "Those of this kind",
    "limit": "How many rows at most",
    "last-event-id": "The `id:` of the last event that was received: what was missed since then follows",
    "data_class": "The class of data",
}


def of_field(name: str, *, is_integer: bool) -> str | None:
    """What a field of this name is; None where nothing is to be said."""
    if told := FIELDS.get(name):
        return told
    return _TIME if name.endswith("_ms") and is_integer else None


def of_parameter(name: str, where: str) -> str | None:
    """What a parameter of this name is."""
    if told := PARAMETERS.get(name):
        return told
    if where == "path":
        return "The `id` of one of those that the list has"
    return _TIME if name.endswith("_ms") else None
