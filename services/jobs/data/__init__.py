"""Feedback on answers, and datasets by digest."""
