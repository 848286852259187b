"""What must not come in with the settings, or go out with them: code of a W&B sweep, and secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from hydra.core.override_parser.types import Override

from guided_seg.errors import UserError

AGENT = "WANDB_SWEEP_ID"
"""The environment variable that an agent of W&B sets for the command that it starts."""

_HARMLESS = ("hydra.mode", "hydra.output_subdir", "hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir")
_SECRET = re.compile(r"(api_?key|passw(or)?d|secret|credentials?|access_?token|auth_?token)$", re.IGNORECASE)
_SECRET_VARIABLE = re.compile(r"\$\{oc\.env:\s*['\"]?(\w*(KEY|TOKEN|SECRET|PASSW|CREDENTIAL)\w*)", re.IGNORECASE)


def check_agent(overrides: Iterable[Override], config_dir: str | None) -> None:
    """Refuse what names code, in a command that a W&B agent starts: whoever may edit the sweep would run it here.

    Args:
        overrides: those of the command line.
        config_dir: the folder of further configs, if there is one.

    Raises:
        UserError: an override sets a class, a part of Hydra, or a value that is resolved elsewhere.
    """
    if AGENT not in os.environ:
        return
    named = [str(o.input_line) for o in overrides if _names_code(str(o.key_or_group), str(o.input_line))]
    if config_dir is not None:
        named.append(f"--config-dir {config_dir}")
    if named:
        raise UserError(
            f"The W&B sweep gives {named[0]!r}; a sweep may choose options and set values, but names no class, no part "
            f"of Hydra and no variable. Write that into a config of your own, or run the command without {AGENT}."
        )


def _names_code(key: str, line: str) -> bool:
    # an option of a group, as in hydra/job_logging=stdout, is one of the installed configs
    part_of_hydra = key == "hydra" or key.startswith("hydra.")
    return "_target_" in line or "${" in line or (part_of_hydra and key not in _HARMLESS)


def check_secrets(settings: Mapping[str, Any]) -> None:
    """Refuse secrets in settings, which are written to the run folder and sent to its loggers.

    Args:
        settings: all settings by dotted key, interpolations not resolved.

    Raises:
        UserError: a setting has the name of a secret, or takes its value from a variable of such a name.
    """
    for key, value in settings.items():
        if _SECRET.search(key) and value not in (None, "", "???"):
            raise _kept_out(key, f"as in {key.rpartition('.')[2].upper()}=...")
        # what Hydra records repeats others, and a token of the page is used and not written
        read = isinstance(value, str) and key != "token" and not key.startswith("hydra.")
        found = _SECRET_VARIABLE.search(value) if read else None
        if found:
            raise _kept_out(key, f"where {found[1]} is already")


def _kept_out(key: str, place: str) -> UserError:
    return UserError(
        f"{key} seems to be a secret, and settings are written to the run folder and sent to its loggers; keep it in "
        f"the environment, {place}, and leave the setting out."
    )
