"""What Kubernetes is told of a pipeline: its workers, and its head."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from penstock.cli.commands.print_words import kubernetes_command, yaml_text
from penstock.errors import ConfigError
from penstock.url import endpoints

WORKER_STOP_TIME = 600
"""Seconds that a worker may take to finish what runs, before systemd or the kubelet ends it."""
STORE_STOP_TIME = 90
"""Seconds for the last commit of a station, on a disk that is busy."""
WORKER_KEY = "/keys/own/worker.key"
"""Where a pod has its key; a head has all of its own in that folder."""
HEAD_KEYS = ("ventilator.key", "sink.key", "peers.json")
SERVICE = re.compile(r"tcp://([a-z]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9.-]+)?:\d+")
"""A URL whose host is, or begins with, what a service can be called."""

HEALTH_FILE = "/tmp/penstock.health"  # noqa: S108 - of a container's own file system: nobody else writes there
PROBES = f"""\
        startupProbe:
          exec: {{command: [test, -e, {HEALTH_FILE}]}}
          periodSeconds: 2
          failureThreshold: 150  # a large store takes its time
        livenessProbe:  # a station that hangs is started again after about a minute and a half
          exec: {{command: [sh, -c, "find {HEALTH_FILE} -mmin -1 | grep -q ."]}}
          periodSeconds: 20
          failureThreshold: 2
        readinessProbe:
          exec: {{command: [grep, -q, ready, {HEALTH_FILE}]}}
          periodSeconds: 5
"""
"""Of every container. There is no preStop: SIGTERM, which the kubelet sends first, is what drains a worker, and what it
has not ended when its grace period is over runs elsewhere, which is no crash."""
POD = """\
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: {grace}
      securityContext:
        runAsNonRoot: true
        runAsUser: 10001
        runAsGroup: 10001
        fsGroup: 10001
"""
"""Of every pod; its user is nobody that an image knows."""
CONTAINER = """\
        securityContext:
          allowPrivilegeEscalation: false
          capabilities: {drop: [ALL]}
"""
"""Of every container: what a hardened unit of systemd says, too."""

WORKERS = """\
# {replicas} workers for {url}: kubectl apply -f FILE
# The image must have penstock and the Python {python} of the clients.
{secret}apiVersion: apps/v1
kind: Deployment
metadata:
  name: penstock-worker
  labels: &labels {{app.kubernetes.io/name: penstock, app.kubernetes.io/component: worker}}
spec:
  replicas: {replicas}
  selector:
    matchLabels: *labels
  template:
    metadata:
      labels: *labels
    spec:
{pod}        seccompProfile: {{type: RuntimeDefault}}
{init}      containers:
      - name: worker
        image: {image}
        command: {command}
{probes}        resources:
          requests: {{cpu: {slots}}}
          limits: {{cpu: {slots}}}
{confined}{mounts}"""
KEY_OBJECT = """\
# whoever reads these keys can pose as their owner
apiVersion: v1
kind: Secret
metadata:
  name: penstock-{name}
type: Opaque
stringData:
{data}---
"""
INIT = """\
      # a secret's files are links, and its group's to read: penstock wants files that are its own alone
      initContainers:
      - name: key
        image: {image}
        command: {command}
{confined}        volumeMounts:
        - {{name: secret, mountPath: /secret, readOnly: true}}
        - {{name: keys, mountPath: /keys}}
"""
KEYS_MOUNT = "        - {name: keys, mountPath: /keys, readOnly: true}\n"
VOLUMES = """\
      - name: secret
        secret: {{secretName: penstock-{name}, defaultMode: 288}}  # 0440
      - name: keys
        emptyDir: {{medium: Memory}}
"""
HEAD = """\
# The head of {url}: ventilator and sink in one pod, with a volume for their stores. It must be a
# disk: a network file system is refused. After `penstock keys new` or `revoke` print and apply this again, then:
# kubectl rollout restart statefulset {name} (nothing is lost by that).
{secret}apiVersion: v1
kind: Service
metadata:
  name: {name}
  labels: &labels {{app.kubernetes.io/name: penstock, app.kubernetes.io/component: head}}
spec:
  selector: *labels
  publishNotReadyAddresses: true  # clients and workers ask each station by itself, also while the other one waits
  ports:
{ports}---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {name}
  labels: &labels {{app.kubernetes.io/name: penstock, app.kubernetes.io/component: head}}
spec:
  serviceName: {name}
  replicas: 1
  selector:
    matchLabels: *labels
  template:
    metadata:
      labels: *labels
    spec:
{pod}        fsGroupChangePolicy: OnRootMismatch
        seccompProfile: {{type: RuntimeDefault}}
{init}      containers:
{containers}{volumes}  volumeClaimTemplates:
  - metadata:
      name: data
    spec:
      accessModes: [ReadWriteOnce]
      resources:
        requests: {{storage: {storage}}}
"""
STATION = """\
      - name: {station}
        image: {image}
        command: {command}
{probes}        resources:
          requests: {{cpu: 500m, memory: 256Mi}}
          # a peer can send a message without end: the station is then started again, and has lost nothing
          limits: {{memory: 4Gi}}
{confined}        volumeMounts:
        - {{name: data, mountPath: /data}}
"""


def of_workers(*, image: str, url: str, words: list[str], count: int, slots: int, key: str) -> str:
    """A deployment of so many workers, each with this command; `key`: the text of their key file, if there are keys."""
    return WORKERS.format(
        replicas=count,
        url=url,
        python=f"{sys.version_info[0]}.{sys.version_info[1]}",
        secret=_secret("worker", {"worker.key": key}) if key else "",
        pod=POD.format(grace=WORKER_STOP_TIME),
        init=_init(image, "worker.key") if key else "",
        image=yaml_text(image),
        command=kubernetes_command(words),
        probes=PROBES,
        slots=slots,
        confined=CONTAINER,
        mounts=f"        volumeMounts:\n{KEYS_MOUNT}      volumes:\n{_key_volumes('worker')}" if key else "",
    )


def of_head(*, image: str, url: str, storage: str, folder: str) -> str:
    """Ventilator and sink, and the service that the URL names; `folder`: of the keys, if there are any.

    ConfigError: the URL names no service, or there is no key folder.
    """
    at = endpoints(url)
    found = SERVICE.fullmatch(at.desk)
    if found is None or at.results.rpartition(":")[0] != at.desk.rpartition(":")[0]:
        raise ConfigError(f"{url}: with --head its host is the name of a service, as in tcp://penstock:5555")
    if folder and not Path(folder).is_dir():
        raise ConfigError(f"{folder} is one key: --head needs the folder with all of them (`penstock keys init`)")
    ports = {name: int(endpoint.rpartition(":")[2]) for name, endpoint in at._asdict().items()}
    data = {name: (Path(folder) / name).read_text(encoding="utf-8") for name in HEAD_KEYS} if folder else {}
    bind = f"tcp://0.0.0.0:{ports['desk']}"
    healthy = ["--health-file", HEALTH_FILE]
    guarded = ["--key", str(Path(WORKER_KEY).parent)] if folder else ["--insecure"]
    return HEAD.format(
        url=url,
        name=found[1],
        secret=_secret("head", data) if data else "",
        ports="".join(f"  - {{name: {name}, port: {port}}}\n" for name, port in ports.items()),
        pod=POD.format(grace=STORE_STOP_TIME),
        init=_init(image, *HEAD_KEYS) if data else "",
        containers="".join(
            STATION.format(
                station=station,
                image=yaml_text(image),
                command=kubernetes_command(
                    ["penstock", station, "--bind", bind, "--data", "/data/own", *healthy, *guarded]
                ),
                probes=PROBES,
                confined=CONTAINER,
            )
            + (KEYS_MOUNT if data else "")
            for station in ("ventilator", "sink")
        ),
        volumes=f"      volumes:\n{_key_volumes('head')}" if data else "",
        storage=yaml_text(storage),
    )


def _secret(name: str, data: dict[str, str]) -> str:
    lines = "".join(f"  {file}: {yaml_text(text)}\n" for file, text in data.items())
    return KEY_OBJECT.format(name=name, data=lines)


def _init(image: str, *files: str) -> str:
    words = ["install", "-D", "-m", "600", "-t", str(Path(WORKER_KEY).parent), *(f"/secret/{file}" for file in files)]
    return INIT.format(image=yaml_text(image), command=kubernetes_command(words), confined=CONTAINER)


def _key_volumes(name: str) -> str:
    return VOLUMES.format(name=name)
