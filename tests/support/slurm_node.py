"""A real SLURM of one node on the loopback interface, for tests."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "srun", "scontrol")
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"

CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=2
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
KillWait=2
SchedulerParameters=batch_sched_delay=0,sched_interval=2,defer_batch
SlurmctldParameters=enable_configless
SlurmdParameters=config_overrides
SlurmctldPort={controller_port}
SlurmdPort={node_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=4000 State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Programs that a SLURM node needs and this machine lacks, empty where it has all."""
    absent = [name for name in NEEDED if shutil.which(name, path=PATH) is None]
    return ", ".join(absent)


@contextmanager
def slurm_node(folder: Path) -> Iterator[dict[str, str]]:
    """Start munge, controller and node; yields the environment in which `sbatch` finds them."""
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    conf = folder / "slurm.conf"
    host = socket.gethostname().split(".")[0]
    ports = dict(zip(("controller_port", "node_port"), _free_ports(2), strict=True))
    conf.write_text(CONF.format(folder=folder, host=host, user=getpass.getuser(), **ports))
    environment = {**os.environ, "SLURM_CONF": str(conf), "PATH": PATH}
    places = [f"--{name}-file={folder}/munge.{name}" for name in ("pid", "log", "seed")]
    commands = [
        [
            "munged",
            "-F",
            "--force",
            f"--key-file={key}",
            f"--socket={folder}/munge.socket",
            *places,
        ],
        ["slurmctld", "-D"],
        ["slurmd", "-D", "-N", host],
    ]
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            log = (folder / f"{command[0]}.out").open("wb")
            daemons.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
            if command[0] == "munged":
                _until(lambda: (folder / "munge.socket").exists(), folder)
        _until(lambda: "idle" in _told(environment, "sinfo", "-h", "-o", "%T"), folder)
        yield environment
    finally:
        subprocess.run(
            ["scancel", "--user", getpass.getuser(), "--signal=KILL", "--full"],
            env=environment,
            capture_output=True,
            timeout=30,
        )
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            try:
                daemon.wait(3)
            except subprocess.TimeoutExpired:
                daemon.kill()


def _told(environment: dict[str, str], *command: str) -> str:
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
    return answer.stdout


def _until(done: object, folder: Path, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not done():  # type: ignore[operator]
        if time.monotonic() > end:
            logs = {file.name: file.read_text()[-800:] for file in folder.glob("*.[lo][ou][gt]")}
            raise RuntimeError(f"SLURM did not start: {logs}")
        time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
