"""What analyses ask of a model, beside directions and answers: numbers by prompt, which the driver makes statistics of."""
