"""NMEA 0183: sentences from any split of the stream, values and states from sentences."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.drivers import drivers
from gateway.nmea import NmeaTalker, Sentence, SentenceParser, parse_sentence
from gateway.site import load_gateway
from makiba.located_yaml import ConfigErrors


def framed(body: str) -> bytes:
    total = 0
    for byte in body.encode():
        total ^= byte
    return f"${body}*{total:02X}\r\n".encode()


def test_the_maker_s_own_example_is_read() -> None:
    # Vaisala WMT700, M210822EN-F
    assert parse_sentence(b"$WIMWV,39,R,1.3,M,A*06") == Sentence("MWV", ("WIMWV", "39", "R", "1.3", "M", "A"))


@pytest.mark.parametrize(
    "line", [b"$WIMWV,39,R,1.3,M,A*07", b"$WIMWV,39,R,1.3,M,A", b"WIMWV*00", b"$*", b"$\xff*FF", b""]
)
def test_a_sentence_that_is_not_sound_is_none(line: bytes) -> None:
    assert parse_sentence(line) is None


BODIES = st.lists(st.text(alphabet="WIMVXDR,.0123456789", min_size=5, max_size=60), max_size=8)


@given(BODIES, st.lists(st.integers(1, 30), max_size=40))
def test_any_split_of_the_stream_gives_the_same_sentences(bodies: list[str], cuts: list[int]) -> None:
    stream = b"3,M,A*06\r\n" + b"".join(framed(b) for b in bodies)
    whole = SentenceParser().feed(stream)
    parser, found, at = SentenceParser(), [], 0
    for cut in [*cuts, len(stream)]:
        found += parser.feed(stream[at : at + cut])
        at += cut
    assert found == whole
    assert len(whole) == len(bodies)
    assert parser.damaged == 1


@given(st.binary(max_size=2000))
def test_noise_is_never_a_sentence_and_never_fills_the_memory(noise: bytes) -> None:
    parser = SentenceParser()
    assert all(s.fields for s in parser.feed(noise))
    assert len(parser._buffer) <= 256


@pytest.fixture(scope="module")
def listener(tmp_path_factory: pytest.TempPathFactory) -> NmeaTalker:
    file = tmp_path_factory.mktemp("site") / "gateway.yaml"
    Path(file).write_text(
        "gateway: gw-1\nsite: s\nmqtt: {}\nbuses:\n  w:\n    nmea: {port: /dev/null}\n"
        "    devices: [{name: mast, profile: nmea-weather}]\n",
        encoding="utf-8",
    )
    device = load_gateway(file, drivers()).buses[0].devices[0]
    return NmeaTalker(device.profile, device.points)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("WIMWV,39,R,1.3,M,A", {"wind_direction": 39 * math.pi / 180, "wind_speed": 1.3}),
        ("WIMWV,90,T,10,N,A", {"wind_direction": math.pi / 2, "wind_speed": 10 * 1852 / 3600}),
        ("WIMWV,90,X,36,K,A", {"wind_direction": math.pi / 2, "wind_speed": 10.0}),  # unknown reference letter
        ("WIMWV,39,G,7.1,M,A", {"wind_gust": 7.1}),
        ("WIMWV,,R,,M,V", {}),
        ("WIMWV,39,R,1.3,M,V", {"wind_direction": "invalid", "wind_speed": "invalid"}),
        ("WIMWV,999.9,R,99.9,M,A", {"wind_direction": "sentinel", "wind_speed": "sentinel"}),
        ("WIMWV,39,R,1.3,Q,A", {"wind_direction": 39 * math.pi / 180, "wind_speed": "invalid"}),
        ("WIMWV,39,R,1e3,M,A", {"wind_direction": 39 * math.pi / 180, "wind_speed": "invalid"}),
        ("WIMTA,-20.5,C", {"air_temperature": -20.5}),
        ("WIMTA,999.9,C", {"air_temperature": "sentinel"}),
        ("WIMMB,29.92,I,1.0132,B", {"air_pressure": 101320.0}),
        ("WIMHU,87.5,,-21.9,C", {"relative_humidity": 87.5, "dew_point": -21.9}),
        (
            "WIMDA,29.92,I,1.013,B,15.2,C,,,40.5,,2.1,C,180,T,,M,2.5,N,1.3,M",
            {
                "air_pressure": 101300.0,
                "air_temperature": 15.2,
                "relative_humidity": 40.5,
                "dew_point": 2.1,
                "wind_direction": math.pi,
                "wind_speed": 1.3,
            },
        ),
        (
            "WIXDR,C,5.2,C,TEMP,H,43,P,RH,P,1.0254,B,PRESS,C,-6.1,C,DP",
            {"air_temperature": 5.2, "relative_humidity": 43, "air_pressure": 102540.0, "dew_point": -6.1},
        ),
        ("WIXDR,V,0.12,M,0,Z,10,s,0,R,2.7,M,0", {"rainfall": 0.12e-3, "rain_rate": 2.7 / 3_600_000}),
        # Millimetres or inches? The maker's manual says both, so that neither is taken.
        ("WIXDR,V,0.02,I,0,Z,30,s,0,R,2.7,M,0", {"rainfall": "invalid", "rain_rate": 2.7 / 3_600_000}),
        ("WIXDR,C,5.2", {}),
        ("GPGGA,1,2,3", {}),
    ],
)
def test_a_sentence_gives_its_values(listener: NmeaTalker, body: str, expected: dict[str, float | str]) -> None:
    sentence = parse_sentence(framed(body).strip())
    assert sentence
    got = {point.quantity.name: outcome for point, outcome in listener.frame(sentence).values}
    assert got == {name: v if isinstance(v, str) else pytest.approx(v, rel=1e-12) for name, v in expected.items()}


@given(
    st.lists(st.one_of(st.just(framed("WIMWV,39,R,1.3,M,A")), st.binary(max_size=600)), max_size=6),
    st.lists(st.integers(1, 400), max_size=12),
)
def test_noise_of_any_length_in_any_pieces_gives_the_same_sentences(pieces: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(pieces)
    whole = SentenceParser()
    expected = whole.feed(stream)
    parser, found, at = SentenceParser(), [], 0
    for cut in [*cuts, len(stream)]:
        found += parser.feed(stream[at : at + cut])
        at += cut
    assert found == expected
    assert all(s == Sentence("MWV", ("WIMWV", "39", "R", "1.3", "M", "A")) or s.fields for s in found)


def test_a_sentence_at_the_end_of_a_long_noise_is_found_however_it_comes() -> None:
    stream = b"\x00" * 300 + framed("WIMWV,39,R,1.3,M,A")
    parser = SentenceParser()
    assert [s.formatter for byte in stream for s in parser.feed(bytes((byte,)))] == ["MWV"]
    assert parser.damaged == 1
    assert len(SentenceParser().feed(stream)) == 1


MAST = """\
driver: nmea
names: {ja: マスト, en: mast}
source: {trust: proposed, document: made for this test}
values:
  - {sentence: MWV, talker: WI, field: 3, channel: top, quantity: wind_speed}
  - {sentence: MWV, talker: [II, YX], field: 3, channel: low, quantity: wind_speed}
"""


def test_two_instruments_on_one_line_are_told_apart_by_their_talkers(tmp_path: Path) -> None:
    (tmp_path / "two-masts.yaml").write_text(MAST, encoding="utf-8")
    file = tmp_path / "gateway.yaml"
    file.write_text(
        "gateway: gw-1\nsite: s\nmqtt: {}\nprofiles: .\nbuses:\n  w:\n    nmea: {port: /dev/null}\n"
        "    devices: [{name: mast, profile: two-masts}]\n",
        encoding="utf-8",
    )
    device = load_gateway(file, drivers()).buses[0].devices[0]
    stream = framed("WIMWV,39,R,1.3,M,A") + framed("IIMWV,39,R,2.3,M,A") + framed("GPMWV,1,R,9,M,A")
    found = [
        (point.series.subject, outcome)
        for frame in NmeaTalker(device.profile, device.points).feed(stream, 0.0)
        for point, outcome in frame.values
    ]
    assert found == [("mast.top", 1.3), ("mast.low", 2.3)]


def test_what_means_nothing_for_a_transducer_is_told(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text(
        MAST + "  - {sentence: XDR, transducer: C, quantity: air_temperature, when: {2: A}}\n", encoding="utf-8"
    )
    file = tmp_path / "gateway.yaml"
    file.write_text(
        "gateway: gw-1\nsite: s\nmqtt: {}\nprofiles: .\nbuses:\n  w:\n    nmea: {port: /dev/null}\n"
        "    devices: [{name: mast, profile: wrong}]\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigErrors, match=r"wrong.yaml:7:\d+: values\[2\].when: means nothing for a transducer"):
        load_gateway(file, drivers())
