"""The control plane: AWS APIs answered inside moto."""
