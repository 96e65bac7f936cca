"""The demo's farm and gateway are right files, so that they are right examples too."""

from __future__ import annotations

from collectors.registry.site_file import load_site_file
from gateway.drivers import drivers
from gateway.site import load_gateway
from makiba.rule import check_overrides, load_rules
from makiba.settings import configs_dir

FILES = configs_dir() / "sites" / "demo"


def test_the_farms_own_numbers_fit_the_rules() -> None:
    site = load_site_file(FILES / "site.yaml")
    assert check_overrides(load_rules(configs_dir() / "rules"), site.rules) == []


def test_everything_placed_is_measured_and_everything_measured_is_placed() -> None:
    site = load_site_file(FILES / "site.yaml")
    gateway = load_gateway(FILES / "gateway.yaml", drivers())
    assert gateway.site == site.id
    assert site.gateways == (gateway.name,)
    measured = {subject for bus in gateway.buses for device in bus.devices for subject in device.subjects}
    boxes = {gateway.name, *(bus.subject for bus in gateway.buses)}
    assert {placement.subject for placement in site.placements} == measured | boxes
