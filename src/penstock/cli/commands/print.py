"""``penstock print``: units, a job script, a manifest and rules, filled in from the options."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from penstock.cli.commands import print_k8s, print_prometheus
from penstock.cli.commands.keys import work_key_file
from penstock.cli.commands.print_words import check_words, in_unit, unit_command, unit_word
from penstock.cli.options import debug, key_path, keyed, named_url, url_option
from penstock.file_owner import user_name

Function = TypeVar("Function", bound=Callable[..., Any])

UNIT = """\
# {file}: put it into /etc/systemd/system, then: systemctl enable --now {file}
[Unit]
Description=penstock {station} ({url})
Wants=network-online.target
After=network-online.target

[Service]
# it says when it is up, and then that its loop turns: if it hangs it is ended, and started again
Type=notify
TimeoutStartSec=infinity
WatchdogSec=5min
User={user}
ExecStart={command}
# 2 is wrong use, 4 a key that is not let in: trying again changes neither
Restart=on-failure
RestartSec=2
RestartPreventExitStatus=2 4
# only the {station} itself is told to stop; it ends what it started
KillMode=mixed
TimeoutStopSec={stop_time}
LimitNOFILE=65536
NoNewPrivileges=yes
PrivateTmp=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectClock=yes
ProtectHostname=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
CapabilityBoundingSet=
{more}

[Install]
WantedBy=multi-user.target
"""
WORKER_LINES = """\
# jobs are programs of all kinds: they may use what User= may, except for writing to the system
ProtectSystem=full
# a job that the kernel ends for its memory is that job's failure, and no reason to stop the others
OOMPolicy=continue
# the control groups below the worker's own are the worker's to make
Delegate=yes"""
STORE_LINES = """\
{data}
# a peer can send a message without end: the station is then started again, and has lost nothing
MemoryMax=50%
ProtectSystem=strict
ProtectHome=read-only
ProtectControlGroups=yes
PrivateDevices=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
UMask=0077"""

SLURM = """\
#!/bin/bash
# {count} workers for {url}: sbatch FILE
#SBATCH --job-name=penstock
#SBATCH --array=1-{count}
#SBATCH --cpus-per-task={slots}
{time}#SBATCH --output=penstock-%A_%a.log
#SBATCH --no-requeue
set -eu
# the worker drains before its wall time, if it has one
limit=()
task=${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID
end=$(scontrol show job "$task" | sed -n 's/.* EndTime=\\([0-9][0-9T:-]*\\).*/\\1/p')
if [ -n "$end" ]; then
  limit=(--time-limit "$(($(date -d "$end" +%s) - $(date +%s)))s" --drain-before {drain_before})
fi
exec {command} ${{limit[@]+"${{limit[@]}}"}}
"""
WALL_TIME = re.compile(r"[0-9]+(-[0-9]+)?(:[0-9]+){0,2}|infinite|unlimited", re.IGNORECASE)
"""As sbatch(1) has it."""


def for_workers(function: Function) -> Function:
    """What the workers of each of these are told."""
    for option in (
        debug,
        url_option("--url", "Connect to the pipeline at this URL.", named_url, "the key's URL"),
        keyed,
        click.option("--slots", type=click.IntRange(1), metavar="N", help="Run this many jobs at once in each worker."),
        click.option(
            "--tag",
            "tags",
            multiple=True,
            metavar="WORD",
            help="Give the workers a tag that jobs can ask for with --needs.",
        ),
    ):
        function = option(function)
    return function


@click.group("print", short_help="Print systemd units, a Slurm job script, and what Kubernetes and Prometheus need.")
@debug
def command() -> None:
    """Print systemd units, a Slurm job script, a Kubernetes manifest or a Prometheus configuration, filled in."""


@command.command("systemd")
@click.argument("station", type=click.Choice(["ventilator", "sink", "worker"]))
@click.option(
    "--user",
    default=lambda: user_name(os.geteuid()),
    show_default="you",
    help="Run as this user, who has to own the key files.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Keep the store of ventilator or sink in this folder.  [default: /var/lib/penstock]",
)
@for_workers
def systemd(station: str, user: str, data: Path | None, url: str, slots: int | None, tags: tuple[str, ...]) -> None:
    """Print the systemd unit of a STATION: ventilator, sink or worker."""
    words = [sys.executable, "-P", "-m", "penstock", station]
    check_words(user, str(data or ""), key_path(), url, *tags, *words)
    if not user or " " in user:
        raise click.BadParameter(f"{user!r} is no user's name", param_hint="'--user'")
    if station == "worker":
        words += _options(url, slots, tags, _key())
        more, stop_time = WORKER_LINES, print_k8s.WORKER_STOP_TIME
    else:
        folder = str(data.absolute()) if data else "/var/lib/penstock"
        words += ["--bind", url, "--data", folder, *(["--key", key_path()] if key_path() else [])]
        lines = f"ReadWritePaths={unit_word(folder)}" if data else "StateDirectory=penstock\nStateDirectoryMode=0700"
        more, stop_time = STORE_LINES.format(data=lines), print_k8s.STORE_STOP_TIME
    print(
        UNIT.format(
            file=f"penstock-{station}.service",
            station=station,
            url=in_unit(url),
            user=in_unit(user),
            command=unit_command(words) + (" --name %H" if station == "worker" else ""),
            stop_time=stop_time,
            more=more,
        ),
        end="",
    )


@command.command("slurm")
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    default=1,
    show_default=True,
    help="Start this many workers, as array tasks.",
)
@click.option("--time", help="Give them this wall time, in sbatch's format.  [default: the partition's]")
@click.option("--idle-timeout", default="10m", show_default=True, help="Leave after this long without a job.")
@click.option("--drain-before", default="60s", show_default=True, help="Drain this long before the wall time.")
@for_workers
def slurm(
    workers: int,
    time: str | None,
    idle_timeout: str,
    drain_before: str,
    url: str,
    slots: int | None,
    tags: tuple[str, ...],
) -> None:
    """Print a Slurm job script: an array of workers that leave when idle and drain before their wall time."""
    words = [sys.executable, "-P", "-m", "penstock", "worker"]
    words += [*_options(url, None, tags, _key()), "--idle-timeout", idle_timeout]
    check_words(*words, drain_before)
    if time is not None and not WALL_TIME.fullmatch(time):
        raise click.BadParameter(f"{time!r}: write minutes, HH:MM:SS or DAYS-HH:MM:SS", param_hint="'--time'")
    print(
        SLURM.format(
            count=workers,
            url=url,
            slots=slots or 1,
            time=f"#SBATCH --time={time}\n" if time else "",
            drain_before=shlex.quote(drain_before),
            command=shlex.join(words),
        ),
        end="",
    )


@command.command("k8s")
@click.option("--image", required=True, help="Use this container image, which has penstock in it.")
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    default=1,
    show_default=True,
    help="Start this many workers, as replicas.",
)
@click.option("--head", is_flag=True, help="Deploy ventilator and sink too, in one pod with a volume behind a service.")
@click.option("--storage", default="10Gi", show_default=True, help="Make the volume this large.")
@for_workers
def k8s(image: str, workers: int, head: bool, storage: str, url: str, slots: int | None, tags: tuple[str, ...]) -> None:
    """Print a Kubernetes manifest: a deployment of workers, with --head the stations too, and their keys as secrets.

    With --head the URL's host is the name of the service: `penstock keys init tcp://penstock:5555`.
    """
    check_words(image, storage, url, key_path(), *tags)
    if head:
        print(print_k8s.of_head(image=image, url=url, storage=storage, folder=key_path()), end="---\n")
    words = ["penstock", "worker", *_options(url, slots or 1, tags, print_k8s.WORKER_KEY if key_path() else "")]
    words += ["--health-file", print_k8s.HEALTH_FILE]
    key = work_key_file().read_text(encoding="utf-8") if key_path() else ""
    print(print_k8s.of_workers(image=image, url=url, words=words, count=workers, slots=slots or 1, key=key), end="")


@command.command("prometheus")
@click.option("--rules", is_flag=True, help="Print the rules for alerts, and not the scrape configuration.")
@click.option(
    "--target", metavar="HOST:PORT", default="127.0.0.1:8765", show_default=True, help="Scrape `penstock web` there."
)
@click.option(
    "--token-file",
    metavar="FILE",
    default="",
    help="Send the token in this file, as --metrics-token-file of web has it.",
)
@debug
def prometheus(target: str, token_file: str, *, rules: bool) -> None:
    """Print a scrape configuration for Prometheus, or rules for alerts."""
    check_words(target, token_file)
    print(print_prometheus.RULES if rules else print_prometheus.scrape(target, token_file), end="")


def _key() -> str:
    return str(work_key_file()) if key_path() else ""


def _options(url: str, slots: int | None, tags: tuple[str, ...], key: str) -> list[str]:
    """What a worker is told."""
    found = ["--connect", url, *(["--key", key] if key else []), *(["--slots", str(slots)] if slots else [])]
    return found + [word for tag in tags for word in ("--tag", tag)]
