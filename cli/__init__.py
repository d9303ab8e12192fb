"""The command line: it parses, calls one function, and shows the result. The only place that prints."""
