"""Takes model folders in: checks them, exports them, stores them, has them registered."""
