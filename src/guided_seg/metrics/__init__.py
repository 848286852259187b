"""IoU of the positives, accumulated as the field does it (paper, section 5; concepts, rule 8)."""

from guided_seg.metrics.iou import NO_LABEL, EpisodeIoU, Scores, group_number, intersection_union

__all__ = ["NO_LABEL", "EpisodeIoU", "Scores", "group_number", "intersection_union"]
