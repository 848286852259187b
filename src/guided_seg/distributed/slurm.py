"""Print a script for Slurm's sbatch that trains on any number of nodes, and goes on where it was after a requeue.

python -m guided_seg.distributed.slurm --nodes 2 --gpus 4 --hours 24 +experiment=late_global seed=1 > job.sh
sbatch job.sh
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Sequence

from guided_seg.cli.command import check_overrides, paths_as_written, refuse, started_as
from guided_seg.cli.program import program

SCRIPT = """\
#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --nodes={nodes}
#SBATCH --ntasks-per-node={tasks}
{gpus}#SBATCH --cpus-per-task={cpus}
#SBATCH --time={hours}:00:00
#SBATCH --output=%x-%j.log
# Two minutes before the time limit, the training saves a checkpoint and puts the job back into the queue. So does Slurm
# when it needs the nodes for another job.
#SBATCH --signal=SIGUSR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

# The folder has the number of the job, which a requeue does not change; a job that was requeued goes on in it.
folder=outputs/{name}/slurm-$SLURM_JOB_ID
from=null
if [[ -f $folder/checkpoints/last.ckpt ]]; then
    from=last
fi
exec srun {python} -m guided_seg.run {overrides} \\
    trainer=slurm trainer.num_nodes={nodes} trainer.devices={tasks} "output_dir=$folder" "ckpt_path=$from"
"""


def render(name: str, nodes: int, tasks: int, gpus: bool, cpus: int, hours: int, overrides: Sequence[str]) -> str:
    """The script.

    Args:
        name: of the job, and of the folder of its runs.
        nodes: machines.
        tasks: processes per machine.
        gpus: whether each process takes a GPU.
        cpus: cores per process, for it and its data-loading workers.
        hours: the time limit.
        overrides: of the main command.
    """
    line = f"#SBATCH --gpus-per-node={tasks}\n" if gpus else ""
    words = " ".join(map(shlex.quote, overrides))
    return SCRIPT.format(
        name=name, nodes=nodes, tasks=tasks, gpus=line, cpus=cpus, hours=hours, python=sys.executable, overrides=words
    )


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Entry point; exits with code 2 and one sentence if the run would be refused."""
    parser = argparse.ArgumentParser(
        prog=started_as("python -m guided_seg.distributed.slurm"),
        description="Print a script for sbatch that trains on a Slurm cluster and goes on after a requeue.",
    )
    parser.add_argument("--name", default="guided_seg", help="of the job and the folder of its runs")
    parser.add_argument("--nodes", type=int, default=1, help="machines (1)")
    parser.add_argument("--gpus", type=int, default=1, help="GPUs per machine, each with a process (1)")
    parser.add_argument("--processes", type=int, help="processes per machine, without GPUs")
    parser.add_argument("--cpus", type=int, default=8, help="cores per process (8)")
    parser.add_argument("--hours", type=int, default=24, help="time limit (24)")
    parser.add_argument("overrides", nargs="*", help="of the main command, as in +experiment=late_global seed=1")
    asked = parser.parse_args(argv)
    tasks = asked.processes or asked.gpus
    if min(asked.nodes, tasks, asked.cpus, asked.hours) < 1:
        refuse("--nodes, --gpus, --processes, --cpus and --hours are whole numbers from 1.")
    if not re.fullmatch(r"[\w.-]+", asked.name):
        refuse(f"--name={asked.name}: expected letters, digits, '.', '_' and '-', as it is the name of a folder.")
    overrides = paths_as_written(asked.overrides)
    check_overrides("config", [*overrides, "trainer=slurm", f"trainer.devices={tasks}"])
    sys.stdout.write(
        render(asked.name, asked.nodes, tasks, asked.processes is None, asked.cpus, asked.hours, overrides)
    )


if __name__ == "__main__":
    main()
