"""IoU of the positives, accumulated as the field does it (paper, section 5; concepts, rule 8)."""
