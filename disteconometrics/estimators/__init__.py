"""What can be fitted, a file each: the specification and its result side by side."""
