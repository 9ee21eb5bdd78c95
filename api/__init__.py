"""REST, command line and page."""
