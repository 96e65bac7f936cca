"""Examples for the OpenAPI document: what a client may get to see, for shapes that tell none themselves.

Written down are those of single things. A list's example follows from its rows', and so does that of any other shape
of which all that must be there has an example (`completed`). A test holds each against its schema.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

_ID: Final = "Zc2rD0FJ3kq1xJ7w9m5H2A"
_OTHER: Final = "t0Yp3yq2S5mXw8n1b6cA9g"
_AT: Final = 1_790_000_000_000
"""2026-09-21 14:13:20 UTC."""

_HOUR: Final = 3_600_000
_TANK: Final = {"ja": "バルククーラー", "en": "Bulk tank"}
_ROOM: Final = {"ja": "処理室", "en": "Tank room"}
_MILK: Final = {"ja": "乳温", "en": "milk temperature"}
_HANAKO: Final = "佐藤 花子"
_SHOWN: Final = {"unit": "℃", "factor": 1.0, "offset": 0.0, "decimals": 1}
_SERIES: Final = {"subject": "tank-1", "quantity": "milk_temperature", "name": _MILK, **_SHOWN}
_SQUARE: Final = [[143.0, 43.2], [143.002, 43.2], [143.002, 43.202], [143.0, 43.202], [143.0, 43.2]]
_POLYGON: Final = {"type": "Polygon", "coordinates": [_SQUARE]}
_CALVING: Final = {
    "kind": "calving", "ease": "unassisted",
    "calves": [{"animal": "1412345670", "sex": "female", "alive": True, "weight_kg": 41.5}],
}  # fmt: skip
_EVENT: Final = {
    "id": _ID, "version": 1, "animal": _OTHER, "kind": "calving", "kind_name": {"ja": "分娩", "en": "calving"},
    "at_ms": _AT, "detail": _CALVING, "note": "", "key": None, "entered_ms": _AT + _HOUR, "entered_by": _HANAKO,
    "deleted": None,
}  # fmt: skip
_CLASS: Final = {"id": "tank", "name": {"ja": "バルククーラーと 処理室", "en": "milk tank"}}
_EDITED: Final = {"note": "", "created_ms": _AT, "changed_ms": _AT}
_GROUP: Final = {
    "id": _ID, "version": 1, "name": {"ja": "搾乳牛", "en": "Milking cows"}, "kind": "lactating", "place": "barn-1",
    **_EDITED,
}  # fmt: skip
_SEASON: Final = {
    "id": _ID, "version": 2, "crop": "てんさい", "variety": "アマホマレ", "sown_on": None, "planted_on": "2026-04-28",
    "harvested_on": None, **_EDITED,
}  # fmt: skip
_SENSOR: Final = {
    "subject": "field-3-soil", "name": {"ja": "東3号の 土", "en": "Soil of East 3"}, "role": "", "from_ms": _AT,
}  # fmt: skip
_FIELD: Final = {
    "id": _ID, "version": 1, "name": {"ja": "東3号", "en": "East 3"}, "kind": "field", "number": "E3",
    "place": "field-3", "soil": "andosol", "soil_name": {"ja": "黒ボク土", "en": "andosol (volcanic ash)"},
    "warnings": [],
    "area": {"m2": 36118.0, "ha": 3.61, "tan": 36.42, "cho": 3.64}, **_EDITED,
}  # fmt: skip
_OUTLINED: Final = {**_FIELD, "outline": _POLYGON, "bbox": [143.0, 43.2, 143.002, 43.202]}
_SHIFT: Final = {"person": _OTHER, "contact": None, "from_ms": _AT, "to_ms": _AT + 12 * _HOUR}
_ASKED: Final = {"person": _OTHER, "note": "", "from_ms": _AT, "to_ms": _AT + 12 * _HOUR}
_COUNTED: Final = {"present": 8_600, "expected": 8_640, "coverage": 0.9954}
_STATE: Final = {"state": "timeout", "since_ms": _AT, "since_is_exact": True, "said_ms": _AT + _HOUR}

_CHANNELS: Final = {
    "critical": ["push", "line", "voice"], "warning": ["push", "line"], "advisory": ["push"], "info": ["push"],
}  # fmt: skip
_QUIET: Final = {"from_minute": 1320, "to_minute": 240}

EXAMPLES: Final[Mapping[str, Any]] = {
    "ChannelsIn": _CHANNELS,
    "ChannelsOut": _CHANNELS,
    "QuietIn": _QUIET,
    "QuietOut": _QUIET,
    "WishesOut": {
        "language": "ja",
        "channels": _CHANNELS, "quiet": _QUIET, "night_budget": 2, "morning_list": True, "version": 1,
    },
    "DeliveryStepOut": {"at_ms": _AT, "step": "accepted", "detail": ""},
    "AddressOut": {
        "id": _ID, "channel": "mail", "label": "家", "shown": "h…@example.com", "created_ms": _AT,
        "verified_ms": _AT + 60_000, "gone_ms": None, "version": 2,
    },
    "DeliveryOut": {
        "id": "5b1f6c0e9a7d4c3b8e2f1a0d9c8b7a65", "who": _HANAKO, "channel": "push", "severity": "critical",
        "state": "accepted", "state_name": {"ja": "送りました", "en": "sent"}, "reason": "", "round": 0,
        "created_ms": _AT, "due_ms": _AT, "steps": [{"at_ms": _AT, "step": "written", "detail": ""}],
    },
    "Names": _TANK,
    "NamesIn": _TANK,
    "Health": {"ok": True, "time_ms": _AT},
    "PersonOut": {"id": _ID, "name": _HANAKO, "language": "ja"},
    "SiteRole": {
        "id": "shikaoi-012", "name": {"ja": "佐藤牧場", "en": "Sato farm"}, "role": "owner",
        "classes": ["alerts", "tank", "barn", "field", "herd", "weather", "technical"],
    },
    "ValueOut": {
        "quantity": "milk_temperature", "name": _MILK, **_SHOWN, "kind": "gauge", "value": 4.2, "time_ms": _AT,
        "every_s": 10.0,
    },
    "SubjectOut": {
        "subject": "tank-1", "device": "tank-1", "gateway": "gw-1", "name": _TANK, "role": "", "state": "ok",
        "state_ms": _AT,
        "values": [{"quantity": "milk_temperature", "name": _MILK, **_SHOWN, "kind": "gauge", "value": 4.2,
                    "time_ms": _AT, "every_s": 10.0}],
    },
    "GatewayOut": {"id": "gw-1", "status": "online", "status_ms": _AT},
    "PlaceOut": {"id": "tank-room", "kind": "tank-room", "name": _ROOM, "subjects": []},
    "LimitOut": {
        "rule": "tank.hold", "title": {"ja": "乳温が 高いです", "en": "Milk is too warm"}, "kind": "above",
        "value": 4.4,
    },
    "WindowsOut": {
        **_SERIES, "width_ms": 900_000, "windows": [[_AT - 200_000, 90, 4.0, 4.2, 4.4, 4.1]],
        "limits": [{"rule": "tank.hold", "title": {"ja": "乳温が 高いです", "en": "Milk is too warm"},
                    "kind": "above", "value": 4.4}],
    },
    "NamedPlace": {"id": "tank-room", "name": _ROOM},
    "Signal": {
        "quantity": "milk_temperature", "name": _MILK, "shown": "6.4 ℃",
        "shown_names": {"ja": "6.4 ℃", "en": "6.4 ℃"},
    },
    "Child": {"subject": "tank-1", "name": _TANK},
    "AlertEventOut": {"id": 1, "at_ms": _AT, "kind": "opened", "who": None, "detail": {}},
    "FeedbackOut": {"useful": 2, "false": 0, "knew": 1},
    "AlertOut": {
        "id": _ID, "rule": "tank.hold", "severity": "critical", "state": "open", "site": "shikaoi-012",
        "subject": "tank-1", "subject_name": _TANK, "place": {"id": "tank-room", "name": _ROOM},
        "title": {"ja": "乳温が 高いです", "en": "Milk is too warm"},
        "message": {"ja": "乳温が 6.4 ℃です", "en": "The milk is at 6.4 ℃"},
        "action": {"ja": "冷却機を 見てください", "en": "Look at the cooler"}, "note": None,
        "signals": [{"quantity": "milk_temperature", "name": _MILK, "shown": "6.4 ℃",
                     "shown_names": {"ja": "6.4 ℃", "en": "6.4 ℃"}}],
        "onset_ms": _AT - 600_000, "opened_ms": _AT, "ended_ms": None, "over_ms": None, "acknowledged_ms": None,
        "acknowledged_by": None, "life_safety": False, "snoozed_until_ms": None, "snoozed_by": None,
        "assigned_to": None,
        "feedback": {"useful": 0, "false": 0, "knew": 0}, "comments": 0, "in_morning_list": False, "children": [],
        "events": [{"id": 1, "at_ms": _AT, "kind": "opened", "who": None, "detail": {}}],
    },
    "ClassName": _CLASS,
    "ConsentOut": {
        "id": _ID, "role": "coop", "person": None, "grantee": {"ja": "農協", "en": "co-op"},
        "classes": [_CLASS], "from_ms": _AT, "until_ms": None,
        "given_ms": _AT, "given_by": _HANAKO, "withdrawn_ms": None, "withdrawn_by": None, "in_force": True,
    },
    "AuditOut": {
        "id": _ID, "kind": "read", "at_ms": _AT, "last_ms": _AT + 30_000, "name": "農協の 太郎", "role": "coop",
        "role_name": {"ja": "農協", "en": "co-op"},
        "data_class": _CLASS, "what": "/sites/{site}/data",
        "what_name": {"ja": "グラフを 見ました", "en": "looked at charts"}, "from_ms": _AT - 24 * _HOUR, "to_ms": _AT,
        "count": 3, "detail": {},
    },
    "ReceiptOut": {
        "id": _ID, "site": "shikaoi-012", "requested_ms": _AT, "done_ms": _AT + _HOUR,
        "deleted": {"animal": 120, "series": 48},
        "still_there": [{"ja": "ダウンロードした ファイルは その 人の ところに 残ります。",
                         "en": "Files that somebody has downloaded stay where they are."}],
    },
    "LeaveOut": {
        "receipt": _ID, "requested_ms": _AT, "settled_ms": _AT + _HOUR, "archived_ms": None, "archive_sha256": None,
        "deleting": False,
    },
    "DatedIn": {**_ASKED, "kind": "dated", "tier": "owner"},
    "AbsenceIn": {**_ASKED, "kind": "absence"},
    "WeeklyIn": {
        "person": _OTHER, "kind": "weekly", "tier": "helper", "weekdays": [0, 1, 2, 3, 4], "start_minute": 1_080,
        "minutes": 720,
    },
    "ShiftOut": {
        "id": _ID, "kind": "dated", **_SHIFT, "name": _HANAKO, "in_force": True, "tier": "owner", "position": 0,
        "weekdays": [], "start_minute": None, "minutes": None, "first_day": None, "last_day": None, "except_days": [],
        "note": "", "version": 1,
    },
    "OnCallOut": {
        **_SHIFT, "name": _HANAKO, "role": {"ja": "オーナー", "en": "owner"}, "tier": "owner", "shift": _ID,
        "phone": "+81156661234", "phone_written": "0156-66-1234", "mail": "",
    },
    "SpanOut": {"from_ms": _AT, "to_ms": _AT + 12 * _HOUR},
    "OverlapOut": {"tier": "owner", "from_ms": _AT, "to_ms": _AT + _HOUR, "names": [_HANAKO, "佐藤 太郎"]},
    "RotaCheckOut": {
        "from_ms": _AT, "to_ms": _AT + 168 * _HOUR, "gaps": [{"from_ms": _AT, "to_ms": _AT + 12 * _HOUR}],
        "overlaps": [], "vacant": [],
    },
    "TargetIn": {"kind": "place", "id": "tank-room"},
    "TargetOut": {"kind": "place", "id": "tank-room"},
    "MaintenanceOut": {
        "id": _ID, "targets": [{"kind": "place", "id": "tank-room"}], "from_ms": _AT, "to_ms": _AT + 2 * _HOUR,
        "ended_ms": None, "why": "冷却機の 点検", "who": _HANAKO, "in_force": True, "version": 1,
    },
    "PlaceRowOut": {
        "id": "barn-2", "kind": "barn", "name": {"ja": "第2牛舎", "en": "Barn 2"}, "position": 1, "edited": True,
        "version": 1,
    },
    "PlacementOut": {
        "id": _ID, "subject": "barn-1-climate", "place": "barn-2", "role": "",
        "name": {"ja": "牛舎の 空気", "en": "Air of the barn"}, "from_ms": _AT, "to_ms": None, "edited": True,
        "version": 1,
    },
    "StateOut": _STATE,
    "DeviceSubjectOut": {
        "subject": "tank-1", "name": _TANK, "place": "tank-room", "role": "", "state": None, "last_reading_ms": _AT,
    },
    "DeviceOut": {
        "name": "tank-1", "gateway": "gw-1", "bus": "rs485", "profile": "tank-thermometer", "every_s": 10.0,
        "state": {**_STATE, "state": "ok"}, "last_reading_ms": _AT, "maintenance": [],
        "subjects": [{"subject": "tank-1", "name": _TANK, "place": "tank-room", "role": "", "state": None,
                      "last_reading_ms": _AT}],
    },
    "StretchOut": {
        "subject": "tank-1", "state": "timeout", "from_ms": _AT, "heard_ms": _AT + 600_000, "to_ms": _AT + _HOUR,
    },
    "ReportedOut": {"value": 12.0, "time_ms": _AT},
    "RefusedOut": {"letters": 2, "left_out": 0, "last_ms": _AT},
    "GatewayRowOut": {
        "id": "gw-1", "status": "online", "status_ms": _AT, "software": "1.0.0", "revoked_ms": None, "devices": 12,
        "backlog": {"value": 0.0, "time_ms": _AT}, "dropped": None, "disk_free": None, "clock_offset": None,
        "refused": None,
    },
    "LastedOut": {"state": "timeout", "ms": 400_000},
    "SeriesCoverageOut": {
        "subject": "tank-1", "quantity": "milk_temperature", "name": _MILK, "device": "tank-1", **_COUNTED,
        "basis": "reported", "gap_from_ms": _AT, "gap_to_ms": _AT + 400_000,
        "states": [{"state": "timeout", "ms": 400_000}], "maintenance_ms": 0,
    },
    "RecordedGapOut": {
        "gateway": "gw-1", "said_ms": _AT, "from_ms": _AT - _HOUR, "to_ms": _AT, "readings": 360, "thinned": True,
    },
    "CompletenessTotalOut": {"series": 3, "known": 1, **_COUNTED},
    "AnimalSubject": {"subject": "1409876543", "from_ms": None, "to_ms": None},
    "AnimalSeries": {
        "subject": "1409876543", "quantity": "milk_yield",
        "name": {"ja": "乳量", "en": "milk yield"}, "unit": "kg", "factor": 1.0, "offset": 0.0, "decimals": 1,
        "from_ms": None, "to_ms": None, "time_ms": _AT, "value": 14.2,
    },
    "CowOut": {
        "time_ms": _AT, "status": "present", "left_ms": None, "calvings": 2, "calved_ms": _AT - 100 * 24 * _HOUR,
        "lactating_since_ms": _AT - 100 * 24 * _HOUR, "days_in_milk": 100, "dry_since_ms": None, "heat_ms": None,
        "inseminated_ms": _AT - 30 * 24 * _HOUR, "pregnant_since_ms": None, "expected_calving_ms": None,
        "milk_withheld_until_ms": _AT + 72 * _HOUR, "meat_withheld_until_ms": _AT + 72 * _HOUR, "weaned_ms": None,
    },
    "GroupOut": _GROUP,
    "GroupRow": {**_GROUP, "animals": 58},
    "GroupAnimalOut": {"animal": _OTHER, "number": "305", "name": "はな", "from_ms": _AT, "to_ms": None},
    "MovesOut": {"events": [_ID]},
    "DeletedOut": {"at_ms": _AT, "by": _HANAKO, "why": "二回 入れました"},
    "EventBeforeOut": {
        "version": 1, "kind": "dry-off", "at_ms": _AT, "detail": {"kind": "dry-off", "reason": ""}, "note": "",
        "entered_ms": _AT, "entered_by": _HANAKO, "replaced_ms": _AT + _HOUR,
    },
    "EventRow": _EVENT,
    "EventOut": {**_EVENT, "history": []},
    "Calving": _CALVING,
    "Calf": _CALVING["calves"][0],
    "Abortion": {"kind": "abortion", "cause": ""},
    "Insemination": {"kind": "insemination", "bull": "JP3H57889", "method": "artificial", "technician": "鈴木"},
    "PregnancyCheck": {"kind": "pregnancy-check", "result": "pregnant", "method": "ultrasound", "days": 35},
    "Heat": {"kind": "heat", "strength": "strong", "signs": "乗駕"},
    "DryOff": {"kind": "dry-off", "reason": "低乳量"},
    "Treatment": {
        "kind": "treatment", "drug": "セファゾリン", "dose": "1 本", "reason": "乳房炎 左後", "milk_withdrawal_h": 72,
        "meat_withdrawal_h": 72,
    },
    "Move": {"kind": "move", "group": _OTHER},
    "Weaning": {"kind": "weaning"},
    "Weight": {"kind": "weight", "weight_kg": 612.5, "method": "scale"},
    "Note": {"kind": "note"},
    "Arrival": {"kind": "arrival", "origin": "十勝家畜市場"},
    "Sale": {"kind": "sale", "buyer": "十勝家畜市場"},
    "Death": {"kind": "death", "cause": ""},
    "PolygonIn": _POLYGON,
    "MultiPolygonIn": {"type": "MultiPolygon", "coordinates": [[_SQUARE]]},
    "GeometryOut": _POLYGON,
    "AreaOut": _FIELD["area"],
    "SeasonOut": _SEASON,
    "SensorOut": _SENSOR,
    "FieldOut": _OUTLINED,
    "FieldRow": {**_OUTLINED, "seasons": [_SEASON], "sensors": [_SENSOR]},
    "FeatureOut": {
        "type": "Feature", "id": _ID, "geometry": _POLYGON, "bbox": [143.0, 43.2, 143.002, 43.202],
        "properties": {**_FIELD, "seasons": [_SEASON], "sensors": [_SENSOR]},
    },
    "ImportColumn": {"column": 1, "head": "個体識別番号", "field": "national_id"},
    "SaidOut": {"column": 0, "is_refusal": False, "why": {"ja": "UTF-8 で 読みました", "en": "read as UTF-8"}},
    "ChangeOut": {"field": "name", "before": "はな", "after": "はなこ"},
    "CountsOut": {"create": 2, "update": 1, "unchanged": 40, "refused": 1, "warnings": 1},
    "ImportRowOut": {
        "number": 1, "line": 2, "thing": "animal", "action": "update", "state": "waiting", "label": "1409876543",
        "id": _ID, "changes": [{"field": "name", "before": "はな", "after": "はなこ"}], "said": [],
    },
    "MeasureOut": {
        "id": "tank-temperature", "data_class": "tank", "name": {"ja": "乳温の 平均", "en": "mean milk temperature"},
        "unit": "℃", "factor": 1.0, "decimals": 1,
    },
    "OwnValue": {"site": "shikaoi-012", "value": 3.7, "band": 0},
    "PartOut": {"data_class": "tank", "since_ms": _AT},
    "DataColumn": {**_SERIES, "site": "shikaoi-012", "mean": [4.2, None], "max": [4.4, None]},
    "OpenAlerts": {"worst": "critical", "open": {"critical": 1}, "acknowledged": {"warning": 2}},
    "DeviceNotOk": {"device": "barn-1-climate", "state": "timeout", "since_ms": _AT},
    "Technical": {
        "gateways": 1, "offline": [], "devices": 12, "not_ok": 1,
        "worst": [{"device": "barn-1-climate", "state": "timeout", "since_ms": _AT}],
    },
    "KeyValue": {**_SERIES, "data_class": "tank", "value": 3.9, "time_ms": _AT, "state": "ok"},
    "RoleOn": {"site": "shikaoi-012", "role": "worker"},
    "AttestationResponse": {
        "clientDataJSON": "eyJ0eXBlIjoid2ViYXV0aG4uY3JlYXRlIn0", "attestationObject": "o2NmbXRkbm9uZQ",
        "transports": ["internal"],
    },
    "AssertionResponse": {
        "clientDataJSON": "eyJ0eXBlIjoid2ViYXV0aG4uZ2V0In0", "authenticatorData": "SZYN5YgOjGh0",
        "signature": "MEUCIQ", "userHandle": None,
    },
    "Attestation": {
        "id": "q1w2", "rawId": "q1w2", "type": "public-key",
        "response": {"clientDataJSON": "eyJ0eXBlIjoid2ViYXV0aG4uY3JlYXRlIn0", "attestationObject": "o2NmbXRkbm9uZQ"},
    },
    "HelloNews": {"time_ms": _AT, "resumed": True},
    "TimeNews": {"time_ms": _AT},
    "CentreNews": {"broker": True},
    "ReadingNews": {
        "site": "shikaoi-012", "subject": "tank-1", "quantity": "milk_temperature", "time_ms": _AT, "value": 4.2,
    },
    "FieldError": {"where": "query.limit", "why": "Input should be less than or equal to 500"},
}  # fmt: skip


def completed(schemas: dict[str, Any]) -> None:
    """Gives every object of `schemas` that has no example one, as far as it can be told."""
    for name, schema in schemas.items():
        if schema.get("type") == "object" and "examples" not in schema and name in EXAMPLES:
            schema["examples"] = [EXAMPLES[name]]
    while found := dict(_following(schemas)):
        for name, example in found.items():
            schemas[name]["examples"] = [example]


def _following(schemas: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, schema in schemas.items():
        if schema.get("type") == "object" and "examples" not in schema:
            parts = {field: list(_example(one, schemas)) for field, one in schema.get("properties", {}).items()}
            if all(parts[field] for field in schema.get("required", ())):
                yield name, {field: told[0] for field, told in parts.items() if told}


def _example(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[Any]:
    """An example of one field; none where there is nothing to take it from."""
    yield from schema.get("examples", ())
    if "const" in schema:
        yield schema["const"]
    if "$ref" in schema:
        yield from _example(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if schema.get("type") == "array":
        yield from ([one] for one in _example(schema["items"], schemas))
    if schema.get("type") == "boolean":
        yield False
    if schema.get("title", "").endswith(" Ms"):
        yield _AT
    if schema.get("title") == "Next":
        yield None
