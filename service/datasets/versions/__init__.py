"""Two files compared, row by row and in their statistics, and several files merged into one."""
