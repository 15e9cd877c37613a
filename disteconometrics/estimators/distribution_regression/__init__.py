"""Distribution regression: a binary fit at every threshold, and the law that these make."""
