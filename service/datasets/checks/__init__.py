"""Data set checks: the table of issue codes and the modules that report them."""
