"""Fixed effects that are absorbed, written after ``|`` in a formula."""
