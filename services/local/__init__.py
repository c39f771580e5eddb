"""The local models: no network, no key, no download. A real default, not a test double."""
