"""Datasets: read line by line, checked, split, and stored by digest."""
