"""Text that a model reads while it is quantised: from files, from the hub, or its own."""
