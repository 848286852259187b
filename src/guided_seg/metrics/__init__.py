"""IoU of the positives, accumulated as the field does it (paper, section 5; DESIGN 3.8)."""

from guided_seg.metrics.iou import EpisodeIoU, Scores, group_number, intersection_union

__all__ = ["EpisodeIoU", "Scores", "group_number", "intersection_union"]
