"""Table of valid values of all settings in the configs, by dotted keys.

Settings that are not in it are free text, or are checked by their own class, which knows more about them. A test
verifies that every number and switch in the configs is in it.
"""

from __future__ import annotations

import math
from typing import Final

from guided_seg.settings import episode_options
from guided_seg.settings.ranges import Choice, Either, Every, Named, Number, Refused, Rule, Text, Whole

K_WAY = ("native", "one_vs_rest")
"""Methods to segment several positive labels: all together, or as a union of binary tasks."""

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "auto")
"""Precisions of training. Images and annotations stay in 32 bits, so pure 16 or 64 bits are impossible."""

DRAWS = ("spread", "random")
"""How protocols select episodes, see `guided_seg.data.frozen.freeze.Plan`."""

STRATEGIES = ("error", "human", "random")
"""Placement of simulated clicks, see `guided_seg.protocols.clicks.Clicks`."""

UNITS = ("episodes", "groups")
"""Resampling units of the bootstrap."""

MEMORIES = ("none", "map", "moved", "shot", "both")
"""Previous-frame propagation, see `guided_seg.model.video.previous_frame.Memory`."""

_SWITCH = Choice((True, False))
_SHARE = Number(0, 1)
_COUNT = Whole(1)
_COUNT_OR_ALL = Whole(1, words=(None,))
_POSITIVE = Number(0, above=True)
_SEED = Whole(0, 2**32 - 1)
_PROCESSES = 1024
_WIDTH = Whole(1, 65536)
_SHOTS = Every(_COUNT, "a list of different whole numbers from 1", different=True)
_POINTS = Every(Whole(1, words=("dense",)), "a list of different whole numbers from 1 or dense", different=True)
_WEIGHTS = Named(Number(0), "no negative weight, and one above 0", some=True)
_LIMIT = Either((Whole(1), Number(0, 1.0, above=True)))

_RUN = {
    "seed evaluation.seed sheet.seed": _SEED,
    "name output_dir support folder data.root data.sources.*.root": Text(),
    "debug save_predictions logger.tensorboard.default_hp_metric": _SWITCH,
    "num_workers": Whole(0, _PROCESSES),
    "processes workers": Whole(1, _PROCESSES),
    "max_broken": _SHARE,
    "k_way": Choice(K_WAY),
    "precision": Choice(("auto", "fp32", "bf16")),
    "accelerator": Choice(("auto", "cpu", "cuda", "mps"), names=("gpu",)),
    "sheet.episodes sheet.shots sheet.points": _COUNT,
    "refine.again": Whole(0, 100),
    "refine.zoom": Number(1, words=(None,)),
    "refine.mirror refine.connected": _SWITCH,
    "refine.margin": Number(0),
    "longest": _COUNT_OR_ALL,
    "enlarge": Choice((True, False, None)),
    "split format": Text("a name"),
    "suite": Either((Text("a name"), Every(Text("a name"), "a list of names"))),
    "episodes": Either((Text(), Choice((None,)))),
    "height width": Whole(1, 65536),
    "points rounds edits frames objects": _COUNT,
    "threads": Whole(1, _PROCESSES, (None,)),
    "open refined": _SWITCH,
    "engine": Choice(("local", "ray")),
    "host": Text(),
    "port": Whole(0, 65535),
    "cache_mb limits.megabytes limits.request limits.megapixels": _POSITIVE,
    "limits.files limits.frames": _COUNT,
}

_EPISODES = {
    **{f"episode.{name}": rule for name, rule in episode_options.rules()},
    "episode.points.dense episode.points.missing": _SHARE,
    "episode.points.low episode.points.high": Whole(0),
    "episode.points.vary": Choice(("episode", "shot", "label")),
    "episode.points.spacing": Choice(("log", "uniform")),
    "episode.points.place mode.weights": _WEIGHTS,
    "evaluation.modes": Every(Text(), "a list of modes", empty=True),
    "evaluation.shots": _SHOTS,
    "evaluation.points": _POINTS,
    "evaluation.episodes": Either((_COUNT_OR_ALL, Named(_COUNT_OR_ALL, "such a number for each mode"))),
    "evaluation.objects evaluation.batch_size": _COUNT,
    "protocol.*.modes protocol.*.figures": Every(Text(), "a list of names"),
    "protocol.*.shots": _SHOTS,
    "protocol.*.points": _POINTS,
    "protocol.*.about": Text("a sentence"),
    "protocol.*.draw": Choice(DRAWS),
    "protocol.*.strategy": Choice(STRATEGIES),
    "protocol.*.unit": Choice(UNITS),
    "protocol.*.memory": Choice(MEMORIES),
    "protocol.*.episodes": _COUNT_OR_ALL,
    "protocol.*.objects protocol.*.limit": _COUNT,
    "protocol.*.thresholds": Every(
        Number(0, 100, above=True), "a list of different percentages above 0", different=True
    ),
    "protocol.*.size": Either((Every(Whole(1, 8192), "[height, width] in pixels", length=2), Choice((None,)))),
    "protocol.*.seeds": Every(_SEED, "a list of different whole numbers from 0 to 4294967295", different=True),
    "protocol.*.skip_last protocol.*.contours protocol.*.exchange": _SWITCH,
    "protocol.*.jitter protocol.*.bias": Number(0),
}

_DATA = {
    "data.*min_pixels": Whole(0),
    "data.*cache_mb": Number(0),
    "data.*balance": _SHARE,
    "data.*oracle data.whole data.single data.without_voc_val": _SWITCH,
    "data.source.whole data.*source.single data.*source.without_voc_val data.sources.*.single": _SWITCH,
    "data.instances data.*source.instances data.sources.*.instances": Choice((True, False, "regions", None)),
    "data.test_images data.sources.*.test_images": _COUNT_OR_ALL,
    "data.complete data.*source.complete data.sources.*.complete": Either(
        (Every(Text(), "a list of names of sets"), Choice((None,)))
    ),
    "data.size data.tasks data.source.size data.source.tasks": _COUNT,
    "data.frames data.source.frames": Whole(2),
    "data.objects data.source.objects": Every(_COUNT, "[least, most] with 2 <= least <= most", length=2, rising=True),
    "data.without data.source.without data.sources.*.without": Every(Text(), "a list of names", empty=True),
    "data.twins data.siblings data.source.twins data.source.siblings": _SHARE,
    "data.sources.*.weights": Named(Number(0), "numbers from 0"),
    "data.*augment.size": Whole(16, 8192),
    "data.*augment.scale": Every(_POSITIVE, "[least, most] with 0 < least <= most", length=2, rising=True),
    "data.*augment.extent": Either(
        (Choice((None,)), Every(_POSITIVE, "[least, most] with 0 < least <= most", length=2, rising=True))
    ),
    "data.*augment.relative data.*augment.inside": _SWITCH,
    "data.*augment.flip data.*augment.paste": _SHARE,
    "data.*augment.colour": Number(0, 1, below=True),
    "data.*augment.variants": _COUNT_OR_ALL,
    "data.*training.lr": _POSITIVE,
    "data.*training.steps data.*training.batch_size data.*training.validate_every": _COUNT,
    "data.*training.val_episodes": _COUNT,
}

_NETWORK = {
    "backbone.width": Whole(2, 65536),
    "backbone.blocks backbone.neck.blocks": Whole(0, 1000),
    "backbone.frozen": Either((Choice((True, False)), Whole(0, 1000))),
    "backbone.dropout conditioning.dropout": Number(0, 1, below=True),
    "backbone.fc7 backbone.border backbone.fixed_norms": _SWITCH,
    "backbone.levels": Every(Whole(0, 100), "a list of whole numbers from 0"),
    "backbone.mean": Every(Number(-math.inf), "a list of three numbers", length=3),
    "backbone.std": Every(_POSITIVE, "a list of three numbers above 0", length=3),
    "backbone.finest": Whole(0, 100),
    "backbone.output_stride resolution.output_stride": Whole(1, 1024, (None,)),
    "resolution.interpolation": Whole(1, 64),
    "resolution.longest": Whole(32, 65536, (None,)),
    "resolution.enlarge": _SWITCH,
    "fusion.dot": Whole(1, 65536),
    "locality.limit": _COUNT_OR_ALL,
    "fusion.roles": Choice(("per_label", "joint")),
    "annotation.hidden decoder.hidden": _WIDTH,
    "conditioning.hidden baseline.hidden": Whole(1, 65536, (None,)),
    "conditioning.width": _WIDTH,
    "conditioning.scorer": Choice(("shared", "joint")),
    "conditioning.matching conditioning.floor": _SWITCH,
    "conditioning.mean conditioning.nearest conditioning.ridge conditioning.local": _SWITCH,
    "conditioning.places conditioning.spread conditioning.memory": _SWITCH,
    "conditioning.init": Choice(("default", "original")),
    "conditioning.metric": Choice(("cosine", "euclidean")),
    "conditioning.temperature": _POSITIVE,
    "conditioning.num_labels": Whole(2, 256),
    "conditioning.context": Either((Whole(0, 100), Every(Whole(1, 1024), "a list of whole numbers from 1"))),
    "conditioning.coarser": Every(_WIDTH, "a list of whole numbers from 1", empty=True),
    "conditioning.near": Every(_POSITIVE, "a list of numbers above 0"),
    "decoder.unshuffle decoder.skips decoder.honour": _SWITCH,
    "decoder.steps": Whole(1, 16),
    "baseline.steps": _COUNT,
    "baseline.lr": _POSITIVE,
}

_ITS_OWN = Refused("a run sets it itself, so leave it out")
_LENGTH = Refused(
    "a run takes trainer.max_steps steps and validates every data.training.validate_every of them; leave it out, and "
    "set these two, or trainer=smoke for a quick test"
)

_TRAINING = {
    "loss.iou": Number(0),
    "optimizer.optimizer.lr optimizer.schedule.max_lr optimizer.pretrained_lr": _POSITIVE,
    "optimizer.optimizer.weight_decay": Number(0),
    "optimizer.optimizer.momentum": Number(0, 1, below=True),
    "optimizer.schedule.pct_start": _SHARE,
    "trainer.max_steps trainer.log_every_n_steps trainer.num_nodes": _COUNT,
    "trainer.limit_val_batches trainer.limit_test_batches": _LIMIT,
    "trainer.strategy": Choice(("auto", "ddp")),
    "trainer.plugins.*.auto_requeue": _SWITCH,
    "trainer.precision": Choice(PRECISIONS, names=("bf16", "16", "32", 16, 32, None)),
    "trainer.gradient_clip_val": Number(0, words=(None,)),
    "trainer.gradient_clip_algorithm": Choice(("norm", "value", None)),
    "trainer.enable_progress_bar trainer.detect_anomaly": _SWITCH,
    "trainer.deterministic": Choice((True, False, "warn", None)),
    "trainer.benchmark": Choice((True, False, None)),
    "trainer.accumulate_grad_batches": Refused(
        "a step is one batch here; leave it out, and set data.training.batch_size instead"
    ),
    "trainer.sync_batchnorm": Refused("processes always share their batch statistics; leave it out"),
    "trainer.max_epochs trainer.min_epochs trainer.min_steps trainer.max_time trainer.fast_dev_run": _LENGTH,
    "trainer.limit_train_batches trainer.overfit_batches trainer.val_check_interval": _LENGTH,
    "trainer.check_val_every_n_epoch trainer.reload_dataloaders_every_n_epochs": _LENGTH,
    "trainer.logger trainer.callbacks trainer.profiler trainer.default_root_dir trainer.barebones": _ITS_OWN,
    "trainer.enable_checkpointing trainer.enable_model_summary trainer.num_sanity_val_steps": _ITS_OWN,
    "trainer.inference_mode trainer.use_distributed_sampler": _ITS_OWN,
}

_REMOVED = {
    "episode.hard": Refused("the option was removed, because no experiment benefited from it; leave it out"),
}

RULES: Final[dict[str, Rule]] = _REMOVED | _RUN | _EPISODES | _DATA | _NETWORK | _TRAINING
"""Rules by globs of dotted keys, separated by blanks; the first matching one applies."""
