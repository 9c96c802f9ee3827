"""The engines: kernels, keyed random numbers, Monte Carlo."""
