"""Named protocols: evaluations with stated rules, frozen episodes and confidence intervals."""
