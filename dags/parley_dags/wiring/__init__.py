"""What the graphs share: their settings, their steps and the fields of their forms."""
