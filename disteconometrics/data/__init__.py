"""Formula and table in, `Design` out; the only room that knows formulaic."""
