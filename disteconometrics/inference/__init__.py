"""Named estimates with a covariance: standard errors, intervals, tests."""
