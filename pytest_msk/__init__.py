"""Amazon MSK clusters as pytest fixtures."""
