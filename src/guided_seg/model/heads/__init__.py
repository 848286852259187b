"""The fused head, and the evidence maps that it reads."""
