"""The processes and the front doors: memorize, retrieve, serve, from Python, the command line and HTTP."""
