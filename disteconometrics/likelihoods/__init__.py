"""Log-likelihoods, scores and Hessians as pure functions of arrays."""
