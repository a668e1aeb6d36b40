"""Asks models what was held out, and compares them."""
