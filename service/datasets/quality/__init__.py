"""Answers that no model should learn, such as refusals and cut-off answers, and scores of rows."""
