"""Pictures: matplotlib behind a door, and how ours look."""
