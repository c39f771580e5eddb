"""The demo: two conversations, a document, six questions."""
