"""The fault harness: a seeded load and a seeded schedule of faults on a stack of its own, a history
of all that happened, and a checker that reads nothing else.
"""
