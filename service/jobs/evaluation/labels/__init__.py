"""Labels of people: which of two answers to a row of an evaluation is better."""
