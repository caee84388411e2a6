"""Rules of the verdict. Each is a function that returns a verdict, or None if it does not apply."""
