"""Language models behind any OpenAI-compatible endpoint: what they are asked, and what of their answers is believed."""
