"""The facade: HTTP and OpenAI shapes to gRPC and back.

Holds no model, no tokenizer and no business rule.
"""
