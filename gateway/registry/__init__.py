"""The registry as the facade shows it: /api/v1, made from the contract's own descriptors."""
