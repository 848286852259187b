"""Start the other processes of a run by its own command, and end with the first that dies.

pytorch-lightning repeats ``sys.argv`` in each process, which starts a sweep (``-m``) again, and where a process dies it
kills the one that started it, and with it the rest of the sweep.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch.distributed as dist
from lightning_fabric.utilities.distributed import _set_num_threads_if_needed
from pytorch_lightning.strategies.launchers.subprocess_script import _SubprocessScriptLauncher

from guided_seg.errors import ProcessDied
from guided_seg.settings.overrides import PROCESS_OF_A_JOB

_STARTER = "GUIDED_SEG_STARTER"  # variable with the number of the process that started this one for its job
_LINES = 40  # of what a process printed last, for the report of its death
_LOOK = 0.5  # seconds between two looks at the processes
_BROKEN = re.compile(r"connection|broken pipe|gloo|nccl|process group", re.IGNORECASE)
_INTERRUPTED = (-signal.SIGINT, 128 + signal.SIGINT)
_PATIENCE = 20.0  # seconds from a broken connection to the death that explains it, and from the end to the exit


class JobLauncher(_SubprocessScriptLauncher):
    """Starts one process per further device with `command`, and watches over them.

    Attributes:
        command: the command line of the other processes, which `launch` needs.
        folder: where they run.
    """

    command: list[str] | None = None
    folder = "."

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._watched: list[_Process] = []
        self._over, self._lock = threading.Event(), threading.Lock()
        self._arrivals: tempfile.TemporaryDirectory[str] | None = None

    def launch(self, function: Callable[..., Any], *args: Any, trainer: Any = None, **options: Any) -> Any:
        """Start the other processes unless something else has (torchrun, Slurm), and call the function."""
        self.cluster_environment.validate_settings(num_devices=self.num_processes, num_nodes=self.num_nodes)
        if not self.cluster_environment.creates_processes_externally and self.num_processes > 1:
            self._start()
        _set_num_threads_if_needed(num_processes=self.num_processes)
        return function(*args, **options)

    def _start(self) -> None:
        assert self.command is not None
        place = self.cluster_environment
        self._arrivals = tempfile.TemporaryDirectory(prefix="guided_seg-")
        os.environ |= {
            "MASTER_ADDR": place.main_address,
            "MASTER_PORT": str(place.main_port),
            "NODE_RANK": str(place.node_rank()),
            "LOCAL_RANK": "0",
            "WORLD_SIZE": str(self.num_processes * self.num_nodes),
        }
        for rank in range(1, self.num_processes):
            own = {"LOCAL_RANK": str(rank), PROCESS_OF_A_JOB: self._arrivals.name, _STARTER: str(os.getpid())}
            self._watched.append(_Process(rank, self.num_processes, self.command, self.folder, own))
        self.procs = [each.process for each in self._watched]  # Lightning signals these
        threading.Thread(target=self._watch, args=(threading.get_ident(),), daemon=True).start()

    def arrive(self) -> None:
        """Wait for the other processes, or let the first one know of this.

        Connecting to a process that has died before would take half an hour to fail.

        Raises:
            ProcessDied: one of the others has ended.
        """
        if folder := os.environ.get(PROCESS_OF_A_JOB):
            (Path(folder) / os.environ["LOCAL_RANK"]).touch()
        while self._arrivals and len([*Path(self._arrivals.name).iterdir()]) < len(self._watched):
            self.check()
            time.sleep(0.05)

    def check(self, patience: float = 0.0) -> None:
        """Raise `ProcessDied` if a process has failed, or fails within ``patience`` seconds."""
        until = time.monotonic() + patience
        while not (failed := [each for each in self._watched if each.failed()]):
            if time.monotonic() >= until:
                return
            time.sleep(0.05)
        raise min(failed, key=_Process.order).died()

    def explain(self, error: BaseException) -> BaseException:
        """The death of another process if that is behind ``error``, such as a broken connection; or ``error``."""
        if not isinstance(error, Exception):
            return error
        try:
            self.check(_PATIENCE if _BROKEN.search(str(error)) else 0.0)
        except ProcessDied as died:
            # Ctrl-C reaches all processes
            interrupted = any(each.process.returncode in _INTERRUPTED for each in self._watched)
            return KeyboardInterrupt() if interrupted else died
        return error

    def stop_watching(self) -> None:
        """Interrupt the main thread no more. It may still be interrupted once, in here."""
        with suppress(ProcessDied), self._lock:
            self._over.set()

    def end(self, failed: bool) -> None:
        """Wait for the other processes to end; kill them if this one failed, or if they take too long."""
        until = time.monotonic() + (0.0 if failed else _PATIENCE)
        for each in self._watched:
            each.end(max(until - time.monotonic(), 0.0), silently=failed)
        self._watched = []
        if self._arrivals:
            self._arrivals.cleanup()
            self._arrivals = None

    def _watch(self, main: int) -> None:
        """Interrupt the main thread when a process has died. A collective that waits for it fails by itself."""
        while not self._over.wait(_LOOK):
            if any(each.failed() for each in self._watched):
                for each in self._watched:
                    with suppress(OSError):
                        each.process.kill()  # so that nothing waits for the dead
                if dist.is_initialized() and dist.get_backend() == "nccl":
                    dist.distributed_c10d._abort_process_group()  # GPUs do not notice, and wait for half an hour
                # meanwhile the main thread may notice the broken connection
                self._over.wait(2 * _LOOK)
                with self._lock:
                    if not self._over.is_set():
                        thread, raised = ctypes.c_ulong(main), ctypes.py_object(ProcessDied)
                        ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, raised)
                return


class _Process:
    """Another process of the run; what it prints as errors is shown, and the end of it is kept."""

    def __init__(self, rank: int, world: int, command: list[str], folder: str, own: dict[str, str]) -> None:
        self.rank, self.world, self._shown, self._ended = rank, world, True, 0.0
        self._last: deque[str] = deque(maxlen=_LINES)
        self.process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **own}, stderr=subprocess.PIPE, text=True, errors="replace"
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        threading.Thread(target=self._wait, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for line in stream:
                self._last.append(line)
                if self._shown:
                    sys.stderr.write(line)

    def _wait(self) -> None:
        self.process.wait()
        self._ended = time.monotonic()

    def failed(self) -> bool:
        """Whether the process has ended with an error."""
        return bool(self._ended and self.process.returncode)

    def order(self) -> tuple[bool, float]:
        """The key by which the first of several failed processes is the one that made the others fail."""
        return bool(_BROKEN.search(self._words())), self._ended

    def _words(self) -> str:
        self._reader.join(1.0)
        words = [line.strip() for line in self._last if line.strip()]
        return words[-1].removeprefix("error: ") if words else ""

    def died(self) -> ProcessDied:
        """Why the process ended, by its last words."""
        code, words = self.process.returncode, self._words()
        how = f"ended with code {code}{f': {words}' if words else ''}"
        if code < 0:
            name = signal.Signals(-code).name
            how = f"was killed by {name}; repeat the command to go on; for a single run, add ckpt_path=last."
        died = ProcessDied(f"Process {self.rank} of {self.world}, counted from 0, {how}")
        if words:
            died.add_note("".join(["It printed last:\n", *self._last]))
        return died

    def end(self, seconds: float, silently: bool) -> None:
        """Wait for the end of the process, then kill it."""
        self._shown = self._shown and not silently
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(1.0)


def end_with_starter() -> None:
    """End this process when the one that started it for its job is gone, as after SIGKILL; nothing else would tell it.

    To be called early: one that connects to a process that is gone waits for half an hour. Does nothing in a process
    that no job has started.
    """
    if PROCESS_OF_A_JOB not in os.environ:
        return
    arrivals, starter = os.environ[PROCESS_OF_A_JOB], int(os.environ[_STARTER])

    def look() -> None:
        while os.getppid() == starter:
            time.sleep(_LOOK)
        shutil.rmtree(arrivals, ignore_errors=True)  # as the starter cannot
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()
