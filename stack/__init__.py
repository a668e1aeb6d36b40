"""The whole of Parley on one machine: environments, processes, ports, secrets, and the command
line."""
