"""The graphs of Parley's jobs, one file for each.

The package's name is all of this folder that a task's Python could find, so that no graph stands
in for a library of the same name.
"""
