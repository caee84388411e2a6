"""What each method of the client does, a module for each noun of the API."""
