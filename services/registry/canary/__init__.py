"""Progressive promotion: a version's share of the traffic grows while it does as well as the
champion, and falls back by itself when it does not."""
