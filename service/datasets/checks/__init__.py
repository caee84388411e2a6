"""The checks of a data set: the table of codes, and the modules that find them."""
