"""What Prometheus is told of a pipeline: where its metrics are, and when somebody is to be called."""

from __future__ import annotations

from penstock.cli.commands.print_words import yaml_text

SCRAPE = """\
# into prometheus.yml
scrape_configs:
  - job_name: penstock
    static_configs:
      - targets: [{target}]
"""
AUTHORIZATION = """\
    authorization:
      credentials_file: {file}
"""

RULES = """\
# a file of rules, which rule_files in prometheus.yml names
groups:
  - name: penstock
    rules:
      - alert: PenstockDown
        expr: penstock_up == 0 or absent(penstock_up)
        for: 2m
        labels: {severity: critical}
        annotations:
          summary: The ventilator does not answer, or `penstock web` is not scraped; `penstock doctor` says more.
      - alert: PenstockSinkDown
        expr: penstock_sink_up == 0
        for: 2m
        labels: {severity: critical}
        annotations:
          summary: The sink is not connected, so no outcome is recorded; start it with `penstock sink`.
      - alert: PenstockNoWorker
        expr: sum by (instance) (penstock_slots{state!="unusable"}) == 0 and sum by (instance) (penstock_jobs) > 0
        for: 5m
        labels: {severity: critical}
        annotations:
          summary: Jobs wait, and no worker is connected that can run any; `penstock workers` lists them.
      - alert: PenstockJobsWait
        expr: penstock_oldest_waiting_seconds > 3600
        for: 5m
        labels: {severity: warning}
        annotations:
          summary: A job has waited for a worker for {{ $value | humanizeDuration }}; `penstock why` says for which.
      - alert: PenstockDiskFills
        expr: penstock_store_free_bytes < 2147483648
        for: 5m
        labels: {severity: critical}
        annotations:
          summary: The disk of the {{ $labels.store }} store has {{ $value | humanize1024 }}B left; make room.
      - alert: PenstockWorkersLost
        expr: sum by (instance) (increase(penstock_worker_losses_total[15m])) > 2
        labels: {severity: warning}
        annotations:
          summary: Several workers were lost within a quarter of an hour; the ventilator's log names them.
      - alert: PenstockBackupOld
        expr: penstock_backup_age_seconds > 172800  # of a station that has made one since it started
        labels: {severity: warning}
        annotations:
          summary: The last backup of the {{ $labels.store }} store is {{ $value | humanizeDuration }} old.
"""


def scrape(target: str, token_file: str) -> str:
    """The part of prometheus.yml that reads a `penstock web` at this HOST:PORT, with the token in this file, if any."""
    authorization = AUTHORIZATION.format(file=yaml_text(token_file)) if token_file else ""
    return SCRAPE.format(target=yaml_text(target)) + authorization
