"""From logits to labels and confidence, exactly."""
