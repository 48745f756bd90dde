"""Training adapters for a full-size SAM on the public sets: thoughts once, then adapters alone."""
