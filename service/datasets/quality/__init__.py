"""Quality of what a row teaches: answers that no model should learn."""
