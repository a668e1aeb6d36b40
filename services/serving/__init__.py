"""Serving: prompts in, token stream out."""
