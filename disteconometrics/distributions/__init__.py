"""Laws of an outcome: pdf, cdf, quantile, mean, sample."""
