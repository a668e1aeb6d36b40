"""Measures Parley against its own engine, against itself without its mesh, and against others."""
