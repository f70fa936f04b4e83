"""The task functions, one module each, as a Fractal server runs them."""
