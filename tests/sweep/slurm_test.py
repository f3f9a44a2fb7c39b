#!/usr/bin/env python3
"""A sweep as an array job of a real Slurm: munged, slurmctld and two slurmd on the loopback of this machine. A node is
killed with what it runs, a task is told to stop; what comes out is what one process gives.

Needs Debian's slurm-wlm and munge, and to be root. About two minutes. Where the daemons are missing it is skipped;
where CI or ENGRAFT_SHARED is set, that is a failure.
"""

import getpass
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = os.environ["ENGRAFT_PROGRAM"]
DAEMONS = ["munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "sinfo"]
NODES = ["n1", "n2"]
SPEC = """
[base]
backbone = "ex/tiny.pt"
data = "ex/pictures"
precision = "f32"
epochs = {epochs}
[grid]
head = ["fc=2,tanh", "fc=3,tanh", "fc=4,tanh", "fc=5,tanh", "fc=6,tanh", "fc=7,tanh"]
learning_rate = [1e-3, 1e-2]
"""
EPOCHS = 40000  # some seconds a group
PATIENCE_S = 240


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(what, condition, patience=PATIENCE_S):
    end = time.monotonic() + patience
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.5)
    raise AssertionError(f"waited {patience} s in vain for {what}")


class Cluster:
    """Daemons whose files all lie in one folder, which goes with them."""

    def __init__(self, folder):
        self.folder = folder
        self.conf = folder / "slurm.conf"
        self.daemons = {}
        for name in ("munge", "state", *(f"spool-{node}" for node in NODES)):
            (folder / name).mkdir()
        key = folder / "munge" / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        folder.chmod(0o711)
        (folder / "munge").chmod(0o711)
        user = getpass.getuser()
        nodes = "\n".join(f"NodeName={node} NodeHostname=localhost NodeAddr=127.0.0.1 Port={free_port()} CPUs=2"
                          for node in NODES)
        self.conf.write_text(f"""ClusterName=test
SlurmctldHost=localhost
SlurmctldPort={free_port()}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
CredType=cred/munge
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdSpoolDir={folder}/spool-%n
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SlurmdTimeout=10
KillWait=5
SchedulerParameters=batch_sched_delay=1,sched_interval=2
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
{nodes}
PartitionName=p Nodes={",".join(NODES)} Default=YES State=UP
""")
        (folder / "cgroup.conf").write_text("CgroupPlugin=autodetect\nIgnoreSystemd=yes\n")
        self.environment = {**os.environ, "SLURM_CONF": str(self.conf)}

    def start(self):
        munge = self.folder / "munge"
        self.run_daemon("munged", "--foreground", "--force", f"--key-file={munge}/key", f"--socket={munge}/socket",
                        f"--pid-file={munge}/pid", f"--log-file={munge}/log", f"--seed-file={munge}/seed")
        until("munged", (munge / "socket").exists, 20)
        self.run_daemon("slurmctld", "-D", "-f", self.conf)
        for node in NODES:
            self.start_node(node)
        until("both nodes", lambda: self.ask("sinfo", "-h", "-t", "idle", "-o", "%D").strip() == str(len(NODES)), 60)

    def start_node(self, node):
        self.run_daemon(node, "-D", "-f", self.conf, "-N", node, program="slurmd")

    def run_daemon(self, name, *arguments, program=None):
        with open(self.folder / f"{name}.out", "ab") as log:
            self.daemons[name] = subprocess.Popen([shutil.which(program or name), *map(str, arguments)], stdout=log,
                                                  stderr=log, env=self.environment, cwd=self.folder)

    def ask(self, *command):
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        return done.stdout if done.returncode == 0 else ""

    def processes_on(self, node):
        """Of all that Slurm started there, by the environment it gives them."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            is_on_node = f"SLURMD_NODENAME={node}".encode() in environment.split(b"\0")
            if is_on_node and str(self.conf).encode() in environment:
                found.append(int(entry.name))
        return found

    def kill_node(self, node):
        """As a machine dies: the daemon, its helpers and their jobs, without a word."""
        steps = subprocess.run(["pgrep", "-f", "slurmstepd"], capture_output=True, text=True).stdout.split()
        daemon = self.daemons.pop(node)
        daemon.kill()
        for process in self.processes_on(node) + [int(step) for step in steps if self.serves(step, node)]:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        daemon.wait()

    def serves(self, step, node):
        try:
            return any(node in os.readlink(f"/proc/{step}/fd/{fd}") for fd in os.listdir(f"/proc/{step}/fd"))
        except OSError:
            return False

    def stop(self):
        for node in NODES:
            for process in self.processes_on(node):
                os.kill(process, signal.SIGKILL)
        for daemon in self.daemons.values():
            daemon.terminate()
        for daemon in self.daemons.values():
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()

    def logs(self):
        return "\n".join(f"== {path.name}\n{path.read_text(errors='replace')[-2000:]}"
                         for path in sorted(self.folder.glob("*.log")) + sorted(self.folder.glob("*.out")))


class Sweep(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="engraft-slurm-"))
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)
        (self.root / "cluster").mkdir()
        self.cluster = Cluster(self.root / "cluster")
        self.addCleanup(self.cluster.stop)
        self.cluster.start()
        self.engraft("example", "--out", "ex", "--quiet")
        (self.root / "s.toml").write_text(SPEC.format(epochs=EPOCHS))

    def engraft(self, *arguments):
        done = subprocess.run([PROGRAM, *arguments], cwd=self.root, env=self.cluster.environment, capture_output=True,
                              text=True)
        self.assertEqual(done.returncode, 0, done.stderr + self.cluster.logs())
        return done.stdout

    def running(self):
        """{task: node}"""
        lines = self.cluster.ask("squeue", "-h", "-t", "running", "-o", "%K %N").splitlines()
        return dict(line.split() for line in lines)

    def test_a_killed_node_and_a_stopped_task_leave_the_same_results(self):
        job = json.loads(self.engraft("sweep", "s.toml", "--out", "sw", "--submit", "slurm", "--json", "--quiet",
                                      "--slurm=--cpus-per-task=1"))["job"]
        self.assertTrue(job.isdigit(), job)
        until("a task on each node", lambda: set(self.running().values()) == set(NODES))
        time.sleep(2)
        self.cluster.kill_node("n1")
        stopped = until("a requeue of a task that was told to stop", lambda: self.stop_one(job))
        self.cluster.start_node("n1")
        until("the queue's end", lambda: self.cluster.ask("squeue", "-h", "-o", "%i").strip() == ""
              and not self.running() and self.done() == 12)
        log = (self.root / "cluster/slurmctld.log").read_text()
        # By which of the two it is noticed is a matter of when the node is back.
        self.assertRegex(log, r"requeue job JobId=\S+ due to failure of node n1|requeue JobId=\S+ due to node failure")
        self.assertRegex(log, rf"Requeuing JobId={job}_{stopped}\b")

        self.engraft("sweep", "s.toml", "--out", "alone", "--threads", "1", "--quiet")
        self.assertEqual(self.engraft("sweep", "--out", "sw", "--results"),
                         self.engraft("sweep", "--out", "alone", "--results"))

    def stop_one(self, job):
        """A task on the second node that was told to stop and queued again; None if it was done before it heard."""
        tasks = [task for task, at in self.running().items() if at == "n2"]
        if not tasks:
            return None
        try:  # it repeats itself for a minute where the task was queued again meanwhile
            subprocess.run(["scancel", "--batch", "--signal=USR1", f"{job}_{tasks[0]}"], env=self.cluster.environment,
                           capture_output=True, timeout=5)
        except subprocess.TimeoutExpired:
            pass
        for _ in range(20):
            if f"Requeuing JobId={job}_{tasks[0]}" in (self.root / "cluster/slurmctld.log").read_text():
                return tasks[0]
            time.sleep(0.5)
        return None

    def done(self):
        return json.loads(self.engraft("sweep", "--out", "sw", "--status", "--json"))["done"]


def main():
    missing = [name for name in DAEMONS if shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin") is None]
    reason = f"missing: {', '.join(missing)} (apt-get install slurm-wlm munge)" if missing else ""
    if not missing and os.geteuid() != 0:
        reason = "Slurm's daemons want to be root"
    if reason:
        must = os.environ.get("CI") or os.environ.get("ENGRAFT_SHARED")
        print(f"{'FAILED' if must else 'SKIPPED'}: {reason}")
        sys.exit(1 if must else 0)
    os.environ["PATH"] += ":/usr/sbin"
    unittest.main()


if __name__ == "__main__":
    main()
