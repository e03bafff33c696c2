"""What Prometheus is told; `promtool check config` and `check rules` find nothing wrong with it."""

from __future__ import annotations

import re

import yaml
from prometheus_client.parser import text_string_to_metric_families

from penstock.cli.commands.print_prometheus import RULES, scrape
from penstock.client.records import PipelineStatus
from penstock.web.metrics import COUNTERS, GAUGES, HISTOGRAMS, Seen, text


def test_every_metric_of_an_alert_is_one_that_is_told() -> None:
    """An alert on a name that nobody says would never come."""
    status = PipelineStatus(url="", version="", python="", sink_present=True)
    shown = {family.name for family in text_string_to_metric_families(text(Seen(status, None, None)).decode())}
    known = shown | {f"penstock_{name}" for name in COUNTERS | GAUGES | HISTOGRAMS}
    rules = yaml.safe_load(RULES)["groups"][0]["rules"]
    used = {name for rule in rules for name in re.findall(r"penstock_\w+", rule["expr"])}
    assert len(rules) == len({rule["alert"] for rule in rules}) == 7
    assert used
    assert used - known == set()
    assert all(rule["annotations"]["summary"] for rule in rules)


def test_words_of_users_are_text_in_the_configuration() -> None:
    """Whatever they are."""
    for target, file in (("127.0.0.1:8765", ""), ("[::1]:1", "/a b: #c"), ("x]: {", "'\"")):
        (job,) = yaml.safe_load(scrape(target, file))["scrape_configs"]
        assert job["static_configs"] == [{"targets": [target]}]
        assert job.get("authorization", {}).get("credentials_file", "") == file
