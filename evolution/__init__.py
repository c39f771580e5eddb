"""Usage in, better structure out. Today: which category files are stale, and what a file should say."""
