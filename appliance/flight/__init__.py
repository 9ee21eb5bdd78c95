"""The flight recorder: every input and decision of the discipline in a file, and its replay bit for bit."""
