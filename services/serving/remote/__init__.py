"""A serving replica whose engine is another server, asked over OpenAI's HTTP."""
