"""The report on a data set: features, statistics, advice and rendering."""
