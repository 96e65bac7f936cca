"""The certificate authority in a folder."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deploy.pki import authority


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_a_certificate_names_its_gateway_and_lasts_825_days(tmp_path: Path) -> None:
    issued = authority.issue(tmp_path / "pki", "gw-7f3a")
    cert = certificate(issued.cert)
    assert cert.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "gw-7f3a"
    assert 825 <= (cert.not_valid_after_utc - cert.not_valid_before_utc).days <= 826
    use = cert.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(use) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    cert.verify_directly_issued_by(certificate(tmp_path / "pki" / "ca.pem"))


def test_the_broker_answers_for_this_machine_or_for_the_hosts_given(tmp_path: Path) -> None:
    assert set(authority.issue(tmp_path, "broker").hosts) == {"localhost", "127.0.0.1", "::1"}
    named = authority.issue(tmp_path, "broker", hosts=["mq.example.jp", "192.0.2.7"])
    assert set(named.hosts) == {"mq.example.jp", "192.0.2.7"}
    assert authority.issue(tmp_path, "broker") == named


def test_keys_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "pki"
    issued = authority.issue(folder, "collector")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in (issued.key, folder / "ca.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_good_certificate_is_kept(tmp_path: Path) -> None:
    first = authority.issue(tmp_path, "api").cert.read_bytes()
    assert authority.issue(tmp_path, "api").cert.read_bytes() == first


def test_a_certificate_that_runs_out_soon_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(authority, "LEAF_DAYS", 29)
        first = authority.issue(tmp_path, "api").cert.read_bytes()
    assert authority.issue(tmp_path, "api").cert.read_bytes() != first


def test_a_certificate_whose_key_is_another_or_gone_is_replaced(tmp_path: Path) -> None:
    issued = authority.issue(tmp_path, "api")
    first = issued.cert.read_bytes()
    issued.key.write_bytes(authority.issue(tmp_path, "collector").key.read_bytes())
    second = authority.issue(tmp_path, "api").cert.read_bytes()
    assert second != first
    issued.key.unlink()
    assert authority.issue(tmp_path, "api").cert.read_bytes() != second


def test_a_certificate_of_another_authority_is_replaced(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    authority.init(ours)
    stranger = authority.issue(theirs, "gw-a")
    (ours / "gw-a.pem").write_bytes(stranger.cert.read_bytes())
    (ours / "gw-a.key").write_bytes(stranger.key.read_bytes())
    issued = authority.issue(ours, "gw-a")
    certificate(issued.cert).verify_directly_issued_by(certificate(ours / "ca.pem"))


def test_an_authority_without_its_key_is_an_error_and_not_a_new_one(tmp_path: Path) -> None:
    authority.init(tmp_path)
    (tmp_path / "ca.key").unlink()
    with pytest.raises(authority.PkiError, match="cannot be read"):
        authority.issue(tmp_path, "gw-a")


@pytest.mark.parametrize(
    "name", ["", "gw-", "GW-A", "gw-a/b", "gw-+", "#", "ca", "root", "../x", "gw-a\n", "gw-" + "x" * 61]
)
def test_a_name_that_could_mean_something_else_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(authority.PkiError):
        authority.issue(tmp_path, name)
    assert not list(tmp_path.glob("*.pem"))


def test_the_list_shows_what_was_issued(tmp_path: Path) -> None:
    for name in ("broker", "gw-b", "gw-a"):
        authority.issue(tmp_path, name)
    assert [c.name for c in authority.certificates(tmp_path)] == ["broker", "gw-a", "gw-b"]


def test_two_who_start_at_once_share_one_authority(tmp_path: Path) -> None:
    threads = [threading.Thread(target=authority.issue, args=(tmp_path, f"gw-{i}")) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ca = certificate(tmp_path / "ca.pem")
    for i in range(6):
        certificate(tmp_path / f"gw-{i}.pem").verify_directly_issued_by(ca)
