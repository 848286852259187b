"""Decide which classes a checkpoint, a released model or an export may build.

Such files may come from anywhere, and Hydra calls whatever a config names: ``os.system`` as well as a decoder. So every
config from a file passes through `plain_config`, and then through `network_parts` or `data_parts`, before anything is
built from it. They accept plain values, and classes that fit their place, such as a subclass of `Decoder` for the group
``decoder``. The class must belong to guided_seg or to a plugin: a module that is already imported, or that the user
allows in the environment variable `PLUGINS`. A file never causes the import of any other module.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from inspect import isabstract, signature
from itertools import accumulate
from os import PathLike
from typing import Any, NamedTuple

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from torch import nn

import guided_seg
from guided_seg.composition.moved import renamed
from guided_seg.data.sampling.transforms import Augment
from guided_seg.data.source import Source
from guided_seg.errors import UserError
from guided_seg.files.text import is_endless
from guided_seg.model.backbone import Backbone
from guided_seg.model.backbones.neck import Pyramid
from guided_seg.model.conditioning import Conditioning
from guided_seg.model.decoder import Decoder
from guided_seg.model.guide.annotation import Annotation
from guided_seg.model.guide.fusion import Fusion
from guided_seg.model.guide.locality import Locality
from guided_seg.model.guide.merge import Merge
from guided_seg.model.network import Network

PLUGINS = "GUIDED_SEG_PLUGINS"
"""Environment variable with the modules, separated by commas, that files may import."""

NETWORK: dict[str, type | None] = {
    "backbone": Backbone,
    "resolution": None,
    "fusion": Fusion,
    "annotation": Annotation,
    "locality": Locality,
    "merge": Merge,
    "conditioning": Conditioning,
    "decoder": Decoder,
    "baseline": Network,
}
"""The groups of a network and the base class of each; None for values only."""

_DISTRUST = "Use a file from a trusted source, or train again."
_IN_NETWORK = {"neck": Pyramid}
_IN_DATA = {"source": Source, "augment": Augment}
_OWN = ("guided_seg.model.", "guided_seg.data.")
_HYDRA = {"_partial_": (True, False), "_convert_": ("none", "partial", "object", "all")}
_DEEPEST = 20

Origin = str | PathLike[str]


def plain_config(config: object, origin: Origin) -> dict[str, Any]:
    """Copy a config from a file, with the current locations of classes.

    Raises:
        UserError: it contains anything but named plain values, or values that OmegaConf would resolve elsewhere.
    """
    if isinstance(config, DictConfig):
        config = OmegaConf.to_container(config, resolve=False)
    if not isinstance(config, Mapping):
        raise UserError(
            f"The config in {origin} is not a mapping of names to values; give a file that guided_seg wrote."
        )
    if is_endless(config):
        raise UserError(f"The config in {origin} has no end of values; get the file again.")
    copy: dict[str, Any] = renamed(_copied(config, origin, "", 0))
    return copy


def network_parts(config: Mapping[str, Any], origin: Origin) -> dict[str, Any]:
    """The groups of a network in a `plain_config`. Every backbone's ``weights`` become ``random``.

    A file with a network also has its tensors, so no other file is read and nothing is downloaded.

    Raises:
        UserError: a group names a class that is not a part of a network.
    """
    return {group: _part(config[group], _Place(origin, group, kind, _IN_NETWORK)) for group, kind in NETWORK.items()}


def data_parts(config: object, origin: Origin) -> dict[str, Any]:
    """The name and the source of the training data of a network; nothing else of its data is ever built again.

    Args:
        config: the group ``data`` of the file's config; None if there is none.
        origin: the file.

    Raises:
        UserError: the class is not a source, or has other settings in this version.
    """
    data = {} if config is None else plain_config(config, origin)
    source = data.get("source")
    if source is None:
        raise UserError(f"{origin} does not say what to test on; add data=..., as in data=shapes.")
    return {"name": str(data.get("name")), "source": _part(source, _Place(origin, "data.source", Source, _IN_DATA))}


def _copied(value: Any, origin: Origin, key: str, depth: int) -> Any:
    if depth > _DEEPEST:
        raise UserError(f"The config in {origin} is nested too deeply to be one of guided_seg; get the file again.")
    if isinstance(value, Mapping):
        for name in value:
            if type(name) is not str or not name.isprintable() or "${" in name:
                raise UserError(
                    f"The config in {origin} has the key {name!r}, which is not a name; get the file again."
                )
        return {name: _copied(entry, origin, f"{key}.{name}".strip("."), depth + 1) for name, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_copied(entry, origin, f"{key}.{number}", depth + 1) for number, entry in enumerate(value)]
    if value is not None and type(value) not in (str, int, float, bool):
        raise UserError(f"The config in {origin} has a {type(value).__name__} as {key}; expected plain values.")
    if isinstance(value, str) and "${" in value:
        raise UserError(
            f"The config in {origin} has values that refer to others ({key}={value[:80]!r}); guided_seg writes plain "
            "ones. Use a file that it wrote."
        )
    return value


class _Place(NamedTuple):
    """A location in a config that may name a class.

    Args:
        origin: the file.
        key: the dotted key.
        kind: required base class; None for values only.
        inside: base classes of nested classes, by key.
        home: plugin of the surrounding class; layers of this plugin or of guided_seg may have any key in it.
    """

    origin: Origin
    key: str
    kind: type | None
    inside: Mapping[str, type]
    home: str | None = None

    def within(self, name: str, node: Mapping[str, Any]) -> _Place:
        """The location of an entry of a node at this location."""
        root = str(node["_target_"]).partition(".")[0] if "_target_" in node else self.home
        home = None if root == "guided_seg" else root
        return self._replace(
            key=f"{self.key}.{name}", kind=self.inside.get(name, nn.Module if home else None), home=home
        )

    def refusal(self, target: object, advice: str = _DISTRUST) -> UserError:
        """The error that ``target`` must not be built here, with advice."""
        text = str(target)[:100]
        shown = text if text.isprintable() else repr(text)
        what = "part of a network" if self.inside is _IN_NETWORK else "source of data"
        kind = f"a kind of {self.kind.__name__}" if self.kind else "no class"
        return UserError(
            f"The config in {self.origin} names {shown}, which is not a {what} of guided_seg ({self.key} "
            f"takes {kind}); none of its code was run. {advice}"
        )

    def of_another_version(self, reason: str) -> UserError:
        """The error that this version has no such class or setting."""
        return UserError(
            f"The config in {self.origin} names {reason} guided_seg {guided_seg.__version__} does not have; use the "
            "version that wrote the file, which the card of a released model states."
        )


def _part(node: Any, place: _Place) -> dict[str, Any]:
    """Copy a mapping after checking that each class in it may be built."""
    if not isinstance(node, Mapping) or (place.kind is not None and "_target_" not in node):
        raise place.refusal(repr(node))
    kind = _class(str(node["_target_"]), place) if "_target_" in node else None
    for name, value in node.items():
        if name.startswith("_") and name != "_target_" and value not in _HYDRA.get(name, ()):
            raise place.refusal(f"{name}={value}")
    made = {name: _entry(entry, place.within(name, node)) for name, entry in node.items()}
    if kind is not None and issubclass(kind, Backbone):
        # without this, our own classes would use their default, a download
        ours = kind.__module__.startswith(_OWN) and "weights" in signature(kind).parameters
        made |= {"weights": "random"} if ours or "weights" in node else {}
    if kind is not None and issubclass(kind, Source):
        _check_settings(kind, made, place)
    return made


def _entry(value: Any, place: _Place) -> Any:
    if isinstance(value, list):
        return [_entry(each, place) for each in value]
    if isinstance(value, Mapping):
        return _part(value, place if "_target_" in value else place._replace(kind=None))
    if value == "???":
        raise UserError(
            f"The config in {place.origin} has no value for {place.key}; get the file again, or train again."
        )
    return value


def _check_settings(kind: type, node: Mapping[str, Any], place: _Place) -> None:
    if node.get("_partial_") is not True:  # the split is passed on instantiation
        raise place.refusal(f"{node['_target_']} without _partial_")
    if unknown := unknown_settings(kind, node):
        raise place.of_another_version(f"{place.key}.{unknown[0]}, which")


def unknown_settings(kind: type, names: Iterable[Any]) -> list[str]:
    """Those of the names that a class does not accept, without Hydra's own, such as ``_target_``."""
    known = signature(kind).parameters
    if any(each.kind is each.VAR_KEYWORD for each in known.values()):
        return []
    return [str(name) for name in names if name not in known and not str(name).startswith("_")]


def _class(target: str, place: _Place) -> type:
    """The class of a dotted name, if it may be built at this location."""
    module, _, name = target.rpartition(".")
    root = module.partition(".")[0]
    if place.kind is None or (place.kind is nn.Module and root not in (place.home, "guided_seg")):
        raise place.refusal(target)
    own = module.startswith(_OWN)
    if (own or _chosen(target)) and all(part.isidentifier() for part in target.split(".")):
        _import(module, own, place)
    if root == "guided_seg" and not own:
        raise place.refusal(target)
    if not all(above in sys.modules for above in accumulate(module.split("."), "{}.{}".format)):
        raise _absent(target, module, own, place)
    # computed attributes would run code, so only the module's own dictionary is searched
    found = getattr(sys.modules[module], "__dict__", {}).get(name)
    if found is None and own:
        raise place.of_another_version(f"{target}, which")
    right = isinstance(found, type) and issubclass(found, place.kind) and not isabstract(found)
    if not right or get_object(target) is not found:
        raise place.refusal(target)
    kind: type = found
    return kind


def _absent(target: str, module: str, own: bool, place: _Place) -> UserError:
    """The error for a module that is not imported."""
    above = sys.modules.get(module.rpartition(".")[0])
    if above is not None and not hasattr(above, "__path__"):
        return place.refusal(target)  # not a module, but something inside one
    if own:
        return place.of_another_version(f"{target}, which")
    if not all(part.isidentifier() for part in module.split(".")):
        return place.refusal(target)
    return place.refusal(
        target,
        f"If {module} is a plugin that you trust, import it before you load the file; for a command, set the "
        f"environment variable {PLUGINS}={module}.",
    )


def _chosen(target: str) -> bool:
    """Whether the user allows the module of this class, or a package that contains it, by name."""
    names = [name.strip() for name in os.environ.get(PLUGINS, "").split(",")]
    return any(target.startswith(f"{name}.") or target == name for name in names if name)


def _import(module: str, own: bool, place: _Place) -> None:
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        if own and str(error.name).startswith("guided_seg."):
            return  # of another version, or not a module; see `_absent`
        raise UserError(
            f"{place.origin} needs {module}, which cannot be imported ({error}); install it, or add its folder to "
            "PYTHONPATH."
        ) from error
    except Exception as error:
        raise UserError(f"{place.origin} needs {module}, which fails when it is imported: {error!r}") from error
