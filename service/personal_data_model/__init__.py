"""Searches data sets for names and addresses with an operator's model, in a child process."""
