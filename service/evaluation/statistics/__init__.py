"""Statistics of paired scores: intervals, tests, power and multiple comparisons."""
