"""Jobs whose parts die, stop or are told to; apart, for a process and a Parley of their own."""
