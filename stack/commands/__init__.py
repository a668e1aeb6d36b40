"""The commands of `./parley`, a file for each group. Each reads its arguments, calls one function
of the stack, and shows the result.
"""
