"""Claims about datasets."""
